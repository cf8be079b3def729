"""The machine's address space: regions of bytes at fake 64-bit addresses, and where other memory is read from.

An address is `TAG << 56 | region << 32 | offset`. No architecture gives such an address to a process or to the kernel
(it is not canonical), so memory of the program can never be mistaken for memory of what is traced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from ...base.errors import MachineFault

TAG = 0x0B
WINDOW_BITS = 32
OFFSET_MASK = (1 << WINDOW_BITS) - 1
NULL_PAGE_BYTES = 4096

Buffer = bytearray | bytes


class AccessFault(MachineFault):
    """A program touched memory that is not its own: `size` bytes at `address`."""

    def __init__(self, message: str, address: int, size: int) -> None:
        super().__init__(message)
        self.address = address
        self.size = size


class MemoryFault(MachineFault):
    """Kernel or user memory that cannot be read; helpers turn it into -EFAULT."""


class MemorySource(Protocol):
    """Memory of the traced system, as a test, a tracer or a recording has it."""

    def read(self, address: int, size: int, user: bool) -> bytes:
        """`size` bytes of user or kernel memory. Raises MemoryFault when any of them cannot be read."""


@runtime_checkable
class TextSource(Protocol):
    """A MemorySource that knows where texts end, and perhaps not what is behind them."""

    def read_text(self, address: int, limit: int, user: bool) -> bytes:
        """The bytes before the first NUL, at most `limit`. Raises MemoryFault when they cannot be read."""


class BytesMemory:
    """A MemorySource made of given pieces: {address: bytes}, for user memory, kernel memory or both."""

    def __init__(self, user: Mapping[int, bytes] | None = None, kernel: Mapping[int, bytes] | None = None) -> None:
        self._pieces = {True: sorted((user or {}).items()), False: sorted((kernel or {}).items())}

    def read(self, address: int, size: int, user: bool) -> bytes:
        """The bytes, from one piece. Raises MemoryFault when no piece holds all of them."""
        for start, data in self._pieces[user]:
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        raise MemoryFault(f"no {'user' if user else 'kernel'} memory at {address:#x}")


class AddressSpace:
    """All memory a program may touch. `readable` and `writable` map a window (address >> 32) to its bytes.

    Translated programs use the two dictionaries directly; everything else uses the methods.
    """

    def __init__(self) -> None:
        self.readable: dict[int, Buffer] = {}
        self.writable: dict[int, bytearray] = {}
        self._names: dict[int, str] = {}
        self._next = TAG << (56 - WINDOW_BITS) | 1

    def handle(self, name: str) -> int:
        """A fresh address with no memory behind it, for maps and functions."""
        window = self._next
        self._next += 1
        self._names[window] = name
        return window << WINDOW_BITS

    def add(self, name: str, data: Buffer, *, read_only: bool = False) -> int:
        """Make `data` (kept, not copied) a region; gives its address. `name` is for fault messages."""
        address = self.handle(name)
        self.readable[address >> WINDOW_BITS] = data
        if not read_only and isinstance(data, bytearray):
            self.writable[address >> WINDOW_BITS] = data
        return address

    def holds(self, address: int) -> bool:
        """True for an address in the machine's own range, mapped or not."""
        return address >> 56 == TAG

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of program memory. Raises AccessFault."""
        data = self.readable.get(address >> WINDOW_BITS)
        offset = address & OFFSET_MASK
        if data is None or offset + size > len(data):
            raise self.fault(address, size, write=False)
        return bytes(data[offset : offset + size])

    def write(self, address: int, value: bytes) -> None:
        """Store into program memory. Raises AccessFault."""
        data = self.writable.get(address >> WINDOW_BITS)
        offset = address & OFFSET_MASK
        if data is None or offset + len(value) > len(data):
            raise self.fault(address, len(value), write=True)
        data[offset : offset + len(value)] = value

    def poke(self, address: int, value: bytes) -> None:
        """Store from user space: read-only regions too."""
        data = self.readable[address >> WINDOW_BITS]
        assert isinstance(data, bytearray)
        offset = address & OFFSET_MASK
        data[offset : offset + len(value)] = value

    def read_string(self, address: int, limit: int) -> bytes:
        """The bytes before the first NUL, at most `limit`. Raises AccessFault when memory ends before either."""
        data = self.readable.get(address >> WINDOW_BITS)
        offset = address & OFFSET_MASK
        if data is None or offset >= len(data):
            raise self.fault(address, 1, write=False)
        end = data.find(b"\0", offset, offset + limit)
        if end < 0:
            return self.read(address, limit)
        return bytes(data[offset:end])

    def fault(self, address: int, size: int, *, write: bool) -> AccessFault:
        """The fault of touching `size` bytes at `address`, with the reason."""
        what = f"{'write' if write else 'read'} of {size} byte{'s' if size != 1 else ''} at {address:#x}"
        return AccessFault(f"{what}: {self._reason(address, write)}", address, size)

    def _reason(self, address: int, write: bool) -> str:
        if address < NULL_PAGE_BYTES:
            return "null pointer"
        window, offset = address >> WINDOW_BITS, address & OFFSET_MASK
        if (
            offset >> WINDOW_BITS - 1 and window + 1 in self._names
        ):  # no region is that large: it is before the next one
            window, offset = window + 1, offset - (1 << WINDOW_BITS)
        name = self._names.get(window)
        if name is None:
            if self.holds(address):
                return "not in any region of the program"
            return "not the program's own memory (memory of the kernel or a process needs probe_read)"
        data = self.readable.get(window)
        if data is None:
            return f"{name} is not memory"
        if write and window not in self.writable and 0 <= offset < len(data):
            return f"{name} is read-only"
        return f"offset {offset} is outside of {name} ({len(data)} bytes)"
