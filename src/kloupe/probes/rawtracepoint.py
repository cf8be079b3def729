"""The rawtracepoint probe: a tracepoint's own arguments, typed by BTF."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.ctype import VOID, Function, Pointer, Space
from ..base.diag import Diagnostics
from ..base.place import BtfArgument, NamedValue
from ..image import AttachSpec
from ..kernel.target import ListingFacts, Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .contexts import array_arguments, values_signature
from .model import Context, Kind, ProbeOptions, ProbePoint
from .wildcard import has_wildcard, matcher

_VMLINUX = "vmlinux"


def raw_program(target: Target) -> tuple[str, str, str]:
    """(program type, attach type, kind of AttachSpec): with typed pointers where the kernel can, else the plain raw tracepoint."""
    if target.has_btf and target.has("tp_btf") is not False:
        return "tracing", "trace_raw_tp", "tp_btf"
    return "raw_tracepoint", "", "rawtracepoint"


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`rawtracepoint:EVENT` or `rawtracepoint:MODULE:EVENT`, wildcards in both."""
    asking = Asking("rawtracepoint", ap, target, options, diagnostics)
    if len(ap.parts) not in (1, 2):
        asking.check_count(2, 1)
        return ()
    module, event = ap.parts if len(ap.parts) == 2 else ("*", ap.parts[0])
    if not event:
        asking.error("rawtracepoint should be attached to a function")
        return ()
    if not target.has_btf:
        asking.error("rawtracepoints require kernel BTF. Try using a 'tracepoint' instead.")
        return ()
    modules = [name for name in _modules(target) if matcher(module)(name)]
    events = target.raw_tracepoints(event) if modules else []
    if not events and not has_wildcard(event) and not has_wildcard(module):
        asking.report_missing(f"{module}:{event}", target.raw_tracepoints("*"))
    owner = modules[0] if modules and not has_wildcard(module) else _VMLINUX
    return [_point(asking, owner, name) for name in events]


def _modules(target: Target) -> list[str]:
    return target.modules() if isinstance(target, ListingFacts) else [_VMLINUX]


def _point(asking: Asking, module: str, event: str) -> ProbePoint:
    program_type, attach_type, kind = raw_program(asking.target)
    name = f"rawtracepoint:{module}:{event}"
    function = asking.target.raw_tracepoint(event)
    spec = AttachSpec(kind, name, {"event": event})
    return ProbePoint("rawtracepoint", name, program_type, attach_type, spec, _context(function))


def _context(function: Function | None) -> Context:
    if function is None:
        error = "Cannot read function parameters"
        return Context(("rawtracepoint",), Space.KERNEL, args_error=error, type=Pointer(VOID))
    args = tuple(NamedValue(n, t, BtfArgument(i)) for i, (n, t) in enumerate(function.parameters))
    signature = values_signature("rawtracepoint", args)
    numbered = array_arguments(len(args))
    return Context(signature, Space.KERNEL, args, has_args=True, numbered=numbered, type=Pointer(VOID))


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """`MODULE:EVENT` of all that match; a pattern without colon is for the event."""
    keep = matcher(pattern if ":" in pattern else f"*:{pattern or '*'}")
    event = pattern.rpartition(":")[2] or "*"
    return [entry for entry in (f"{_VMLINUX}:{name}" for name in target.raw_tracepoints(event)) if keep(entry)]


def details(entry: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The arguments."""
    event = entry.rpartition(":")[2]
    if isinstance(target, ListingFacts):
        return target.raw_tracepoint_declarations(event) or ()
    function = target.raw_tracepoint(event)
    return [f"{t} {n}" for n, t in function.parameters] if function is not None else ()


KIND = Kind(("rawtracepoint", "rt"), "Tracepoints with their raw, typed arguments", expand, listing, details, "kernel")
