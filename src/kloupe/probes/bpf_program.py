"""`fentry:bpf:[ID:]FUNCTION` and fexit: functions of BPF programs that are loaded."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.ctype import VOID, Pointer, Space
from ..image import AttachSpec, Scalar
from ..kernel.target import BpfFunction, ProgramFacts, Target
from .asking import Asking
from .model import Context, ProbePoint
from .wildcard import has_wildcard, matcher

VARIANT = "bpf"
_NO_ARGS = "The args builtin is not available for BPF programs"


def expand_programs(asking: Asking) -> Sequence[ProbePoint]:
    """The points; the same function of several programs is one for each."""
    if len(asking.parts) == 1:
        asking.error("the 'bpf' variant of this probe requires a bpf program name and optional bpf program id")
        return ()
    identity, name = asking.parts[1] if len(asking.parts) == 3 else "*", asking.parts[-1]
    if identity != "*" and not identity.isdigit():
        asking.error("bpf program id must be a number or '*'")
        return ()
    found = [f for f in _functions(asking.target, name) if identity in ("*", str(f.program))]
    if not found and not has_wildcard(name):
        asking.report_missing(":".join(asking.parts), [f.name for f in _functions(asking.target, "*")])
    return [_point(asking.kind, function) for function in found]


def _functions(target: Target, pattern: str) -> list[BpfFunction]:
    wanted = matcher(pattern)
    return [f for f in target.bpf_functions() if wanted(f.name)] if isinstance(target, ProgramFacts) else []


def _point(kind: str, function: BpfFunction) -> ProbePoint:
    name = f"{kind}:{VARIANT}:{function.program}:{function.name}"
    params: dict[str, Scalar] = {
        "function": function.name,
        "module": VARIANT,
        "program": function.program,
        "type_id": function.type_id,
    }
    context = Context((kind, VARIANT), Space.KERNEL, args_error=_NO_ARGS, type=Pointer(VOID))
    spec = AttachSpec(kind, name, params)
    return ProbePoint(kind, name, "tracing", f"trace_{kind}", spec, context, function.name)


def list_programs(pattern: str, target: Target) -> Sequence[str]:
    """`bpf:ID:FUNCTION` of all that match `bpf:[ID:]FUNCTION`."""
    _, _, rest = pattern.partition(":")
    identity, colon, name = rest.rpartition(":")
    wanted = matcher(identity if colon else "*")
    return [f"{VARIANT}:{f.program}:{f.name}" for f in _functions(target, name or "*") if wanted(str(f.program))]
