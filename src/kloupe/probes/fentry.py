"""The fentry probe (old name kfunc): a kernel function's entry with typed arguments. fexit shares its expansion."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..image import AttachSpec
from ..kernel.target import ListingFacts, Target
from ..lang.nodes import AttachPoint
from . import kernel_functions as kf
from .asking import Asking
from .bpf_program import VARIANT, expand_programs, list_programs
from .model import Kind, ProbeOptions, ProbePoint
from .trampoline import typed_context, why_not
from .wildcard import has_wildcard


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`fentry:[MODULE:]FUNCTION`, wildcards in both; `fentry:bpf:[ID:]FUNCTION` of loaded BPF programs."""
    return expand_function(Asking("fentry", ap, target, options, diagnostics), returns=False)


def expand_function(asking: Asking, *, returns: bool) -> Sequence[ProbePoint]:
    """The points of a fentry or fexit: functions whose type is known and which a trampoline can carry."""
    if len(asking.parts) not in (1, 2, 3):
        asking.check_count(1, 3)
        return ()
    if asking.parts[0] == VARIANT:
        return expand_programs(asking)
    if len(asking.parts) == 3:
        asking.error("Only the 'bpf' variant of this probe supports 4 arguments")
        return ()
    written, function = asking.parts[0] if len(asking.parts) == 2 else "", asking.parts[-1]
    if not function:
        asking.error("fentry/fexit should specify a function")
        return ()
    if has_wildcard(function) or has_wildcard(written):
        found = kf.matching_functions(asking.target, function, written or "*")
        points = [_point(asking, module, name, returns=returns) for module, name in found]
        return [point for point in points if point is not None]
    module = written or _owner(asking, function)
    if module is None:
        return ()
    return _one_function(asking, module, written, function, returns=returns)


def _one_function(asking: Asking, module: str, written: str, name: str, *, returns: bool) -> Sequence[ProbePoint]:
    target = asking.target
    there = _is_there(target, module, name)
    point = _point(asking, module, name, returns=returns) if there else None
    if point is not None:
        return (point,)
    function = target.function(name, module)
    if not target.has_btf:
        hints: tuple[str, ...] = (f"{asking.kind} needs kernel type information (BTF); a kprobe does without.",)
    elif function is not None and why_not(function, target):
        hints = (f"{name} cannot be traced this way: {why_not(function, target)}.",)
    else:
        hints = kf.near_functions(target, name)
    shown = module if there else written
    asking.report_missing(f"{shown}:{name}" if shown else name, hints=hints)
    return ()


def _owner(asking: Asking, function: str) -> str | None:
    """The module that has the function: the kernel itself before its modules (only then all of them are searched).

    None after a report that several modules have it.
    """
    target = asking.target
    if _is_there(target, kf.VMLINUX, function) or not isinstance(target, ListingFacts):
        return kf.VMLINUX
    owners = target.function_modules(function)
    if len(owners) > 1:
        asking.error(f"ambiguous attach point, please specify module containing the function '{function}'")
        return None
    return owners[0] if owners else kf.VMLINUX


def _is_there(target: Target, module: str, name: str) -> bool:
    """Whether the function can be probed and has a type. The kernel's types say so sooner than its symbols."""
    if target.function(name, module) is None:
        return False
    return any(target.functions(name, "" if module == kf.VMLINUX else module))


def _point(asking: Asking, module: str, name: str, *, returns: bool) -> ProbePoint | None:
    function = asking.target.function(name, module)
    if function is None or why_not(function, asking.target):
        return None
    full = f"{asking.kind}:{module}:{name}"
    spec = AttachSpec(asking.kind, full, {"function": name, "module": module})
    context = typed_context(asking.kind, function, returns=returns)
    return ProbePoint(asking.kind, full, "tracing", f"trace_{asking.kind}", spec, context, name)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """`MODULE:FUNCTION` of all that a trampoline can carry."""
    if target.has("fentry") is False:
        return ()
    if pattern.startswith(f"{VARIANT}:"):
        return list_programs(pattern, target)
    found = []
    for entry in kf.list_functions(pattern, target, with_module=True):
        module, _, name = entry.rpartition(":")
        function = target.function(name, module)
        if function is not None and not why_not(function, target):
            found.append(entry)
    return found


def details(entry: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The parameters."""
    module, _, function = entry.rpartition(":")
    if module.startswith(VARIANT):
        return ()
    texts = kf.parameter_texts(target, function, module)
    return texts[:-1] if texts and texts[-1].endswith(" retval") else texts


KIND = Kind(
    ("fentry", "f", "kfunc"), "A kernel function's entry, with typed arguments", expand, listing, details, "kernel"
)
