"""Where text comes from: a `Source` is one named text, a `Span` a stretch of it."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property

from .record import record


class Source:
    """One named text: a script, an imported file, a positional parameter. Compared by identity."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        find = self.text.find
        at = find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = find("\n", at + 1)
        return starts

    def line_number(self, offset: int) -> int:
        """The 1-based line that holds character `offset`."""
        return bisect_right(self._line_starts, offset)

    def line_text(self, line: int) -> str:
        """Line `line` (1-based) without its newline; empty beyond the end."""
        starts = self._line_starts
        if line > len(starts):
            return ""
        end = starts[line] - 1 if line < len(starts) else len(self.text)
        return self.text[starts[line - 1] : end]

    def column(self, offset: int) -> int:
        """The 1-based column of character `offset`, counted in UTF-8 bytes as bpftrace does."""
        start = self._line_starts[self.line_number(offset) - 1]
        return len(self.text[start:offset].encode("utf-8", "surrogateescape")) + 1


@record(frozen=True, eq=False)
class Span:
    """Characters `start` to `end` (exclusive) of `source`; `parent` is the macro call this text was expanded from."""

    source: Source
    start: int
    end: int
    parent: Span | None = None

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.source, self.start, other.end, self.parent)

    def within(self, parent: Span) -> Span:
        """The same place, expanded from `parent` (appended at the outer end of the chain)."""
        outer = parent if self.parent is None else self.parent.within(parent)
        return Span(self.source, self.start, self.end, outer)

    @property
    def text(self) -> str:
        """The characters the span covers."""
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        """1-based line of the first character."""
        return self.source.line_number(self.start)

    @property
    def column(self) -> int:
        """1-based column of the first character, in bytes."""
        return self.source.column(self.start)

    def where(self) -> str:
        """`name:line:col1-col2`, or `name:line1-line2` over several lines (bpftrace's own form)."""
        first = self.line
        last = self.source.line_number(max(self.start, self.end - 1))
        if first != last:
            return f"{self.source.name}:{first}-{last}"
        return f"{self.source.name}:{first}:{self.column}-{self.source.column(self.end)}"


NOWHERE = Span(Source("<kloupe>", ""), 0, 0)
