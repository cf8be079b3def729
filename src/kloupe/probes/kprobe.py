"""The kprobe probe: any kernel function's entry, or an instruction inside it. kretprobe shares its expansion."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.ctype import Space
from ..base.diag import Diagnostics
from ..base.place import NamedValue
from ..image import AttachSpec, Scalar
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from . import kernel_functions as kf
from .asking import Asking
from .contexts import no_arguments, register_arguments, register_result, registers_type
from .model import Context, Kind, ProbeOptions, ProbePoint
from .trampoline import raw_context
from .wildcard import has_wildcard


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`kprobe:[MODULE:]FUNCTION[+OFFSET]`, wildcards in module and function, `kprobe:ADDRESS` with --unsafe."""
    return expand_function(Asking("kprobe", ap, target, options, diagnostics), returns=False)


def expand_function(asking: Asking, *, returns: bool) -> Sequence[ProbePoint]:
    """The points of a kprobe or kretprobe."""
    place = kf.parse_function(asking, offset_allowed=not returns)
    if place is None:
        return ()
    if place.address:
        return (_point(asking, place, returns=returns),)
    if has_wildcard(place.function) or has_wildcard(place.module):
        found = kf.matching_functions(asking.target, place.function, place.module)
        multi = len(found) > 1 and not place.module and asking.target.has("kprobe_multi") is True
        places = [kf.FunctionPlace(module, function) for module, function in found]
        return [_point(asking, each, returns=returns, multi=multi) for each in places]
    return _one_function(asking, place, returns=returns)


def _one_function(asking: Asking, place: kf.FunctionPlace, *, returns: bool) -> Sequence[ProbePoint]:
    target = asking.target
    if not kf.module_loaded(target, place.module):
        written = f"{asking.kind}:{place.module}:{place.function}"
        asking.error(f"specified module {place.module} in probe {written} is not loaded.")
        return ()
    if kf.is_dangerous(place.function) or not any(target.functions(place.function, place.module)):
        kf.warn_untraceable(asking, place.function)
        if not asking.options.unsafe:
            what = f"{place.module}:{place.function}" if place.module else place.function
            asking.report_missing(what, hints=kf.near_functions(target, place.function))
            return ()
    return (_point(asking, place, returns=returns),)


def _point(asking: Asking, place: kf.FunctionPlace, *, returns: bool, multi: bool = False) -> ProbePoint:
    kind, target = asking.kind, asking.target
    what = f"{place.function}+{place.offset}" if place.offset else place.function or str(place.address)
    name = ":".join(part for part in (kind, place.module, what) if part)
    served = _served_by_trampoline(asking, place, name, returns=returns)
    if served is not None:
        return served
    params: dict[str, Scalar] = {
        "function": place.function,
        "module": place.module,
        "offset": place.offset,
        "address": place.address,
        "retval": returns,
    }
    context = register_context(kind, target, returns=returns)
    attach_type = "kprobe_multi" if multi else ""
    return ProbePoint(kind, name, "kprobe", attach_type, AttachSpec("kprobe", name, params), context, place.function)


def _served_by_trampoline(asking: Asking, place: kf.FunctionPlace, name: str, *, returns: bool) -> ProbePoint | None:
    """The point by fentry or fexit, where the kernel has no kprobes and the function's signature allows it."""
    target = asking.target
    if place.offset or not place.function or target.has("kprobe") is not False or not target.has("fentry"):
        return None
    context = raw_context(target, place.function, place.module, returns=returns)
    if context is None:
        return None
    kind = "fexit" if returns else "fentry"
    spec = AttachSpec(kind, name, {"function": place.function, "module": place.module or kf.VMLINUX})
    return ProbePoint(asking.kind, name, "tracing", f"trace_{kind}", spec, context, place.function)


def _none(index: int) -> NamedValue | None:
    return None


def register_context(kind: str, target: Target, *, returns: bool, space: Space = Space.KERNEL) -> Context:
    """The context of a function's entry (argN) or return (retval): the registers."""
    return Context(
        (kind,),
        space,
        args_error=no_arguments(kind),
        numbered=_none if returns else register_arguments(target.arch),
        retval=register_result(target.arch) if returns else None,
        registers=True,
        type=registers_type(target),
    )


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """Functions; with a module in the pattern also in the entries. None where nothing could be attached to them."""
    if target.has("kprobe") is False and target.has("fentry") is False:
        return ()
    return kf.list_functions(pattern, target, with_module=False)


def details(entry: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The types of argN."""
    module, _, function = entry.rpartition(":")
    texts = [text for text in kf.parameter_texts(target, function, module) if not text.endswith(" retval")]
    return [f"{parameter_type(text)} arg{index}" for index, text in enumerate(texts)]


def parameter_type(text: str) -> str:
    """The type in `TYPE NAME`; a text without a name is left alone."""
    head, _, tail = text.rpartition(" ")
    return head if head and tail.isidentifier() else text


KIND = Kind(("kprobe", "k"), "A kernel function's entry, or any instruction in it", expand, listing, details, "kernel")
