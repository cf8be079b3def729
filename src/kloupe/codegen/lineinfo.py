"""Which place of the script each instruction comes from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from ..base.source import NOWHERE, Span

Lines = list[tuple[int, Span]]


def merge_lines(parts: Iterable[tuple[int, Lines]]) -> Lines:
    """One ascending table of (instruction index, span) from those of functions that start at the given indices.

    Only changes are kept, and one entry at the start of each function. Several entries for one instruction: the last
    one counts. A span of nowhere keeps what was before it.
    """
    result: Lines = []
    for start, lines in parts:
        table = {index: span for index, span in lines if span is not NOWHERE}
        ordered = sorted(table)
        previous = table[ordered[0]] if ordered else NOWHERE
        result.append((start, previous))
        for index in ordered:
            span = table[index]
            if index and not _same(previous, span):
                result.append((start + index, span))
            previous = span
    return result


def _same(a: Span, b: Span) -> bool:
    return a is b or (a.source is b.source and a.start == b.start and a.end == b.end and a.parent is b.parent)


def span_at(lines: Lines, index: int) -> Span | None:
    """The span of the instruction at `index`."""
    at = bisect_right(lines, index, key=lambda line: line[0])
    return lines[at - 1][1] if at else None
