"""Values to text, as bpftrace writes it. A renderer is made once per type and called for each value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base.ctype import (
    Aggregate,
    Array,
    Bool,
    Buffer,
    CType,
    Enum,
    Histogram,
    Opaque,
    Pointer,
    Record,
    Stack,
    Struct,
    Tuple,
    is_char_array,
)
from .decode import flat_fields
from .histogram import bars, buckets
from .names import OPAQUE_TEXTS, Names

Renderer = Callable[[Any], str]

_PRINTABLE = {byte: chr(byte) if 32 <= byte <= 126 else f"\\x{byte:02x}" for byte in range(256)}


def buffer_text(raw: bytes) -> str:
    """Bytes 32 to 126 as themselves, the others as `\\xNN`."""
    return "".join(map(_PRINTABLE.__getitem__, raw))


def buffer_hex(raw: bytes, prefix: str, between: str) -> str:
    """Each byte as `prefix` and two hexadecimal digits."""
    return between.join([f"{prefix}{byte:02x}" for byte in raw])


def _bool_text(value: bool) -> str:
    return "true" if value else "false"


def _pointer_text(value: int) -> str:
    return f"0x{value:x}"


def enum_names(t: Enum) -> dict[int, str]:
    """value -> the first constant that has it."""
    names: dict[int, str] = {}
    for name, value in t.values:
        names.setdefault(value, name)
    return names


def _enum(t: Enum) -> Renderer:
    names = enum_names(t)
    return lambda value: names.get(value) or str(value)


def _sequence(parts: list[Renderer], open: str, close: str, between: str) -> Renderer:
    return lambda values: open + between.join([part(value) for part, value in zip(parts, values, strict=True)]) + close


def _members(parts: list[tuple[str, Renderer]]) -> Renderer:
    if not parts:
        return lambda value: "{}"
    return lambda value: "{ " + ", ".join([f".{name} = {part(value[name])}" for name, part in parts]) + " }"


def members_of(t: Record | Struct) -> list[tuple[str, CType]]:
    """(name, type) of a record's or struct's members, anonymous ones flattened."""
    if isinstance(t, Record):
        return list(t.members)
    return [(field.name, field.type) for field in flat_fields(t)]


def _opaque(t: Opaque, names: Names) -> Renderer:
    render = OPAQUE_TEXTS.get(t.kind)
    return str if render is None else lambda value: render(value, names)


def _stats_text(value: tuple[int, int, int]) -> str:
    return f"{{ .count = {value[0]}, .average = {value[1]}, .total = {value[2]} }}"


def text_of(t: CType, names: Names) -> Renderer:
    """A function from a value as `decode.decoder` gives it to its text."""
    if isinstance(t, Bool):
        return _bool_text
    if isinstance(t, Pointer):
        return _pointer_text
    if isinstance(t, Enum):
        return _enum(t)
    if isinstance(t, Array) and not is_char_array(t):
        return _sequence([text_of(t.element, names)] * t.count, "[", "]", ",")
    if isinstance(t, Tuple):
        return _sequence([text_of(element, names) for element in t.elements], "(", ")", ", ")
    if isinstance(t, (Record, Struct)):
        return _members([(name, text_of(member, names)) for name, member in members_of(t)])
    if isinstance(t, Buffer):
        return buffer_text
    if isinstance(t, Opaque):
        return _opaque(t, names)
    if isinstance(t, Stack):
        return lambda value: names.stack(t, value)
    if isinstance(t, Aggregate) and t.kind == "stats":
        return _stats_text
    if isinstance(t, Histogram):
        return lambda value: bars(buckets(t, value))
    return str


def key_text_of(t: CType, names: Names) -> Renderer:
    """A function from a map key to its text between the brackets: a tuple's outer parentheses are left out."""
    if isinstance(t, Tuple):
        return _sequence([text_of(element, names) for element in t.elements], "", "", ", ")
    return text_of(t, names)
