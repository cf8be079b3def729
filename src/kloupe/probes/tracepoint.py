"""The tracepoint probe: events that the kernel's source marks, with the fields of their `format` file."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.ctype import INT64, VOID, Array, Field, Pointer, Space, is_char_array
from ..base.diag import Diagnostics
from ..base.place import ContextField, DataLoc, NamedValue
from ..image import AttachSpec
from ..kernel.target import Target, TracepointFormat
from ..lang.nodes import AttachPoint
from .asking import Asking
from .contexts import values_signature
from .model import Context, Kind, ProbeOptions, ProbePoint
from .syscall_dispatch import SyscallDispatcher
from .wildcard import has_wildcard, matcher

SYSCALLS = "syscalls"


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`tracepoint:CATEGORY:EVENT`, wildcards in both; a lone `*pattern*` is for the event."""
    asking = Asking("tracepoint", ap, target, options, diagnostics)
    parts = ("*", *ap.parts) if len(ap.parts) == 1 and has_wildcard(ap.parts[0]) else ap.parts
    if len(parts) != 2:
        asking.check_count(2)
        return ()
    category, event = parts
    if not category or not event:
        asking.error("tracepoint probe must have a target")
        return ()
    found = target.tracepoints(category, event)
    if not found and not has_wildcard(category) and not has_wildcard(event):
        near = [f"tracepoint:{c}:{e}" for c, e in target.tracepoints("*", event)][:3]
        hints = (f"Did you mean {', '.join(repr(name) for name in near)}?",) if near else ()
        known = [] if near else [e for _, e in target.tracepoints(category, "*")]
        asking.report_missing(f"{category}:{event}", known, hints=hints)
    dispatcher = SyscallDispatcher(target)
    return [_point(asking, *names, dispatcher) for names in found]


def _point(asking: Asking, category: str, event: str, dispatcher: SyscallDispatcher) -> ProbePoint:
    name = f"tracepoint:{category}:{event}"
    layout = asking.target.tracepoint(category, event) if asking.options.typed_args else None
    fields = event_fields(layout) if layout is not None else ()
    spec = AttachSpec("tracepoint", name, {"category": category, "event": event})
    dispatch = dispatcher.dispatch(event, name, fields) if category == SYSCALLS else None
    return ProbePoint("tracepoint", name, "tracepoint", "", spec, _context(category, fields), dispatch=dispatch)


def event_fields(layout: TracepointFormat) -> tuple[Field, ...]:
    """The event's own fields; the common ones are out of a program's reach."""
    return tuple(field for field in layout.fields if not field.name.startswith("common_"))


def _context(category: str, fields: tuple[Field, ...]) -> Context:
    space = Space.USER if category == SYSCALLS else Space.KERNEL
    args = tuple(NamedValue(f.name, INT64 if f.data_loc else f.type, _place(f), declaration(f)) for f in fields)
    signature = values_signature(f"tracepoint {space.value}", args)
    return Context(signature, space, args, has_args=True, type=Pointer(VOID))


def _place(field: Field) -> ContextField | DataLoc:
    if field.data_loc:
        return DataLoc(field.offset, relative=field.data_loc == 2)
    return ContextField(field.offset, field.type.size, bool(getattr(field.type, "signed", False)))


def declaration(field: Field) -> str:
    """The field as C text, as its format file has it: `unsigned long args[6]`, `const char * filename`."""
    text = field.decl or _plain_type(field)
    if text.endswith(field.name) or f"{field.name}[" in text:
        return text
    bracket = text.find("[")
    if bracket < 0 or field.data_loc:
        return f"{text} {field.name}"
    return f"{text[:bracket].rstrip()} {field.name}{text[bracket:]}"


def _plain_type(field: Field) -> str:
    if is_char_array(field.type):
        return f"char[{field.type.size}]"
    return f"{field.type.element}[{field.type.count}]" if isinstance(field.type, Array) else str(field.type)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """Events matching `CATEGORY:EVENT`, or by event alone."""
    category, colon, event = pattern.partition(":")
    if not colon:
        category, event = "*", pattern or "*"
    if ":" in event:
        return ()
    keep = matcher(f"{category}:{event}")
    return [entry for entry in (f"{c}:{e}" for c, e in target.tracepoints(category, event)) if keep(entry)]


def details(entry: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The fields."""
    layout = target.tracepoint(*entry.split(":", 1))
    return [declaration(field) for field in event_fields(layout)] if layout is not None else ()


KIND = Kind(("tracepoint", "t"), "Events marked in the kernel's source", expand, listing, details, "kernel")
