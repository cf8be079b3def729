"""Pages of the kernel's trace ring buffer: a time stamp, how much is committed, and events that tell time by differences.

Source: include/linux/ring_buffer.h and kernel/trace/ring_buffer.c (struct buffer_data_page, enum ring_buffer_type).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..base.errors import FormatError

_PADDING, _TIME_EXTEND, _TIME_STAMP = 29, 30, 31  # RINGBUF_TYPE_*; smaller types are lengths in words
_COMMIT_MASK = (1 << 27) - 1  # above it are the flags for missed events
_DELTA_BITS = 27
_ABSOLUTE_MASK = (1 << 59) - 1  # bits of an absolute time stamp; those above are taken from the one before


def read_page(page: bytes, order: str, long_bytes: int, path: str = "page") -> Iterator[tuple[int, bytes]]:
    """(nanoseconds, record) of each event. `order` is "<" or ">", `long_bytes` the size of a kernel's long. Raises FormatError."""
    start = 8 + long_bytes
    if len(page) < start:
        raise FormatError(path, 0, "a page is too short")
    byte_order = "little" if order == "<" else "big"
    time_ns = int.from_bytes(page[:8], byte_order)  # type: ignore[arg-type]
    end = start + (int.from_bytes(page[8:start], byte_order) & _COMMIT_MASK)  # type: ignore[arg-type]
    if end > len(page):
        raise FormatError(path, 8, "a page has more committed than it holds")
    word = struct.Struct(order + "I").unpack_from
    at = start
    while at + 4 <= end:
        head = word(page, at)[0]
        kind, delta = (head & 31, head >> 5) if order == "<" else (head >> 27, head & _COMMIT_MASK)
        at += 4
        if 0 < kind < _PADDING:
            size = 4 * kind
            time_ns += delta
            if at + size > end:
                raise FormatError(path, at, "an event goes beyond its page")
            yield time_ns, page[at : at + size]
            at += size
            continue
        if kind == _PADDING and not delta:
            return
        if at + 4 > end:
            raise FormatError(path, at, "an event goes beyond its page")
        value = word(page, at)[0]
        if kind == _TIME_EXTEND:
            time_ns += (value << _DELTA_BITS) + delta
            at += 4
        elif kind == _TIME_STAMP:
            time_ns = (time_ns & ~_ABSOLUTE_MASK) | (value << _DELTA_BITS) + delta
            at += 4
        else:  # a length of its own: padding, or a long event
            if value < 4 or at + value > end:
                raise FormatError(path, at, "an event goes beyond its page")
            time_ns += delta
            if kind == 0:
                yield time_ns, page[at + 4 : at + value]
            at += value + 3 & ~3
