"""The BPF ring buffer: records reserved in place, seen by user space in the order in which they were reserved.

Source: kernel/bpf/ringbuf.c and Documentation/bpf/ringbuf.rst.
"""

from __future__ import annotations

from errno import EAGAIN, EINVAL

from ...base.errors import MachineFault
from ...image import MapSpec
from .maps import CurrentCpu, Map
from .memory import WINDOW_BITS, AddressSpace

HEADER_BYTES = 8
MAX_RECORD_BYTES = 0xFFFFFFFF // 4
# Flags of bpf_ringbuf_query.
AVAIL_DATA, RING_SIZE, CONS_POS, PROD_POS = range(4)
_POOLED = 64


def not_reserved(address: int) -> MachineFault:
    """The fault of finishing what is not reserved."""
    return MachineFault(f"{address:#x} is not a reserved ring-buffer record")


class _Reservation:
    """A record that is being written, and what became of it. Used again for records of the same size."""

    __slots__ = ("address", "data", "done", "keep", "length", "pool", "window")

    def __init__(self, address: int, data: bytearray, length: int, pool: list[_Reservation]) -> None:
        self.address = address
        self.window = address >> WINDOW_BITS
        self.data = data
        self.length = length  # with header and padding
        self.pool = pool
        self.done = self.keep = False


class RingBuffer(Map):
    """ringbuf. `capacity_bytes` is what unread records may take up, 8 bytes for each record's header included."""

    def __init__(self, spec: MapSpec, space: AddressSpace, cpu: CurrentCpu, capacity_bytes: int = 0) -> None:
        super().__init__(spec, space, cpu)
        self.capacity_bytes = capacity_bytes or spec.max_entries
        self.records: list[bytes] = []
        self.open: dict[int, _Reservation] = {}  # reserved, or behind one that is; in order
        self._used = 0  # bytes from the oldest unread record to the newest
        self._produced = 0
        self._pools: dict[int, list[_Reservation]] = {}  # by size

    def reserve(self, size: int, flags: int) -> int:
        """The address of `size` fresh bytes (their content is undefined); 0 when there is no room."""
        length = size + (HEADER_BYTES + 7) & ~7
        if flags or size > MAX_RECORD_BYTES or self._used + length > self.capacity_bytes:
            return 0
        self._used += length
        self._produced += length
        pool = self._pools.get(size)
        if pool:
            record = pool.pop()
            self.space.readable[record.window] = self.space.writable[record.window] = record.data
        else:
            data = bytearray(size)
            pool = self._pools.setdefault(size, [])
            record = _Reservation(self.space.add(f"a record of {self.spec.name}", data), data, length, pool)
        self.open[record.address] = record
        return record.address

    def submit(self, address: int) -> int:
        """Finish and keep a reservation; 0. Raises MachineFault when `address` is none."""
        if not self.finish(address, True):
            raise not_reserved(address)
        return 0

    def finish(self, address: int, keep: bool) -> bool:
        """Submit (keep) or discard a reservation; False when `address` is none."""
        record = self.open.get(address)
        if record is None or record.done:
            return False
        del self.space.readable[record.window], self.space.writable[record.window]
        if len(self.open) == 1:
            del self.open[address]
            self._retire(record, keep)
            return True
        record.done, record.keep = True, keep
        while self.open:
            first = next(iter(self.open.values()))
            if not first.done:
                break
            del self.open[first.address]
            first.done = False
            self._retire(first, first.keep)
        return True

    def _retire(self, record: _Reservation, keep: bool) -> None:
        if keep:
            self.records.append(bytes(record.data))
        elif not self.records and not self.open:
            self._used = 0
        if len(record.pool) < _POOLED:
            record.pool.append(record)

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
        self._used = sum(record.length for record in self.open.values())
        return records
