"""printf, compiled: from a format and the event's layout to a function that renders many records with one `struct` call and one `%`.

Each argument is a column: how to unpack it, how to change it (if at all) before formatting, and its piece of a `%` format.
Formatting is done on bytes: text of the traced programs need not be UTF-8, and widths count bytes as C's do.
Meaning of conversions: printf(3), and for `%s` of any value, `%r %rx %rh` (buffers) and `%gr` (allocation flags) the language.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from ..base.ctype import Bool, Buffer, CType, Enum, Int, Pointer, String, is_char_array
from ..base.errors import InternalError
from ..base.format import Conversion, parse_format
from ..base.layout import EventField, EventLayout
from ..base.record import record
from .decode import TRUNCATED, bytes_of_text, decoder, scalar_code
from .names import Names
from .tables import gfp_text
from .text import buffer_hex, buffer_text, text_of

Record = bytes | memoryview
Fix = Callable[[Sequence[Any]], Sequence[Any]]

_LENGTH_BYTES = {"hh": 1, "h": 2, "": 4}  # the rest (l ll j z t L): 8
_CODES = {(1, True): "b", (1, False): "B", (2, True): "h", (2, False): "H"}
_CODES |= {(4, True): "i", (4, False): "I", (8, True): "q", (8, False): "Q"}
_SIGNED = "di"
_CHUNK = 1024  # records rendered at once: large enough to be fast, small enough to stay in the cache


@record(frozen=True)
class Column:
    """One argument: `code` at `offset` of the record, changed by `fix`, formatted by `piece`."""

    offset: int
    code: str
    piece: bytes
    fix: Fix | None = None


def _piece(spec: Conversion, kind: str, drop: str = "", precision: bool = True) -> bytes:
    flags = "".join(dict.fromkeys(f for f in spec.flags if f not in drop))
    width = "" if spec.width is None else str(spec.width)
    dot = f".{spec.precision}" if precision and spec.precision is not None else ""
    return f"%{flags}{width}{dot}{kind}".encode()


def _each(function: Callable[[Any], bytes]) -> Fix:
    return lambda values: [function(value) for value in values]


def _text_piece(spec: Conversion, function: Callable[[Any], bytes]) -> tuple[bytes, Fix]:
    """A `%s` piece. Zero padding is plain fill."""
    if "0" in spec.flags and "-" not in spec.flags and spec.width:
        width, cut = spec.width, spec.precision
        return b"%s", _each(lambda value: function(value)[:cut].rjust(width, b"0"))
    return _piece(spec, "s", drop="+ #0"), _each(function)


def _string_fix(size: int, trailer: bytes) -> Fix:
    def fix(values: Sequence[bytes]) -> Sequence[bytes]:
        texts = [value.partition(b"\0")[0] for value in values]
        if trailer and max(map(len, texts), default=0) == size:
            return [text + trailer if len(text) == size else text for text in texts]
        return texts

    return fix


def _alternate(spec: Conversion, kind: str) -> tuple[bytes, Fix]:
    """`%#x` and `%#o` as C writes them: zero without prefix, octal with a bare 0."""
    drop = "0+ " if spec.precision is not None else "+ "
    if kind == "o":
        digits = max(spec.precision or 0, 0)
        fill = b"0" if "0" in spec.flags and "-" not in spec.flags and not digits else b" "
        width, left = spec.width or 0, "-" in spec.flags

        def octal(value: int) -> bytes:
            text = b"%.*o" % (max(digits, len(b"%o" % value) + 1 if value else 1), value)
            return text.ljust(width) if left else text.rjust(width, fill)

        return b"%s", _each(octal)
    full, bare = _piece(spec, kind, drop), _piece(spec, kind, drop + "#")
    return b"%s", _each(lambda value: full % value if value else bare % value)


def _integer_code(spec: Conversion, t: CType, signed: bool, little: bool) -> tuple[int, str, int]:
    """(offset within the field, struct code, mask or 0): the low bytes that the conversion prints, extended by the type's sign."""
    wanted = _LENGTH_BYTES.get(spec.length, 8)
    if isinstance(t, Bool):
        return 0, "?", 0
    if wanted <= t.size:
        return (0 if little else t.size - wanted), _CODES[(wanted, signed)], 0
    type_signed = bool(getattr(t, "signed", False))
    return 0, _CODES[(t.size, type_signed)], (1 << 8 * wanted) - 1 if type_signed and not signed else 0


def _integer_column(spec: Conversion, at: int, t: CType, little: bool) -> Column:
    signed = spec.kind in _SIGNED
    inner, code, mask = _integer_code(spec, t, signed, little)
    kind = "d" if spec.kind in "diu" else spec.kind
    drop = ("" if signed else "+ ") + ("0" if spec.precision is not None else "")
    piece, fix = _piece(spec, kind, drop), None
    if "#" in spec.flags and kind != "d":
        piece, fix = _alternate(spec, kind)
    if mask:
        rest = fix or (lambda values: values)
        fix = lambda values: rest([value & mask for value in values])  # noqa: E731
    return Column(at + inner, code, piece, fix)


def _char_column(spec: Conversion, at: int, t: CType, little: bool) -> Column:
    return Column(at if little else at + t.size - 1, "B", _piece(spec, "c", drop="+ #0", precision=False))


def _pointer_column(spec: Conversion, at: int, t: CType, little: bool) -> Column:
    mask = (1 << 64) - 1
    piece, fix = _text_piece(spec, lambda value: b"0x%x" % (value & mask) if value else b"0")
    return Column(at, scalar_code(t) or "Q", piece, fix)


def _gfp_column(spec: Conversion, at: int, t: CType, little: bool) -> Column:
    mask = (1 << 64) - 1
    piece, fix = _text_piece(spec, lambda value: gfp_text(value & mask).encode())
    return Column(at, scalar_code(t) or "Q", piece, fix)


_INTEGER_COLUMNS = dict.fromkeys("diuoxX", _integer_column)
_INTEGER_COLUMNS |= {"c": _char_column, "p": _pointer_column, "gr": _gfp_column}
_BUFFER_TEXTS: dict[str, Callable[[bytes], str]] = {
    "rx": lambda raw: buffer_hex(raw, "\\x", ""),
    "rh": lambda raw: buffer_hex(raw, "", " "),
    "r": buffer_text,
}


def _value_column(spec: Conversion, field: EventField, names: Names, little: bool, trailer: str) -> Column:
    """`%s` (any type) and the buffer conversions."""
    t, at = field.type, field.offset
    if isinstance(t, String) or is_char_array(t):
        strip = _string_fix(t.size, trailer.encode() if isinstance(t, String) else b"")
        if "0" not in spec.flags:
            return Column(at, f"{t.size}s", _piece(spec, "s", drop="+ #"), strip)
        piece, fill = _text_piece(spec, lambda value: value)
        return Column(at, f"{t.size}s", piece, lambda values: fill(strip(values)))
    code = scalar_code(t)
    if isinstance(t, Int) and code and spec.precision is None:
        return Column(at, code, _piece(spec, "d", drop="+ #"))
    render: Callable[[Any], str] = text_of(t, names)
    if isinstance(t, Buffer):
        render = _BUFFER_TEXTS.get(spec.kind, buffer_text)
    if code:
        piece, fix = _text_piece(spec, lambda value: bytes_of_text(render(value)))
        return Column(at, code, piece, fix)
    decode = decoder(t, little, trailer)
    piece, fix = _text_piece(spec, lambda raw: bytes_of_text(render(decode(raw, 0))))
    return Column(at, f"{t.size}s", piece, fix)


def _column(spec: Conversion, field: EventField, names: Names, little: bool, trailer: str) -> Column:
    t = field.type
    make = _INTEGER_COLUMNS.get(spec.kind)
    if make and isinstance(t, (Int, Bool, Enum, Pointer)) and scalar_code(t):
        return make(spec, field.offset, t, little)
    return _value_column(spec, field, names, little, trailer)


def _unpack_format(columns: Sequence[Column], size: int, little: bool) -> str:
    out, at = ["<" if little else ">"], 0
    for column in columns:
        out.append(f"{column.offset - at}x{column.code}")
        at = column.offset + struct.calcsize("<" + column.code)
    return "".join(out) + f"{size - at}x"


class Printf:
    """A format with its event layout, ready to render records (see `EventLayout`). Raises InternalError when the two do not fit."""

    def __init__(
        self, format: str, layout: EventLayout, names: Names, little_endian: bool = True, trailer: str = TRUNCATED
    ) -> None:
        pieces = parse_format(format)
        specs = [piece for piece in pieces if isinstance(piece, Conversion)]
        if len(specs) != len(layout.fields):
            raise InternalError(f"format {format!r} takes {len(specs)} values, the event has {len(layout.fields)}")
        columns = [
            _column(spec, field, names, little_endian, trailer)
            for spec, field in zip(specs, layout.fields, strict=True)
        ]
        parts = iter(columns)
        self.size = layout.size
        self._template = b"".join(
            next(parts).piece if isinstance(piece, Conversion) else bytes_of_text(piece).replace(b"%", b"%%")
            for piece in pieces
        )
        self._struct = struct.Struct(_unpack_format(columns, layout.size, little_endian))
        self._fixes = [(index, column.fix) for index, column in enumerate(columns) if column.fix]
        self._empty = not columns

    def _rows(self, records: Sequence[Record]) -> Iterator[tuple[Any, ...]]:
        data = b"".join(records)
        size = self.size
        if len(data) != size * len(records):  # an engine may pad or cut a record
            data = b"".join([bytes(record[:size]).ljust(size, b"\0") for record in records])
        rows = self._struct.iter_unpack(data)
        if not self._fixes:
            return rows
        columns: list[Any] = list(zip(*rows, strict=True))
        for index, fix in self._fixes:
            columns[index] = fix(columns[index])
        return zip(*columns, strict=True)

    def joined(self, records: Sequence[Record]) -> bytes:
        """The text of all records in one piece."""
        count = len(records)
        if self._empty:
            return (self._template % ()) * count
        if count > _CHUNK:
            return b"".join([self.joined(records[i : i + _CHUNK]) for i in range(0, count, _CHUNK)])
        return (self._template * count) % tuple(chain.from_iterable(self._rows(records)))

    def each(self, records: Sequence[Record]) -> list[bytes]:
        """The text of each record."""
        if self._empty:
            return [self._template % ()] * len(records)
        template = self._template
        return [template % row for row in self._rows(records)]
