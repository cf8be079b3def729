"""Codecs of the Image file: numbers, text, sequences, objects and the table of types. Every reader is bounded and raises FormatError."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from .base import ctype
from .base.ctype import CType, Field, Space, Struct
from .base.errors import FormatError
from .base.record import record

_INTEGER_BYTES = 10  # 70 bits: more than any field has
_DEEPEST, _DEEPEST_STRUCT = 16, 64  # nesting of types, of structs in structs
_HEAVIEST = 100_000  # nodes of one type with everything it contains: sharing must not hide an explosion
LARGEST_BYTES = 1 << 30  # of a value


class Writer:
    """Bytes so far, and the table of types: structs first, then the others, each behind what it is made of."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.structs: list[Struct] = []
        self.full: set[int] = set()  # indices of the structs whose fields are kept
        self.plain: list[CType] = []
        self._struct_index: dict[object, int] = {}
        self._plain_index: dict[CType, int] = {}
        self._seen: set[tuple[CType, bool]] = set()

    def type_index(self, t: CType) -> int:
        """The place of a collected type in the table."""
        if isinstance(t, Struct):
            return self._struct_index[_struct_key(t)]
        return len(self.structs) + self._plain_index[t]

    def collect(self, t: CType, shallow: bool = False) -> None:
        """Put a type and all it is made of into the table; `shallow`: it is only pointed to."""
        if isinstance(t, Struct):
            self._collect_struct(t, shallow)
            return
        if (t, shallow) in self._seen:
            return
        self._seen.add((t, shallow))
        behind_pointer = isinstance(t, (ctype.Pointer, ctype.Function))
        for part in _parts_of(t):
            self.collect(part, shallow or behind_pointer)
        if t not in self._plain_index:
            self._plain_index[t] = len(self.plain)
            self.plain.append(t)

    def _collect_struct(self, t: Struct, shallow: bool) -> None:
        key = _struct_key(t)
        if key not in self._struct_index:
            self._struct_index[key] = len(self.structs)
            self.structs.append(t)
        index = self._struct_index[key]
        if (shallow and t.name) or index in self.full:
            return
        self.full.add(index)
        for field in t.fields:
            self.collect(field.type)


def _struct_key(t: Struct) -> object:
    return t if t.name else id(t)


def _parts_of(t: CType) -> list[CType]:
    """The types that a type other than a struct is made of."""
    if isinstance(t, ctype.Pointer):
        return [t.target]
    if isinstance(t, ctype.Array):
        return [t.element]
    if isinstance(t, ctype.Function):
        return [t.result, *[part for _, part in t.parameters]]
    if isinstance(t, (ctype.Tuple, ctype.Record)):
        return list(t.elements)
    return []


class Reader:
    """A cursor over the content. Raises FormatError for everything that does not fit."""

    def __init__(self, data: bytes, path: str) -> None:
        self.data = data
        self.path = path
        self.at = 0
        self.types: list[CType] = []
        self.depths: dict[int, int] = {}  # of the types, by identity; those made of nothing have 1

    def fail(self, message: str) -> NoReturn:
        raise FormatError(self.path, self.at, message)

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.at:
            self.fail(f"{count} bytes wanted, {len(self.data) - self.at} left")
        self.at += count
        return self.data[self.at - count : self.at]


@record(frozen=True)
class Codec:
    """How one kind of value is written and read."""

    write: Callable[[Writer, Any], None]
    read: Callable[[Reader], Any]


# -- simple values ------------------------------------------------------------------------------------------------


def _write_int(w: Writer, value: int) -> None:
    code = value << 1 if value >= 0 else ~value << 1 | 1  # small magnitudes stay short
    while code > 0x7F:
        w.data.append(code & 0x7F | 0x80)
        code >>= 7
    w.data.append(code)


def _read_int(r: Reader) -> int:
    code = shift = 0
    while True:
        if shift == 7 * _INTEGER_BYTES:
            r.fail("integer too long")
        byte = r.take(1)[0]
        code |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return ~(code >> 1) if code & 1 else code >> 1


def _read_count(r: Reader) -> int:
    """How many elements follow; each takes a byte at least."""
    count = _read_int(r)
    if not 0 <= count <= len(r.data) - r.at:
        r.fail(f"impossible count {count}")
    return count


def _write_bytes(w: Writer, value: bytes) -> None:
    _write_int(w, len(value))
    w.data += value


def _read_bytes(r: Reader) -> bytes:
    return r.take(_read_int(r))


def _write_text(w: Writer, value: str) -> None:
    _write_bytes(w, value.encode("utf-8", "surrogateescape"))


def _read_text(r: Reader) -> str:
    return _read_bytes(r).decode("utf-8", "surrogateescape")


def _read_bool(r: Reader) -> bool:
    value = r.take(1)[0]
    if value > 1:
        r.fail(f"{value} is no truth value")
    return value == 1


INT = Codec(_write_int, _read_int)
BYTES = Codec(_write_bytes, _read_bytes)
TEXT = Codec(_write_text, _read_text)
BOOL = Codec(lambda w, value: w.data.append(bool(value)), _read_bool)


def sequence(element: Codec) -> Codec:
    """A tuple of values of one codec."""

    def write(w: Writer, values: Any) -> None:
        _write_int(w, len(values))
        for value in values:
            element.write(w, value)

    return Codec(write, lambda r: tuple([element.read(r) for _ in range(_read_count(r))]))


def group(*parts: Codec) -> Codec:
    """A tuple of fixed length."""

    def write(w: Writer, values: Any) -> None:
        for part, value in zip(parts, values, strict=True):
            part.write(w, value)

    return Codec(write, lambda r: tuple([part.read(r) for part in parts]))


def made_of(cls: Callable[..., Any], **parts: Codec) -> Codec:
    """An object of `cls`, whose constructor takes these attributes in this order."""

    def write(w: Writer, value: Any) -> None:
        for name, part in parts.items():
            part.write(w, getattr(value, name))

    return Codec(write, lambda r: cls(*[part.read(r) for part in parts.values()]))


# A scalar parameter: a tag, then the value. bool before int, since a bool is an int.
_SCALARS: tuple[tuple[type, Codec], ...] = ((bool, BOOL), (int, INT), (str, TEXT))


def _write_scalar(w: Writer, value: int | str | bool) -> None:
    tag = next(i for i, (cls, _) in enumerate(_SCALARS) if isinstance(value, cls))
    w.data.append(tag)
    _SCALARS[tag][1].write(w, value)


def _read_scalar(r: Reader) -> Any:
    tag = r.take(1)[0]
    if tag >= len(_SCALARS):
        r.fail(f"unknown scalar tag {tag}")
    return _SCALARS[tag][1].read(r)


_PAIRS = sequence(group(TEXT, Codec(_write_scalar, _read_scalar)))
PARAMS = Codec(lambda w, value: _PAIRS.write(w, sorted(value.items())), lambda r: dict(_PAIRS.read(r)))

# -- types --------------------------------------------------------------------------------------------------------


def _read_type(r: Reader) -> CType:
    index = _read_int(r)
    if not 0 <= index < len(r.types):
        r.fail(f"unknown type {index}")
    return r.types[index]


TYPE = Codec(lambda w, t: _write_int(w, w.type_index(t)), _read_type)


def _write_optional_type(w: Writer, t: CType | None) -> None:
    _write_int(w, -1 if t is None else w.type_index(t))


def _read_optional_type(r: Reader) -> CType | None:
    mark = r.at
    if _read_int(r) == -1:
        return None
    r.at = mark
    return _read_type(r)


OPTIONAL_TYPE = Codec(_write_optional_type, _read_optional_type)
_SPACES = tuple(Space)


def _read_space(r: Reader) -> Space:
    index = r.take(1)[0]
    return _SPACES[index] if index < len(_SPACES) else r.fail(f"unknown address space {index}")


SPACE = Codec(lambda w, value: w.data.append(_SPACES.index(value)), _read_space)
_NAMED_TYPES = sequence(group(TEXT, TYPE))

# Every type but Struct. The position of a row is its tag in the file: add rows at the end.
_TYPE_CODECS: tuple[tuple[type[CType], Codec], ...] = (
    (ctype.Void, made_of(ctype.Void, size=INT)),
    (ctype.NoneType, made_of(ctype.NoneType, size=INT)),
    (ctype.Int, made_of(ctype.Int, size=INT, signed=BOOL)),
    (ctype.Bool, made_of(ctype.Bool, size=INT)),
    (ctype.Float, made_of(ctype.Float, size=INT)),
    (ctype.Pointer, made_of(ctype.Pointer, target=TYPE, space=SPACE, size=INT)),
    (ctype.Array, made_of(ctype.Array, element=TYPE, count=INT)),
    (ctype.Function, made_of(ctype.Function, result=TYPE, parameters=_NAMED_TYPES, variadic=BOOL, size=INT)),
    (ctype.Enum, made_of(ctype.Enum, name=TEXT, size=INT, signed=BOOL, values=sequence(group(TEXT, INT)))),
    (ctype.String, made_of(ctype.String, size=INT)),
    (ctype.Buffer, made_of(ctype.Buffer, capacity=INT)),
    (ctype.Tuple, made_of(ctype.Tuple, elements=sequence(TYPE))),
    (ctype.Record, made_of(ctype.Record, members=_NAMED_TYPES)),
    (ctype.Opaque, made_of(ctype.Opaque, kind=TEXT, size=INT)),
    (ctype.Stack, made_of(ctype.Stack, user=BOOL, mode=TEXT, limit=INT, size=INT)),
    (ctype.Aggregate, made_of(ctype.Aggregate, kind=TEXT, signed=BOOL)),
    (
        ctype.Histogram,
        made_of(ctype.Histogram, kind=TEXT, bits=INT, minimum=INT, maximum=INT, step=INT, size=INT),
    ),
    (
        ctype.TimeSeries,
        made_of(ctype.TimeSeries, signed=BOOL, interval_ns=INT, intervals=INT, how=TEXT, clock=INT, size=INT),
    ),
)
_TAGS = {cls: tag for tag, (cls, _) in enumerate(_TYPE_CODECS)}
_STRUCT_TAG = 255
_FIELD_PARTS = {
    "name": TEXT,
    "type": TYPE,
    "offset": INT,
    "bit_offset": INT,
    "bit_size": INT,
    "decl": TEXT,
    "data_loc": INT,
}
_FIELDS = sequence(made_of(Field, **_FIELD_PARTS))


def write_types(w: Writer) -> None:
    _write_int(w, len(w.structs))
    for index, t in enumerate(w.structs):
        _write_text(w, t.kind)
        _write_text(w, t.name)
        _write_int(w, t.size)
        _write_int(w, t.align if index in w.full else 0)
    _write_int(w, len(w.plain))
    for plain in w.plain:
        tag = _TAGS[type(plain)]
        w.data.append(tag)
        _TYPE_CODECS[tag][1].write(w, plain)
    for index, t in enumerate(w.structs):
        BOOL.write(w, index in w.full)
        if index in w.full:
            _FIELDS.write(w, t.fields)


def read_types(r: Reader) -> None:
    bodies: list[tuple[Field, ...]] = []
    aligned: list[bool] = []
    count = _read_count(r)
    for index in range(count):
        kind, name, size, align = _read_text(r), _read_text(r), _read_int(r), _read_int(r)
        if not (0 <= size <= LARGEST_BYTES and 0 <= align <= LARGEST_BYTES):
            r.fail(f"struct {name}: size {size}, alignment {align}")
        aligned.append(align > 0)
        r.types.append(Struct(kind, name, size, lambda index=index: bodies[index], align))  # type: ignore[misc]
    for _ in range(_read_count(r)):
        _read_plain_type(r)
    for t in r.types[:count]:
        bodies.append(_FIELDS.read(r) if _read_bool(r) else ())
        if bodies[-1] and not aligned[len(bodies) - 1]:
            r.fail(f"{t} has members but no alignment")
    _check_contents(r, count)


def _read_plain_type(r: Reader) -> None:
    tag = r.take(1)[0]
    if tag >= len(_TYPE_CODECS):
        r.fail(f"unknown kind of type {tag}")
    t: CType = _TYPE_CODECS[tag][1].read(r)
    depth = 1 + max([r.depths.get(id(part), 0) for part in _parts_of(t)], default=0)
    if depth > _DEEPEST:
        r.fail("types nested too deep")
    r.types.append(t)
    r.depths[id(t)] = depth


# Types whose size is limited more than by being reasonable.
_SIZES: dict[type[CType], tuple[int, ...] | range] = {
    ctype.Int: (1, 2, 4, 8, 16),
    ctype.Enum: (1, 2, 4, 8),
    ctype.Float: (2, 4, 8, 10, 12, 16),
    ctype.Bool: (1,),
    ctype.Pointer: (8,),
    ctype.Opaque: range(1, LARGEST_BYTES),
}


def _check_contents(r: Reader, struct_count: int) -> None:
    """No struct contains itself, and no type is an explosion of others."""
    weights: dict[int, int] = {}

    def weigh(t: CType, level: int) -> int:
        if id(t) in weights:
            return weights[id(t)]
        if level > _DEEPEST_STRUCT + _DEEPEST:
            r.fail("a struct contains itself, or nests too deep")
        if isinstance(t, Struct):
            parts = [field.type for field in t.fields]
        elif isinstance(t, (ctype.Pointer, ctype.Function)):
            parts = []
        else:
            parts = _parts_of(t)
        weight = 1 + sum([weigh(part, level + 1) for part in parts])
        if weight > _HEAVIEST:
            r.fail("a type with too many members")
        weights[id(t)] = weight
        return weight

    for t in r.types:
        weigh(t, 0)
    for t in r.types[struct_count:]:
        sizes = _SIZES.get(type(t), range(LARGEST_BYTES))
        if getattr(t, "count", 0) < 0 or getattr(t, "capacity", 0) < 0 or t.size not in sizes:
            r.fail(f"a type {type(t).__name__} of {t.size} bytes")
    for t in r.types[:struct_count]:
        assert isinstance(t, Struct)
        for field in t.fields:
            if min(field.offset, field.bit_offset, field.bit_size) < 0 or field.bit_size > 128:
                r.fail(f"struct {t.name}: impossible place of member {field.name}")
