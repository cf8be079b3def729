"""The iter probe: walks over kernel objects (tasks, files, mappings, ...) once."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.ctype import Field, Pointer, Space, Struct
from ..base.diag import Diagnostics, did_you_mean
from ..image import AttachSpec
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .contexts import no_arguments
from .model import Context, Kind, ProbeOptions, ProbePoint
from .tracepoint import declaration
from .wildcard import has_wildcard, matcher


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`iter:OBJECT` or `iter:OBJECT:PIN`. It stands alone in its probe (`table.check_attach_points`)."""
    asking = Asking("iter", ap, target, options, diagnostics)
    if len(ap.parts) not in (1, 2):
        asking.error("iter probe type takes 2 arguments (1 optional)")
        return ()
    if any(has_wildcard(part) for part in ap.parts):
        asking.error("iter probe type does not support wildcards")
        return ()
    name, pin = ap.parts[0], ap.parts[1] if len(ap.parts) == 2 else ""
    if not name:
        asking.error("iter should specify a iterator's name")
        return ()
    known = target.iterators() if target.has_btf else {}
    context_type = known.get(name)
    if context_type is None:
        hints = did_you_mean(name, known) if known else ("Iterators need kernel type information (BTF).",)
        asking.error(f"iter {name} not available for your kernel version.", hints=hints)
        return ()
    context = Context(
        ("iter", name), Space.KERNEL, args_error=no_arguments("iter"), type=Pointer(context_type, Space.BPF)
    )
    spec = AttachSpec("iter", f"iter:{name}", {"object": name, "pin": pin})
    return (ProbePoint("iter", spec.name, "tracing", "trace_iter", spec, context),)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The kernel's iterators."""
    if target.has("iter") is False:
        return ()
    keep = matcher(pattern or "*")
    return sorted(name for name in target.iterators() if keep(name))


def details(entry: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The members of the context but the bookkeeping one."""
    context = target.iterators().get(entry)
    members = [_named(field) for field in context.fields] if context is not None else []
    return [declaration(field) for field in members if field.name != "meta"]


def _named(field: Field) -> Field:
    """The member itself: pointers are wrapped in an unnamed union with padding."""
    if not field.name and isinstance(field.type, Struct):
        return next((inner for inner in field.type.fields if inner.name), field)
    return field


KIND = Kind(("iter", "it"), "Walks over kernel objects", expand, listing, details, "kernel")
