"""The only type model. BTF, DWARF, tracepoint formats and C text all produce it, and the language adds its own values.

`str(t)` is the name that messages use (bpftrace's: `int8`, `string[4]`, `struct s *`, `(int8,string[2])`).
Sizes and offsets are bytes unless the name says bits. Types compare by value, structs and enums by kind, name and size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum as PyEnum

from .record import record


class Space(PyEnum):
    """The address space a pointer points into."""

    NONE = "none"
    KERNEL = "kernel"
    USER = "user"
    BPF = "bpf"  # memory of the program itself: a variable, a map value


class CType:
    """Root of all types. `size` is in bytes; `align` the natural alignment."""

    __slots__ = ()
    size: int

    @property
    def align(self) -> int:
        """Natural alignment in bytes."""
        return 1

    @property
    def is_scalar(self) -> bool:
        """True when a value fits one 64-bit register (integer, bool, enum, pointer)."""
        return False


@record(frozen=True)
class Void(CType):
    """C's void, and the result of a call that gives nothing."""

    size: int = 0

    def __str__(self) -> str:
        return "void"


@record(frozen=True)
class NoneType(CType):
    """The type of a value not known yet."""

    size: int = 0

    def __str__(self) -> str:
        return "none"


@record(frozen=True)
class Int(CType):
    """An integer of 1, 2, 4 or 8 bytes (16 only as an opaque field)."""

    size: int
    signed: bool

    @property
    def align(self) -> int:
        return self.size

    @property
    def is_scalar(self) -> bool:
        return self.size <= 8

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.size * 8}"


@record(frozen=True)
class Bool(CType):
    """C's _Bool and the language's bool."""

    size: int = 1

    @property
    def is_scalar(self) -> bool:
        return True

    def __str__(self) -> str:
        return "bool"


@record(frozen=True)
class Float(CType):
    """A floating-point field: opaque, since BPF has no floating point."""

    size: int

    @property
    def align(self) -> int:
        return self.size

    def __str__(self) -> str:
        return f"float{self.size * 8}"


@record(frozen=True)
class Pointer(CType):
    """A pointer to `target` in `space`."""

    target: CType
    space: Space = Space.NONE
    size: int = 8

    @property
    def align(self) -> int:
        return 8

    @property
    def is_scalar(self) -> bool:
        return True

    def __str__(self) -> str:
        return f"{self.target} *"


@record(frozen=True)
class Array(CType):
    """`count` elements of type `element`; count 0 is a flexible array."""

    element: CType
    count: int

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.element.size * self.count

    @property
    def align(self) -> int:
        return self.element.align

    def __str__(self) -> str:
        return f"{self.element}[{self.count}]"


@record(frozen=True)
class Function(CType):
    """A function's signature (the target of a function pointer, or a traced function). Parameters are (name, type)."""

    result: CType
    parameters: tuple[tuple[str, CType], ...] = ()
    variadic: bool = False
    size: int = 0

    def __str__(self) -> str:
        return f"{self.result} ({', '.join(str(t) for _, t in self.parameters)})"


@record(frozen=True)
class Field:
    """A member of a struct, union or argument list.

    `offset` in bytes; for a bit-field `bit_offset` counts from bit 0 of the little-endian unit at `offset` and
    `bit_size` is its width (0: not a bit-field). `decl` is the type as its source writes it, for listings.
    An anonymous member has the name "". `data_loc` marks a tracepoint `__data_loc` (1) or `__rel_loc` (2) field.
    """

    name: str
    type: CType
    offset: int
    bit_offset: int = 0
    bit_size: int = 0
    decl: str = ""
    data_loc: int = 0


class Struct(CType):
    """A struct or union. Fields may be given at once or as a loader that is called when they are first asked for."""

    __slots__ = ("_align", "_fields", "_size", "kind", "name")

    def __init__(
        self,
        kind: str,
        name: str,
        size: int,
        fields: tuple[Field, ...] | Callable[[], tuple[Field, ...]] = (),
        align: int = 0,
    ) -> None:
        self.kind = kind
        self.name = name
        self._size = size
        self._fields = fields
        self._align = align

    @property
    def size(self) -> int:  # type: ignore[override]
        return self._size

    @property
    def fields(self) -> tuple[Field, ...]:
        """The members in order; loads them on first use."""
        if callable(self._fields):
            self._fields = self._fields()
        return self._fields

    @property
    def align(self) -> int:
        return self._align or max((f.type.align for f in self.fields), default=1)

    def field(self, name: str) -> Field | None:
        """The member `name`, looked for in anonymous members too (offsets then count from this struct)."""
        for member in self.fields:
            if member.name == name:
                return member
            if not member.name and isinstance(member.type, Struct):
                inner = member.type.field(name)
                if inner is not None:
                    return Field(
                        inner.name,
                        inner.type,
                        member.offset + inner.offset,
                        inner.bit_offset,
                        inner.bit_size,
                        inner.decl,
                        inner.data_loc,
                    )
        return None

    def field_names(self) -> Iterator[str]:
        """All names that `field` answers to."""
        for member in self.fields:
            if member.name:
                yield member.name
            elif isinstance(member.type, Struct):
                yield from member.type.field_names()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Struct) or (self.kind, self.name, self.size) != (other.kind, other.name, other.size):
            return False
        return bool(self.name) or self.fields == other.fields

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self._size))

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    __repr__ = __str__


@record(frozen=True)
class Enum(CType):
    """An enumeration; `values` are (name, value)."""

    name: str
    size: int
    signed: bool
    values: tuple[tuple[str, int], ...]

    @property
    def align(self) -> int:
        return self.size

    @property
    def is_scalar(self) -> bool:
        return True

    def name_of(self, value: int) -> str | None:
        """The first constant with this value."""
        return next((name for name, v in self.values if v == value), None)

    def __str__(self) -> str:
        return f"enum {self.name}"


# -- the language's own values ------------------------------------------------------------------------------------


@record(frozen=True)
class String(CType):
    """A NUL-terminated string in `size` bytes (terminator included)."""

    size: int

    def __str__(self) -> str:
        return f"string[{self.size}]"


@record(frozen=True)
class Buffer(CType):
    """`buf()`: a u32 length and then up to `capacity` bytes."""

    capacity: int

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.capacity + 4

    @property
    def align(self) -> int:
        return 4

    def __str__(self) -> str:
        return f"buffer[{self.size}]"


def _place_members(types: tuple[CType, ...]) -> tuple[tuple[int, ...], int, int]:
    offsets, at, align = [], 0, 1
    for member in types:
        step = member.align
        align = max(align, step)
        at = -(-at // step) * step
        offsets.append(at)
        at += member.size
    return tuple(offsets), -(-at // align) * align, align


class Placed(CType):
    """Several values laid out like a C struct."""

    __slots__ = ()

    @property
    def parts(self) -> tuple[CType, ...]:
        """The types of the values in order."""
        raise NotImplementedError

    @property
    def offsets(self) -> tuple[int, ...]:
        """Byte offset of each value."""
        return _place_members(self.parts)[0]

    @property
    def size(self) -> int:  # type: ignore[override]
        return _place_members(self.parts)[1]

    @property
    def align(self) -> int:
        return _place_members(self.parts)[2]


@record(frozen=True)
class Tuple(Placed):
    """An immutable sequence."""

    elements: tuple[CType, ...]

    @property
    def parts(self) -> tuple[CType, ...]:
        return self.elements

    def __str__(self) -> str:
        return f"({','.join(str(e) for e in self.elements)})"


@record(frozen=True)
class Record(Placed):
    """A tuple with named elements."""

    members: tuple[tuple[str, CType], ...]

    @property
    def elements(self) -> tuple[CType, ...]:
        """The members' types."""
        return tuple(t for _, t in self.members)

    @property
    def parts(self) -> tuple[CType, ...]:
        return self.elements

    def __str__(self) -> str:
        return "record { " + ", ".join(f".{n} = {t}" for n, t in self.members) + " }"


@record(frozen=True)
class Opaque(CType):
    """A value that user space turns into text when it prints it; what its bytes mean goes by `kind` (see `OPAQUE`)."""

    kind: str
    size: int

    @property
    def align(self) -> int:
        return min(self.size, 8) if self.size % 8 == 0 or self.size in (1, 2, 4) else 1

    def __str__(self) -> str:
        return self.kind if self.kind != "inet" else "inet[24]"


# Each row: what the bytes hold. All integers little- or big-endian as the machine is.
INET = Opaque("inet", 24)  # u64 address family (2 or 10), 16 address bytes in network order (IPv4 in the first 4)
MAC = Opaque("mac_address", 6)  # 6 bytes
KSYM = Opaque("ksym_t", 8)  # u64 kernel address
USYM = Opaque(
    "usym_t", 16
)  # u64 user address, u32 pid (tgid), u32 index into Image.strings of the probe's binary or ~0
USERNAME = Opaque("username_t", 8)  # u64 uid
TIMESTAMP = Opaque(
    "timestamp", 16
)  # u64 nanoseconds, u32 index into Image.strings (strftime format), u32 clock (0 boot, 1 tai, 2 monotonic)
CGROUP_PATH = Opaque("cgroup_path_t", 16)  # u64 cgroup id, u64 index into Image.strings (filter) or ~0
STRERROR = Opaque("strerror_t", 8)  # u64 errno
KERNEL_VALUE_OPAQUES = (INET, MAC, KSYM, USYM, USERNAME, TIMESTAMP, CGROUP_PATH, STRERROR)


@record(frozen=True)
class Stack(CType):
    """A kernel or user stack: its value is the 24 bytes {i64 stack id, u64 pid (tgid), u64 index of the probe's binary or ~0}.

    `mode` is bpftrace, perf, raw or build_id; `limit` the number of frames; `skip` frames left out at the top.
    The id is a key of the stack map that Image.stacks names for (user, limit), negative when the kernel gave none.
    """

    user: bool
    mode: str = "bpftrace"
    limit: int = 127
    size: int = 24

    @property
    def align(self) -> int:
        return 8

    def __str__(self) -> str:
        return f"{'u' if self.user else 'k'}stack_{self.mode}_{self.limit}"


@record(frozen=True)
class Aggregate(CType):
    """A map value that is updated per CPU and merged when read. `kind`: count sum avg min max stats.

    Bytes per CPU: count u64; sum i64 or u64; avg and stats {i64 or u64 total, u64 count}; min and max
    {i64 or u64 value, u64 is_set}.
    """

    kind: str
    signed: bool = False

    @property
    def size(self) -> int:  # type: ignore[override]
        return 8 if self.kind in ("count", "sum") else 16

    @property
    def align(self) -> int:
        return 8

    def __str__(self) -> str:
        return f"{'u' if not self.signed and self.kind != 'count' else ''}{self.kind}_t"


@record(frozen=True)
class Histogram(CType):
    """hist() (power-of-two buckets, `bits` 0 to 5) or lhist() (`minimum`, `maximum`, `step`): one u64 count per bucket and CPU.

    A map of histograms has the bucket number (u32) appended to its key; see Image.MapSpec.
    """

    kind: str  # "hist" or "lhist"
    bits: int = 0
    minimum: int = 0
    maximum: int = 0
    step: int = 1
    size: int = 8

    @property
    def align(self) -> int:
        return 8

    def __str__(self) -> str:
        return f"{self.kind}_t"


@record(frozen=True)
class TimeSeries(CType):
    """tseries(): what was seen in each of the last `intervals` spans of `interval_ns`. `how`: "" (the last value), avg, min, max, sum.

    Kept like a histogram, in buckets numbered interval number modulo `intervals`. Bytes per bucket and CPU: i64 or u64 value,
    u64 weight (the time of the value; for avg the number of values), u64 interval number (0: nothing yet). Interval numbers count
    from zero of `clock` (0 boot, 1 tai).
    """

    signed: bool
    interval_ns: int
    intervals: int
    how: str = ""
    clock: int = 1
    size: int = 24

    @property
    def align(self) -> int:
        return 8

    def __str__(self) -> str:
        return "tseries_t"


INT8, INT16, INT32, INT64 = (Int(n, True) for n in (1, 2, 4, 8))
UINT8, UINT16, UINT32, UINT64 = (Int(n, False) for n in (1, 2, 4, 8))
VOID, NONE, BOOL = Void(), NoneType(), Bool()

INTEGER_NAMES: dict[str, Int] = {str(t): t for t in (INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64)}


def is_bucketed(t: CType) -> bool:
    """True for values kept in numbered buckets, with the number appended to the map's key."""
    return isinstance(t, (Histogram, TimeSeries))


def is_integer(t: CType) -> bool:
    """True for Int, Bool and Enum: what arithmetic takes."""
    return isinstance(t, (Int, Bool, Enum))


def is_char_array(t: CType) -> bool:
    """True for `char[N]`, which the language reads as a string."""
    return isinstance(t, Array) and t.element == INT8


def smallest_signed(value: int) -> Int:
    """The type of a literal: the smallest signed type that holds it, uint64 above int64's maximum."""
    for t in (INT8, INT16, INT32, INT64):
        limit = 1 << (8 * t.size - 1)
        if -limit <= value < limit:
            return t
    return UINT64
