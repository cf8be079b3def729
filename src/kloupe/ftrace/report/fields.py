"""The fields of an event as ` name=value`, for --raw and for events whose print format is not understood."""

from __future__ import annotations

from ..decode.compile import Context, Render
from ..decode.eventformat import EventField, EventFormat
from ..decode.values import field_bytes


def fields_text(form: EventFormat, context: Context) -> Render:
    """A function of (page, offset, size) that gives all fields but the common ones."""
    order = "little" if context.order == "<" else "big"

    def render(page: bytes, offset: int, size: int) -> str:
        return "".join(f" {f.name}={_value(f, page, offset, size, order, context)}" for f in form.fields)

    return render


def _value(field: EventField, page: bytes, offset: int, size: int, order: str, context: Context) -> str:
    raw = field_bytes(field, page, offset, size, context.order)
    if field.is_text:
        return context.strings[raw]
    if field.is_array or field.size not in (1, 2, 4, 8):
        return "ARRAY[" + ", ".join(f"{byte:02x}" for byte in raw) + "]"
    value = int.from_bytes(raw, order, signed=field.signed)  # type: ignore[arg-type]
    if field.is_pointer or (field.is_long and not field.signed):
        return f"0x{value & (1 << 64) - 1:x}"
    return str(value)
