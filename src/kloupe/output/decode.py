"""Bytes to plain Python values. A decoder is made once per type and called for each value.

What a type becomes: integers, enums and pointers int; Bool bool; String and char arrays str (UTF-8, other bytes as surrogate
escapes); Buffer bytes; Array and Tuple tuple; Record and struct dict (anonymous members flattened); a count, sum, avg, min or max
int; stats (count, average, total); an Opaque or Stack a tuple of its parts (see base/ctype `OPAQUE` rows).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from ..base.ctype import (
    Aggregate,
    Array,
    Bool,
    Buffer,
    CType,
    Enum,
    Field,
    Float,
    Histogram,
    Int,
    Opaque,
    Pointer,
    Record,
    Stack,
    String,
    Struct,
    Tuple,
    is_char_array,
)
from ..base.errors import InternalError

Bytes = bytes | memoryview
Decoder = Callable[[Bytes, int], Any]

TRUNCATED = ".."  # what a string without a terminator ends with (bpftrace's default of str_trunc_trailer)

_INT_CODES = {(1, True): "b", (1, False): "B", (2, True): "h", (2, False): "H"}
_INT_CODES |= {(4, True): "i", (4, False): "I", (8, True): "q", (8, False): "Q"}
_FLOAT_CODES = {2: "e", 4: "f", 8: "d"}

# Opaque kind -> how its bytes unpack. A kind with one part decodes to that part alone.
_OPAQUE_CODES = {
    "inet": "Q16s",
    "mac_address": "6s",
    "ksym_t": "Q",
    "usym_t": "QII",
    "username_t": "Q",
    "timestamp": "QII",
    "cgroup_path_t": "QQ",
    "strerror_t": "q",
    "signal_name_t": "q",
    "syscall_name_t": "q",
}


def scalar_code(t: CType) -> str | None:
    """The struct code of a type that is one number, or None."""
    if isinstance(t, (Int, Enum)):
        return _INT_CODES.get((t.size, t.signed))
    if isinstance(t, Bool):
        return "?"
    if isinstance(t, Pointer):
        return "Q"
    if isinstance(t, Float):
        return _FLOAT_CODES.get(t.size)
    return None


def text_of_bytes(raw: bytes) -> str:
    """Text of bytes that need not be UTF-8; turned back by `bytes_of_text`."""
    return raw.decode("utf-8", "surrogateescape")


def bytes_of_text(text: str) -> bytes:
    """The bytes of text, surrogate escapes as the bytes they came from."""
    return text.encode("utf-8", "surrogateescape")


def flat_fields(t: Struct) -> list[Field]:
    """The named members, those of anonymous members in their place (offsets from this struct)."""
    fields = []
    for field in t.fields:
        if field.name or not isinstance(field.type, Struct):
            fields.append(field)
            continue
        for inner in flat_fields(field.type):
            offset = field.offset + inner.offset
            fields.append(Field(inner.name, inner.type, offset, inner.bit_offset, inner.bit_size))
    return fields


def _unpacker(code: str, order: str, *, single: bool) -> Decoder:
    unpack = struct.Struct(order + code).unpack_from
    if not single:
        return unpack
    return lambda data, at: unpack(data, at)[0]


def _string(size: int, trailer: str) -> Decoder:
    def decode(data: Bytes, at: int) -> str:
        raw, stop, _ = bytes(data[at : at + size]).partition(b"\0")
        text = raw.decode("utf-8", "surrogateescape")
        return text if stop else text + trailer

    return decode


def _buffer(capacity: int, order: str) -> Decoder:
    length_of = struct.Struct(order + "I").unpack_from

    def decode(data: Bytes, at: int) -> bytes:
        length = min(length_of(data, at)[0], capacity)
        return bytes(data[at + 4 : at + 4 + length])

    return decode


def _sequence(parts: Sequence[tuple[int, Decoder]]) -> Decoder:
    def decode(data: Bytes, at: int) -> tuple[Any, ...]:
        return tuple([part(data, at + offset) for offset, part in parts])

    return decode


def _mapping(parts: Sequence[tuple[str, int, Decoder]]) -> Decoder:
    def decode(data: Bytes, at: int) -> dict[str, Any]:
        return {name: part(data, at + offset) for name, offset, part in parts}

    return decode


def _bit_field(field: Field) -> Decoder:
    count = (field.bit_offset + field.bit_size + 7) // 8
    shift, mask = field.bit_offset, (1 << field.bit_size) - 1
    sign = 1 << field.bit_size - 1 if getattr(field.type, "signed", False) else 0

    def decode(data: Bytes, at: int) -> int:
        value = int.from_bytes(data[at : at + count], "little") >> shift & mask
        return value - (sign << 1) if value & sign else value

    return decode


def _aggregate(t: Aggregate, order: str) -> Decoder:
    size, merge = t.size, merger(t, order)
    return lambda data, at: merge([data[at : at + size]])


def decoder(t: CType, little_endian: bool = True, trailer: str = TRUNCATED) -> Decoder:
    """A function (data, offset) -> value for `t`. `trailer` is what a string without a terminator gets.

    Raises InternalError for a type that has no value (void, a function). The decoder raises struct.error past the end.
    """
    order = "<" if little_endian else ">"
    code = scalar_code(t)
    if code:
        return _unpacker(code, order, single=True)
    if isinstance(t, String):
        return _string(t.size, trailer)
    if isinstance(t, Array):
        return _array(t, little_endian, trailer)
    if isinstance(t, (Tuple, Record)):
        parts = [decoder(element, little_endian, trailer) for element in t.elements]
        if isinstance(t, Record):
            names = [name for name, _ in t.members]
            return _mapping(list(zip(names, t.offsets, parts, strict=True)))
        return _sequence(list(zip(t.offsets, parts, strict=True)))
    if isinstance(t, Struct):
        return _mapping([(f.name, f.offset, _member(f, little_endian, trailer)) for f in flat_fields(t)])
    return _special(t, order)


def _member(field: Field, little_endian: bool, trailer: str) -> Decoder:
    return _bit_field(field) if field.bit_size else decoder(field.type, little_endian, trailer)


def _array(t: Array, little_endian: bool, trailer: str) -> Decoder:
    if is_char_array(t):
        return _string(t.size, "")
    code = scalar_code(t.element)
    if code:
        return _unpacker(f"{t.count}{code}", "<" if little_endian else ">", single=False)
    element = decoder(t.element, little_endian, trailer)
    return _sequence([(i * t.element.size, element) for i in range(t.count)])


def _special(t: CType, order: str) -> Decoder:
    if isinstance(t, Buffer):
        return _buffer(t.capacity, order)
    if isinstance(t, Stack):
        return _unpacker("qQQ", order, single=False)
    if isinstance(t, Aggregate):
        return _aggregate(t, order)
    if isinstance(t, Opaque) and t.kind in _OPAQUE_CODES:
        code = _OPAQUE_CODES[t.kind]
        return _unpacker(code, order, single=(code.isalpha() and len(code) == 1) or code == "6s")
    if isinstance(t, (Int, Float)) and t.size:
        size = t.size
        signed = bool(getattr(t, "signed", False))
        little = "little" if order == "<" else "big"
        return lambda data, at: int.from_bytes(data[at : at + size], little, signed=signed)  # type: ignore[arg-type]
    raise InternalError(f"no value of type {t} can be printed")


# -- values that each CPU updates ---------------------------------------------------------------------------------

_MASK = (1 << 64) - 1


def wrap(value: int, signed: bool) -> int:
    """`value` modulo 2**64, as int64 or uint64."""
    value &= _MASK
    return value - (1 << 64) if signed and value >> 63 else value


def truncated_quotient(a: int, b: int) -> int:
    """a / b as C divides: toward zero."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def merger(t: CType, order: str = "<") -> Callable[[Sequence[Bytes]], Any]:
    """A function from the values of all CPUs to one value; see `decode` for what it gives. Integers are added up."""
    if isinstance(t, Histogram) or (isinstance(t, Aggregate) and t.kind in ("count", "sum")):
        signed = isinstance(t, Aggregate) and t.signed and t.kind == "sum"
        unpack = struct.Struct(order + "Q").unpack_from
        return lambda values: wrap(sum([unpack(v)[0] for v in values]), signed)
    if isinstance(t, Aggregate):
        pair = struct.Struct(order + ("qq" if t.signed else "QQ")).unpack_from
        merge_pairs = _PAIR_MERGES[t.kind]
        return lambda values: merge_pairs([pair(v) for v in values], t.signed)
    decode = decoder(t, order == "<")
    if isinstance(t, Int):
        return lambda values: wrap(sum([decode(v, 0) for v in values]), t.signed)
    return lambda values: decode(values[0], 0)


def _merge_stats(pairs: list[tuple[int, int]], signed: bool) -> tuple[int, int, int]:
    total = wrap(sum([p[0] for p in pairs]), signed)
    count = sum([p[1] for p in pairs])
    return count, truncated_quotient(total, count) if count else 0, total


_PAIR_MERGES: dict[str, Callable[[list[tuple[int, int]], bool], Any]] = {
    "stats": _merge_stats,
    "avg": lambda pairs, signed: _merge_stats(pairs, signed)[1],
    "min": lambda pairs, _: min([value for value, is_set in pairs if is_set], default=0),
    "max": lambda pairs, _: max([value for value, is_set in pairs if is_set], default=0),
}
