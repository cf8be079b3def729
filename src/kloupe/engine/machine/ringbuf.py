"""The BPF ring buffer: records reserved in place, seen by user space in the order in which they were reserved.

Source: kernel/bpf/ringbuf.c and Documentation/bpf/ringbuf.rst.
"""

from __future__ import annotations

from errno import EAGAIN, EINVAL

from ...base.layout import align_up
from ...image import MapSpec
from .maps import CurrentCpu, Map
from .memory import OFFSET_MASK, WINDOW_BITS, AddressSpace

HEADER_BYTES = 8
MAX_RECORD_BYTES = 0xFFFFFFFF // 4
# Flags of bpf_ringbuf_query.
AVAIL_DATA, RING_SIZE, CONS_POS, PROD_POS = range(4)
_POOLED = 64


class _Reservation:
    """A record that is being written: its address, its bytes, and what became of it (None: nothing yet)."""

    __slots__ = ("address", "data", "done", "keep", "size")

    def __init__(self, address: int, data: bytearray, size: int) -> None:
        self.address = address
        self.data = data
        self.size = size
        self.done = False
        self.keep = False


class RingBuffer(Map):
    """ringbuf. `capacity_bytes` is what unread records may take up, 8 bytes for each record's header included."""

    def __init__(self, spec: MapSpec, space: AddressSpace, cpu: CurrentCpu, capacity_bytes: int = 0) -> None:
        super().__init__(spec, space, cpu)
        self.capacity_bytes = capacity_bytes or spec.max_entries
        self.records: list[bytes] = []
        self.open: dict[int, _Reservation] = {}  # reserved, or behind one that is; in order
        self._used = 0  # bytes from the oldest unread record to the newest
        self._produced = 0
        self._pool: dict[int, list[tuple[int, bytearray]]] = {}

    def reserve(self, size: int, flags: int) -> int:
        """The address of `size` fresh bytes (their content is undefined); 0 when there is no room."""
        length = align_up(size + HEADER_BYTES, 8)
        if flags or size > MAX_RECORD_BYTES or self._used + length > self.capacity_bytes:
            return 0
        self._used += length
        self._produced += length
        pool = self._pool.get(size)
        if pool:
            address, data = pool.pop()
        else:
            data = bytearray(size)
            address = self.space.add(f"a record of {self.spec.name}", data)
        self.space.readable[address >> WINDOW_BITS] = self.space.writable[address >> WINDOW_BITS] = data
        self.open[address] = _Reservation(address, data, size)
        return address

    def finish(self, address: int, keep: bool) -> bool:
        """Submit (keep) or discard a reservation; False when `address` is none."""
        reservation = self.open.get(address)
        if reservation is None or reservation.done:
            return False
        window = address >> WINDOW_BITS
        del self.space.readable[window], self.space.writable[window]
        if len(self.open) == 1:
            del self.open[address]
            self._retire(reservation, keep)
            return True
        reservation.done, reservation.keep = True, keep
        while self.open:
            first = next(iter(self.open.values()))
            if not first.done:
                break
            del self.open[first.address]
            self._retire(first, first.keep)
        return True

    def _retire(self, reservation: _Reservation, keep: bool) -> None:
        if keep:
            self.records.append(bytes(reservation.data))
        elif not self.records and not self.open:
            self._used = 0
        pool = self._pool.setdefault(reservation.size, [])
        if len(pool) < _POOLED:
            pool.append((reservation.address, reservation.data))

    @property
    def unfinished(self) -> bool:
        """True while a reservation is neither submitted nor discarded."""
        return bool(self.open)

    def output(self, record: bytes, flags: int) -> int:
        """Append a copy; -EAGAIN when there is no room, -EINVAL for unknown flags (only the two wake-up ones exist)."""
        if flags & ~3:
            return -EINVAL
        address = self.reserve(len(record), 0)
        if not address:
            return -EAGAIN
        self.open[address].data[:] = record
        self.finish(address, True)
        return 0

    def query(self, what: int) -> int:
        """bpf_ringbuf_query: unread bytes, size, positions; 0 for an unknown question."""
        answers = {
            AVAIL_DATA: self._used,
            RING_SIZE: self.capacity_bytes,
            CONS_POS: self._produced - self._used,
            PROD_POS: self._produced,
        }
        return answers.get(what, 0)

    def drain(self) -> list[bytes]:
        """All finished records, oldest first; they take up no room any more."""
        records, self.records = self.records, []
        self._used = sum(align_up(open_one.size + HEADER_BYTES, 8) for open_one in self.open.values())
        return records

    def locate(self, address: int) -> bool:
        """True when `address` is the start of an unfinished reservation."""
        return address in self.open and not address & OFFSET_MASK
