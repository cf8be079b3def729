"""Pages of the ring buffer as batches: where each record lies and when it was, found in one pass; and batches of all CPUs in order of time.

The same pages as in ringpage.py, which gives records one by one; this is the way for millions of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import accumulate, repeat
from struct import Struct

from ..base.errors import FormatError

_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31  # RINGBUF_TYPE_*; smaller types are lengths in words
_COMMIT_MASK = (1 << 27) - 1
_MISSED, _MISSED_STORED = 1 << 31, 1 << 30  # RB_MISSED_EVENTS, RB_MISSED_STORED
_DELTA_BITS = 27
_ABSOLUTE_MASK = (1 << 59) - 1
UNKNOWN_COUNT = -1


class Batch:
    """The records of a page: record i is `size` bytes at `offsets[i]` of `page`, `times_ns[i]` is when.

    `missed` is how many events were lost before the first one (-1: some). `problem` says what is wrong behind the last record.
    `is_ordered` is false where a time stamp went back.
    """

    __slots__ = ("is_ordered", "missed", "offsets", "page", "problem", "sizes", "times_ns")

    def __init__(self, page: bytes) -> None:
        self.page = page
        self.times_ns: list[int] = []
        self.offsets: list[int] = []
        self.sizes: list[int] = []
        self.missed = 0
        self.problem = ""
        self.is_ordered = True


@cache
def _words(order: str, count: int) -> Struct:
    return Struct(f"{order}{count}I")


def read_batch(page: bytes, order: str, long_bytes: int) -> Batch:
    """The records of a page. Never raises: what is wrong is the batch's `problem`, and what came before it is there."""
    batch = Batch(page)
    start = 8 + long_bytes
    if len(page) < start:
        batch.problem = "a page is too short"
        return batch
    byte_order = "little" if order == "<" else "big"
    time_ns = int.from_bytes(page[:8], byte_order)  # type: ignore[arg-type]
    commit = int.from_bytes(page[8:start], byte_order)  # type: ignore[arg-type]
    end = start + (commit & _COMMIT_MASK)
    if commit & _MISSED:
        batch.missed = UNKNOWN_COUNT
        if commit & _MISSED_STORED and end + long_bytes <= len(page):
            batch.missed = int.from_bytes(page[end : end + long_bytes], byte_order)  # type: ignore[arg-type]
    if end > len(page):
        batch.problem = "a page has more committed than it holds"
        end = len(page)
    count = (end - start) // 4
    words = _words(order, count).unpack_from(page, start)
    heads = words if order == "<" else tuple(word >> 27 | (word & _COMMIT_MASK) << 5 for word in words)
    batch.problem = _scan(batch, heads, words, count, start, time_ns) or batch.problem
    return batch


def _scan(batch: Batch, heads: tuple[int, ...], words: tuple[int, ...], count: int, start: int, time_ns: int) -> str:
    """Fill the batch; gives what is wrong. `heads` are the words with type and delta where little-endian machines have them."""
    add_time, add_offset, add_size = batch.times_ns.append, batch.offsets.append, batch.sizes.append
    data = start + 4  # where the first record is, once its head is at `start`
    at = 0
    while at < count:
        head = heads[at]
        kind = head & 31
        if 0 < kind < _PADDING:
            time_ns += head >> 5
            add_time(time_ns)
            add_offset(data + (at << 2))
            add_size(kind << 2)
            at += kind + 1
            continue
        if kind == _PADDING and not head >> 5:
            return ""
        if at + 1 >= count:
            return "an event goes beyond its page"
        value = words[at + 1]
        if kind == _TIME_EXTEND:
            time_ns += (value << _DELTA_BITS) + (head >> 5)
            at += 2
        elif kind == _TIME_STAMP:
            before_ns = time_ns
            time_ns = (time_ns & ~_ABSOLUTE_MASK) | ((value << _DELTA_BITS) + (head >> 5)) & _ABSOLUTE_MASK
            batch.is_ordered = batch.is_ordered and time_ns >= before_ns
            at += 2
        else:  # a length of its own: padding, or a long event
            length = value + 3 >> 2
            if value < 4 or at + 1 + length > count:
                return "an event goes beyond its page"
            time_ns += head >> 5
            if kind == 0:
                add_time(time_ns)
                add_offset(data + (at << 2) + 4)
                add_size(value - 4)
            at += 1 + length
    if at > count:  # only the last one can
        for values in (batch.times_ns, batch.offsets, batch.sizes):
            values.pop()
        return "an event goes beyond its page"
    return ""


def part_of(batch: Batch, first: int, end: int) -> Batch:
    """Records `first` to `end` (not included) of a batch."""
    part = Batch(batch.page)
    part.times_ns = batch.times_ns[first:end]
    part.offsets = batch.offsets[first:end]
    part.sizes = batch.sizes[first:end]
    part.missed = 0 if first else batch.missed
    part.is_ordered = batch.is_ordered
    return part


# A record among those of other CPUs: what orders it (its time, or that of one before it where a clock went back), the slot of its CPU, its
# place and size in the CPU's page, its time. Sorting these gives the order of time; of equal times the lower CPU comes first.
Record = tuple[int, int, int, int, int]


class Window:
    """Records of all CPUs in order. `pages` and `cpus` are by slot; `missed`: (slot, place) of a record -> events lost before it."""

    __slots__ = ("cpus", "missed", "pages", "records")

    def __init__(
        self, records: list[Record], pages: list[bytes], cpus: list[int], missed: dict[tuple[int, int], int]
    ) -> None:
        self.records = records
        self.pages = pages
        self.cpus = cpus
        self.missed = missed


def batches(pages: Iterable[bytes], order: str, long_bytes: int, complain: Callable[[str], object]) -> Iterator[Batch]:
    """The batches of one CPU that have records. What is wrong with a page, or ends the pages, is told and what is whole is given."""
    missed = 0
    source = iter(pages)
    while True:
        try:
            page = next(source, None)
        except FormatError as error:
            complain(str(error))
            return
        if page is None:
            return
        batch = read_batch(page, order, long_bytes)
        if batch.problem:
            complain(batch.problem)
        if not batch.times_ns:  # its lost events are told with the next ones
            missed = missed or batch.missed
            continue
        if missed:
            batch.missed, missed = missed, 0
        yield batch


class _Feed:
    """The batches of one CPU, and how far the one at hand has been taken."""

    __slots__ = ("batch", "cpu", "first", "keys", "slot", "source")

    def __init__(self, slot: int, cpu: int, source: Iterator[Batch]) -> None:
        self.slot = slot
        self.cpu = cpu
        self.source = source
        self.keys: list[int] = []
        self.first = 0
        self.batch = Batch(b"")

    def advance(self) -> bool:
        """Take the next batch; False when there is none."""
        following = next(self.source, None)
        if following is None:
            return False
        self.batch, self.first = following, 0
        times = following.times_ns
        self.keys = times if following.is_ordered else list(accumulate(times, max))
        return True

    def take(self, end: int) -> Iterator[Record]:
        """The records up to `end`."""
        batch, first = self.batch, self.first
        self.first = end
        if not first and end == len(self.keys):
            return zip(self.keys, repeat(self.slot), batch.offsets, batch.sizes, batch.times_ns, strict=False)
        part = slice(first, end)
        return zip(
            self.keys[part],
            repeat(self.slot),
            batch.offsets[part],
            batch.sizes[part],
            batch.times_ns[part],
            strict=False,
        )


def merge_batches(cpus: Iterable[tuple[int, Iterator[Batch]]]) -> Iterator[Window]:
    """All records in order of time, a window at a time: up to where the first of the batches at hand ends. Holds one batch of each CPU."""
    feeds = [_Feed(slot, cpu, source) for slot, (cpu, source) in enumerate(cpus)]
    numbers = [feed.cpu for feed in feeds]
    pages = [b""] * len(feeds)
    open_feeds = [feed for feed in feeds if feed.advance()]
    while open_feeds:
        least = min(open_feeds, key=lambda feed: (feed.keys[-1], feed.slot))
        until = least.keys[-1]
        records: list[Record] = []
        missed = {}
        for feed in open_feeds:
            if feed.first == 0 and feed.batch.missed:
                missed[feed.slot, feed.batch.offsets[0]] = feed.batch.missed
            if feed is least:
                end = len(feed.keys)
            else:
                find = bisect_right if feed.slot < least.slot else bisect_left
                end = find(feed.keys, until, feed.first)
            if end > feed.first:
                pages[feed.slot] = feed.batch.page
                records += feed.take(end)
        if len(open_feeds) > 1:
            records.sort()
        yield Window(records, list(pages), numbers, missed)
        open_feeds = [feed for feed in open_feeds if feed.first < len(feed.keys) or feed.advance()]
