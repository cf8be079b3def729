"""From a test's values to what a program finds: the context's bytes, and memory for what pointers point to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..base import ctype as ct
from ..base import place as at
from ..base.errors import UsageError
from ..base.layout import align_up
from ..base.place import NamedValue
from ..engine.machine.memory import BytesMemory, MemoryFault
from ..kernel.target import ArchTable
from ..probes.model import ProbePoint

Value = int | bool | str | bytes
Values = Mapping[str, Value] | Sequence[Value]
USER_MEMORY, KERNEL_MEMORY = 0x7F00_0000_0000, 0xFFFF_8880_0000_0000
STACK_POINTER = 0x7FFC_0000_0000
_PAGE, _POINTER_BYTES = 4096, 8
_MOST_RECORD = 8192  # PERF_MAX_TRACE_SIZE


class NoMemory:
    """A MemorySource where every read fails."""

    def read(self, address: int, size: int, user: bool) -> bytes:
        """See MemorySource."""
        raise MemoryFault("the test made all reads fail")


class Memory:
    """What is in memory so far, of user and kernel; pieces stay for later events."""

    def __init__(self) -> None:
        self.user: dict[int, bytes] = {}
        self.kernel: dict[int, bytes] = {}
        self._next = {True: USER_MEMORY, False: KERNEL_MEMORY}

    def store(self, data: bytes, *, user: bool = True) -> int:
        """Put data where nothing else is; gives its address."""
        address = self._next[user]
        (self.user if user else self.kernel)[address] = data
        self._next[user] += align_up(len(data), _PAGE) + _PAGE
        return address

    def source(self, user: Mapping[int, bytes], kernel: Mapping[int, bytes]) -> BytesMemory:
        """All of it, and more for one event. Raises UsageError for what is not bytes."""
        for address, data in (*user.items(), *kernel.items()):
            if not isinstance(data, (bytes, bytearray)):
                raise UsageError(f"memory at {address:#x} is bytes, not {data!r}")
        return BytesMemory({**self.user, **user}, {**self.kernel, **kernel})


class EventMaker:
    """Makes the context of one event at `point`."""

    def __init__(self, point: ProbePoint, arch: ArchTable, memory: Memory) -> None:
        self._point = point
        self._memory = memory
        self._arch = arch
        self._context = bytearray(max(arch.registers.values()) + 8 if point.context.registers else 0)
        self._tail: list[tuple[int, bytes, bool]] = []  # (place of the location, data, relative)
        if point.context.registers:
            self._put(arch.registers[arch.stack_pointer], STACK_POINTER.to_bytes(8, "little"))

    def fill(self, args: Values, retval: Value | None, registers: Mapping[str, int]) -> bytes:
        """The context with these values; what is not given is 0. Raises UsageError for a value that the probe does not have."""
        context = self._point.context
        for value in context.args:  # the context is as large as the kernel's
            self._reserve(value)
        named = args if isinstance(args, Mapping) else {}
        for name, given in named.items():
            self._set(self._named(name), given)
        for index, given in enumerate(() if isinstance(args, Mapping) else args):
            numbered = context.numbered(index)
            if numbered is None:
                raise UsageError(f"{self._point.name} has no arg{index}")
            self._set(numbered, given)
        if retval is not None:
            if context.retval is None:
                raise UsageError(f"{self._point.name} has no retval")
            self._set(context.retval, retval)
        for name, number in registers.items():
            if name not in self._arch.registers:
                raise UsageError(f"{self._arch.name} has no register {name}")
            self._put(self._arch.registers[name], (number & (1 << 64) - 1).to_bytes(8, "little"))
        return self._finished()

    def _named(self, name: str) -> NamedValue:
        found = self._point.context.arg(name)
        if found is None:
            known = ", ".join(value.name for value in self._point.context.args) or "none"
            raise UsageError(f"{self._point.name} has no args.{name}; it has {known}")
        return found

    def _put(self, offset: int, data: bytes) -> None:
        if len(self._context) < offset + len(data):
            self._context.extend(bytes(offset + len(data) - len(self._context)))
        self._context[offset : offset + len(data)] = data

    def _reserve(self, value: NamedValue) -> None:
        place = value.place
        if isinstance(place, at.ContextField):
            self._put(place.offset, bytes(place.size))
        elif isinstance(place, at.DataLoc):
            self._put(place.offset, bytes(4))
        elif isinstance(place, at.BtfArgument):
            self._put(8 * place.index, bytes(8))

    def _set(self, value: NamedValue, given: Value) -> None:
        place = value.place
        if isinstance(place, at.DataLoc):
            self._tail.append((place.offset, _text(given), place.relative))
        elif isinstance(place, at.ContextField):
            self._put(place.offset, self._bytes(value.type, given, place.size))
        elif isinstance(place, at.Register):
            self._put(place.offset, self._bytes(value.type, given, 8))
        elif isinstance(place, at.BtfArgument):
            self._put(8 * place.index, self._bytes(value.type, given, 8))
        elif isinstance(place, at.StackArgument):
            pieces = self._memory.user if place.user else self._memory.kernel
            pieces[STACK_POINTER + place.offset] = self._bytes(value.type, given, place.size)
        elif isinstance(place, at.Memory):
            base = STACK_POINTER + 0x10000
            self._put(place.base.offset, base.to_bytes(8, "little"))
            self._memory.user[base + place.offset] = self._bytes(value.type, given, place.size)
        else:
            raise UsageError(f"{self._point.name}: {value.name} cannot be chosen by a test")

    def _bytes(self, t: ct.CType, given: Value, size: int) -> bytes:
        """The value as the kernel stores it; a text where a pointer belongs goes to memory, and its address here."""
        if isinstance(given, (str, bytes)):
            if isinstance(t, (ct.Array, ct.String, ct.Buffer)):
                return _text(given)[:size].ljust(size, b"\0")
            if isinstance(t, ct.Int) and t.size < _POINTER_BYTES:
                raise UsageError(f"{self._point.name}: a number of {t.size} bytes cannot be {given!r}")
            return self._memory.store(_text(given), user=self._is_user(t)).to_bytes(8, "little")[:size]
        if not isinstance(given, int) or not -(1 << 8 * size - 1) <= given < 1 << 8 * size:
            raise UsageError(f"{self._point.name}: a number of {size} bytes cannot be {given!r}")
        return (given & (1 << 8 * size) - 1).to_bytes(size, "little")

    def _is_user(self, t: ct.CType) -> bool:
        space = t.space if isinstance(t, ct.Pointer) and t.space in (ct.Space.USER, ct.Space.KERNEL) else None
        return (space or self._point.context.space) is not ct.Space.KERNEL

    def _finished(self) -> bytes:
        for offset, data, relative in self._tail:
            start = len(self._context)
            if start + len(data) > _MOST_RECORD:
                raise UsageError(f"{self._point.name}: more than {_MOST_RECORD} bytes in one record")
            location = len(data) << 16 | (start - offset - 4 if relative else start)
            self._put(start, data)
            self._put(offset, location.to_bytes(4, "little"))
        return bytes(self._context)


def _text(given: Value) -> bytes:
    """A text with its NUL; bytes are taken as they are."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, str):
        return given.encode("utf-8", "surrogateescape") + b"\0"
    raise UsageError(f"a text was expected, not {given!r}")
