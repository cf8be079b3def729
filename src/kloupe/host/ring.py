"""The consumer of a BPF ring buffer map. Source: kernel/bpf/ringbuf.c and Documentation/bpf/ringbuf.rst.

Memory as mapped: the consumer's page (u64 position, ours to write), the producer's page (u64 position), then the data
twice in a row, so that a record that wraps is still one stretch. A record is {u32 length and flags, u32 page}, data, padding to 8.
"""

from __future__ import annotations

import mmap
import select
import struct
from _thread import allocate_lock
from itertools import chain

_BUSY, _DISCARD, _LENGTH = 1 << 31, 1 << 30, (1 << 30) - 1
_HEADER_BYTES = 8
_LONGEST_RUN = 4096


def _equal_at_start(values: list[int], value: int) -> int:
    """How many of the first values are `value`."""
    if values.count(value) == len(values):
        return len(values)
    return next(index for index, other in enumerate(values) if other != value)


class RingReader:
    """Reads the records of one ring buffer map of `size_bytes` (a power of two). Owns its mappings, not the descriptor."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        page = mmap.PAGESIZE
        self._size = size_bytes
        self._consumer_map = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        try:
            self._data_map = mmap.mmap(fd, page + 2 * size_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        except BaseException:
            self._consumer_map.close()
            raise
        self._page = page
        self._consumer = memoryview(self._consumer_map).cast("Q")
        self._producer = memoryview(self._data_map)[:8].cast("Q")
        self._bytes = memoryview(self._data_map)
        self._words = self._bytes[page:].cast("I")
        self._layouts: dict[int, struct.Struct] = {}
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._fence = allocate_lock()
        self._fence.acquire()

    def _order_memory(self) -> None:
        """A full memory barrier: release followed by acquire of a lock. Needed on arm64, and between our store and next load."""
        self._fence.release()
        self._fence.acquire()

    def read(self, limit: int = 1 << 15) -> list[bytes]:
        """All records that are there, oldest first, at most about `limit`. Does not wait."""
        records: list[bytes] = []
        # Until nothing is new: the kernel wakes only a reader whose position has caught up, so a record
        # that was committed while we read must be found by looking once more after the position is stored.
        while len(records) < limit and self._read_batch(records, limit):
            pass
        return records

    def _read_batch(self, records: list[bytes], limit: int) -> bool:
        """Append what lies between the positions; True when the consumer's position moved."""
        start = self._consumer[0]
        available = self._producer[0] - start
        if not available:
            return False
        self._order_memory()
        begin = (start & (self._size - 1)) >> 2
        runs, at = self._find_runs(begin, begin + (available >> 2), limit - len(records))
        if at == begin:
            return False
        self._order_memory()
        for first, length, count in runs:
            self._copy_run(records, first, length, count)
        self._order_memory()
        self._consumer[0] = start + ((at - begin) << 2)
        self._order_memory()
        return True

    def _find_runs(self, at: int, end: int, limit: int) -> tuple[list[tuple[int, int, int]], int]:
        """Committed records as runs (word position, length in bytes, how many in a row), and the position after the last."""
        words = self._words
        runs: list[tuple[int, int, int]] = []
        while at < end and limit > 0:
            length = words[at]
            if length & _BUSY:
                break
            step = ((length & _LENGTH) + 15 >> 3) << 1
            if length & _DISCARD:
                at += step
                continue
            count = 1
            if at + step < end and words[at + step] == length:
                # Equal lengths at equal distances: each is a header because the one before it is.
                stop = min(end, at + step * min(limit, _LONGEST_RUN))
                count = _equal_at_start(words[at:stop:step].tolist(), length)
            runs.append((at, length, count))
            at += step * count
            limit -= count
        return runs, at

    def _copy_run(self, records: list[bytes], first: int, length: int, count: int) -> None:
        at = self._page + (first << 2)
        if count == 1:
            records.append(self._data_map[at + _HEADER_BYTES : at + _HEADER_BYTES + length])
            return
        layout = self._layouts.get(length)
        if layout is None:
            layout = self._layouts[length] = struct.Struct(f"={_HEADER_BYTES}x{length}s{-length % 8}x")
        records.extend(chain.from_iterable(layout.iter_unpack(self._bytes[at : at + layout.size * count])))

    def wait(self, timeout_ms: int) -> bool:
        """Wait until records are there; False after `timeout_ms` (negative: for ever) without."""
        return bool(self._poll.poll(timeout_ms))

    def pending_bytes(self) -> int:
        """Bytes that the kernel has reserved and we have not read."""
        return int(self._producer[0] - self._consumer[0])

    def close(self) -> None:
        """Unmap; a second call does nothing."""
        for view in (self._consumer, self._producer, self._words, self._bytes):
            view.release()
        self._consumer_map.close()
        self._data_map.close()
