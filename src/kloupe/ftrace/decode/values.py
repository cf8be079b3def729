"""The fields of a record as Python values: integers, strings, lists of integers, bytes."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TypeAlias

from .compile import Context
from .eventformat import EventField, EventFormat

FieldValue: TypeAlias = int | str | list[int] | bytes
Decoder = Callable[[bytes, int, int], dict[str, FieldValue]]
_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}


def field_bytes(field: EventField, page: bytes, offset: int, size: int, order: str) -> bytes:
    """The bytes of a field, of a dynamic one those it points to; cut at the record's end."""
    if not field.dynamic:
        end = offset + (field.offset + field.size if field.size else size)
        return page[offset + field.offset : min(end, offset + size)]
    byte_order = "little" if order == "<" else "big"
    place = int.from_bytes(page[offset + field.offset : offset + field.offset + 4], byte_order)  # type: ignore[arg-type]
    start = (place & 0xFFFF) + (field.offset + 4 if field.dynamic == 2 else 0)
    return page[offset + start : offset + min(start + (place >> 16), size)]


def field_decoder(form: EventFormat, context: Context) -> Decoder:
    """A function of (page, offset, size) that gives all fields but the common ones, in order of the file.

    Text fields are strings, arrays of numbers lists, whatever has no number's size bytes. A field that the record is too short for is left out.
    """
    cut = form.system == "ftrace"  # the arrays of the tracers' own events may be shorter than declared
    readers = [
        (field.name, _reader(field, context), field.offset + (0 if cut and field.is_array else field.size))
        for field in form.fields
    ]

    def decode(page: bytes, offset: int, size: int) -> dict[str, FieldValue]:
        return {name: read(page, offset, size) for name, read, needed in readers if needed <= size}

    return decode


def _reader(field: EventField, context: Context) -> Callable[[bytes, int, int], FieldValue]:
    order, strings = context.order, context.strings
    if not field.is_array and field.size in _CODES:
        code = _CODES[field.size]
        unpack = Struct(f"{order}{code if field.signed else code.upper()}").unpack_from
        at = field.offset
        return lambda page, offset, size: unpack(page, offset + at)[0]
    if field.is_text:
        return lambda page, offset, size: strings[field_bytes(field, page, offset, size, order)]
    width = field.element_bytes
    if field.is_array and width in _CODES:
        letter = _CODES[width] if field.signed else _CODES[width].upper()

        def numbers(page: bytes, offset: int, size: int) -> FieldValue:
            raw = field_bytes(field, page, offset, size, order)
            count = len(raw) // width
            return list(Struct(f"{order}{count}{letter}").unpack_from(raw))

        return numbers
    return lambda page, offset, size: field_bytes(field, page, offset, size, order)
