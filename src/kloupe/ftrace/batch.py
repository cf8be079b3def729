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
NO_RECORD = -1
BEYOND = "an event goes beyond its page"


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


class PageWords:
    """A page as 32-bit words, of which those from `first` on and before `end` hold records.

    `heads` are the words with a record's type in the lowest five bits and its time behind, as little-endian machines have them. `time_ns` is
    where time starts; `missed` and `problem` are those of the batch.
    """

    __slots__ = ("end", "first", "heads", "missed", "page", "problem", "time_ns", "words")

    def __init__(self, page: bytes, order: str, long_bytes: int) -> None:
        self.page = page
        self.missed, self.problem = 0, ""
        start = 8 + long_bytes
        self.first = self.end = start // 4
        self.time_ns = 0
        self.words: tuple[int, ...] = ()
        self.heads: tuple[int, ...] = ()
        if len(page) < start:
            self.problem = "a page is too short"
            return
        byte_order = "little" if order == "<" else "big"
        self.time_ns = int.from_bytes(page[:8], byte_order)  # type: ignore[arg-type]
        commit = int.from_bytes(page[8:start], byte_order)  # type: ignore[arg-type]
        end = start + (commit & _COMMIT_MASK)
        if commit & _MISSED:
            self.missed = UNKNOWN_COUNT
            if commit & _MISSED_STORED and end + long_bytes <= len(page):
                self.missed = int.from_bytes(page[end : end + long_bytes], byte_order)  # type: ignore[arg-type]
        if end > len(page):
            self.problem = "a page has more committed than it holds"
            end = len(page)
        self.end = end // 4
        words = self.words = _words(order, self.end).unpack_from(page)
        self.heads = words if order == "<" else tuple(word >> 27 | (word & _COMMIT_MASK) << 5 for word in words)

    def next_record(self, at: int, time_ns: int) -> tuple[int, int, int, int]:
        """From the word `at`: (time of the next record, the word behind it, its first word, its bytes; -1 when there is none).

        A record that goes beyond the page ends behind `end`.
        """
        heads, words, end = self.heads, self.words, self.end
        while at < end:
            head = heads[at]
            kind = head & 31
            if 0 < kind < _PADDING:
                return time_ns + (head >> 5), at + 1 + kind, at + 1, kind << 2
            if kind == _PADDING and not head >> 5:
                return time_ns, end, end, NO_RECORD
            if at + 1 >= end:
                break
            value = words[at + 1]
            if kind == _TIME_EXTEND:
                time_ns += (value << _DELTA_BITS) + (head >> 5)
                at += 2
            elif kind == _TIME_STAMP:
                time_ns = (time_ns & ~_ABSOLUTE_MASK) | ((value << _DELTA_BITS) + (head >> 5)) & _ABSOLUTE_MASK
                at += 2
            else:  # a length of its own: padding, or a long event
                after = at + 1 + (value + 3 >> 2)
                if value < 4 or after > end:
                    break
                time_ns += head >> 5
                if kind == 0:
                    return time_ns, after, at + 2, value - 4
                at = after
        return time_ns, end + (at < end), end, NO_RECORD


@cache
def _words(order: str, count: int) -> Struct:
    return Struct(f"{order}{count}I")


def read_batch(page: bytes, order: str, long_bytes: int) -> Batch:
    """The records of a page. Never raises: what is wrong is the batch's `problem`, and what came before it is there."""
    batch = Batch(page)
    words = PageWords(page, order, long_bytes)
    batch.missed, batch.problem = words.missed, words.problem
    _scan(batch, words)
    return batch


def _scan(batch: Batch, page: PageWords) -> None:
    """Fill the batch."""
    add_time, add_offset, add_size = batch.times_ns.append, batch.offsets.append, batch.sizes.append
    heads, at, end, time_ns = page.heads, page.first, page.end, page.time_ns
    while at < end:
        head = heads[at]
        kind = head & 31
        if 0 < kind < _PADDING:
            time_ns += head >> 5
            add_time(time_ns)
            add_offset(at + 1 << 2)
            add_size(kind << 2)
            at += kind + 1
            continue
        before_ns = time_ns
        time_ns, at, body, size = page.next_record(at, time_ns)
        batch.is_ordered = batch.is_ordered and time_ns >= before_ns
        if size >= 0:
            add_time(time_ns)
            add_offset(body << 2)
            add_size(size)
    if at > end:  # only the last one can
        batch.problem = BEYOND
        if batch.offsets and batch.offsets[-1] + batch.sizes[-1] > end << 2:
            for values in (batch.times_ns, batch.offsets, batch.sizes):
                values.pop()


def whole_pages(pages: Iterable[bytes], complain: Callable[[str], object]) -> Iterator[bytes]:
    """The pages up to where the file is damaged, which is told."""
    try:
        yield from pages
    except FormatError as error:
        complain(str(error))


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
    for page in whole_pages(pages, complain):
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
