"""A part of a trace as pages of its own: the records that are wanted, packed anew, in the order and at the times they had.

Source of the layout: see ringpage.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from struct import Struct

from .batch import batches
from .report.options import ReportOptions
from .source import Stream, Trace

_PAGE_BYTES = 4096
_LARGEST_SMALL = 112  # RB_MAX_SMALL_DATA
_DELTA_LIMIT = 1 << 27
_TIME_EXTEND = 30
_MISSED, _MISSED_STORED = 1 << 31, 1 << 30  # RB_MISSED_EVENTS, RB_MISSED_STORED


class PageMaker:
    """Packs records into pages of the ring buffer's layout."""

    def __init__(self, order: str, long_bytes: int, page_bytes: int = _PAGE_BYTES) -> None:
        self._order = order
        self._head = Struct(f"{order}Q{'Q' if long_bytes == 8 else 'I'}")
        self._word = Struct(f"{order}I")
        self._long = Struct(f"{order}{'Q' if long_bytes == 8 else 'I'}")
        self._page_bytes = page_bytes
        self._parts: list[bytes] = []
        self._used = 0
        self._first_ns = self._last_ns = 0
        self._lost = 0

    def _event_head(self, kind: int, delta: int) -> bytes:
        return self._word.pack(kind | delta << 5 if self._order == "<" else kind << 27 | delta)

    def add(self, time_ns: int, data: bytes) -> bytes:
        """Add a record; gives the page before it when that is full, else nothing. Records must come in order of time."""
        data += bytes(-len(data) % 4)
        full = b""
        room = len(data) + 16
        if self._used + room > self._page_bytes - self._head.size:
            full = self.take()
        if not self._parts:
            self._first_ns = self._last_ns = time_ns
        delta = max(0, time_ns - self._last_ns)
        self._last_ns += delta
        made = b""
        if delta >= _DELTA_LIMIT:
            made = self._event_head(_TIME_EXTEND, delta & _DELTA_LIMIT - 1) + self._word.pack(delta >> 27 & 0xFFFFFFFF)
            delta = 0
        if 0 < len(data) <= _LARGEST_SMALL:
            made += self._event_head(len(data) // 4, delta) + data
        else:
            made += self._event_head(0, delta) + self._word.pack(len(data) + 4) + data
        self._parts.append(made)
        self._used += len(made)
        return full

    def lose(self, count: int) -> bytes:
        """Say that events were lost before the next one (-1: some); gives the page before as `add` does."""
        full = self.take()
        self._lost = -1 if count < 0 or self._lost < 0 else self._lost + count
        return full

    def take(self) -> bytes:
        """The page that is being filled, nothing when it is empty."""
        if not self._parts:
            return b""
        data = b"".join(self._parts)
        room = self._page_bytes - self._head.size - len(data)
        number = self._long.pack(self._lost) if self._lost > 0 and room >= self._long.size else b""
        flags = (_MISSED if self._lost else 0) | (_MISSED_STORED if number else 0)
        page = self._head.pack(self._first_ns, self._used | flags) + data + number
        self._parts, self._used, self._lost = [], 0, 0
        return page.ljust(self._page_bytes, b"\0")


def split_pages(trace: Trace, stream: Stream, options: ReportOptions) -> Iterator[bytes]:
    """Pages with the records of a CPU that the options choose."""
    maker = PageMaker(trace.order, trace.long_bytes)
    common = Struct(trace.order + "Hxxi").unpack_from
    wanted: dict[int, bool] = {}
    lost = 0
    for batch in batches(stream.pages(), trace.order, trace.long_bytes, trace.complain):
        lost = -1 if lost < 0 or batch.missed < 0 else lost + batch.missed
        for time_ns, offset, size in zip(batch.times_ns, batch.offsets, batch.sizes, strict=True):
            number, pid = common(batch.page, offset) if size >= 8 else (-1, 0)
            if number not in wanted:
                wanted[number] = _is_wanted(trace, number, options)
            shown_ns = time_ns + trace.offset_ns
            if shown_ns < options.start_ns:
                lost = 0
                continue
            if options.end_ns and shown_ns > options.end_ns:
                continue
            if not wanted[number] or (options.pids is not None and pid not in options.pids):
                continue
            if lost:
                page = maker.lose(lost)
                lost = 0
                if page:
                    yield page
            page = maker.add(time_ns, batch.page[offset : offset + size])
            if page:
                yield page
    last = maker.take()
    if last:
        yield last


def _is_wanted(trace: Trace, number: int, options: ReportOptions) -> bool:
    if not options.events:
        return True
    form = trace.formats[number]
    names = (form.name, f"{form.system}:{form.name}", form.system) if form is not None else ()
    return any(fnmatchcase(name, pattern) for name in names for pattern in options.events)
