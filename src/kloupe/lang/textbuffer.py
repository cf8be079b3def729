"""Lines that grow to the right: pieces are appended at the current column, further lines aligned to it."""

from __future__ import annotations

from .trivia import Trivia

Segment = tuple[str, bool]  # text, and whether it is a comment


def _line_text(segments: list[Segment]) -> str:
    out, written = "", False
    for index, (text, comment) in enumerate(segments):
        if not comment:
            out += text
            written = written or bool(text.strip())
            continue
        if written:
            out += " "
        if index == len(segments) - 1:
            out += f"// {text}" if text else "//"
        else:
            out += f"/* {text} */"
    return out


class TextBuffer:
    """Text under construction; every method gives the buffer back."""

    def __init__(self, text: str = "") -> None:
        self._lines: list[list[Segment]] = [[(text, False)] if text else []]

    def text(self, text: str) -> TextBuffer:
        """Put text behind what is there."""
        self._lines[-1].append((text, False))
        return self

    def line_break(self) -> TextBuffer:
        """Begin a new line."""
        self._lines.append([])
        return self

    def append(self, other: TextBuffer, indent: int = 0, align: bool = True) -> TextBuffer:
        """Put another buffer behind what is there, or with `indent` on lines of its own, that many columns in."""
        if not other.lines:
            return self
        column = len(_line_text(self._lines[-1]))
        if indent:
            self._lines.append([])
            column = indent
        for index, line in enumerate(other._lines):
            if align and column and not self._lines[-1]:
                self._lines[-1].append((" " * column, False))
            self._lines[-1] += line
            if indent or index < len(other._lines) - 1:
                self._lines.append([])
        return self

    def comments(self, trivia: Trivia) -> TextBuffer:
        """Comments inside a line; blank lines are dropped."""
        self._lines[-1] += [(text, True) for text in trivia.comments]
        return self

    def trivia(self, trivia: Trivia, least: int = 0) -> TextBuffer:
        """Comments on lines of their own and blank lines, at least `least` of these."""
        self._lines += [[] for _ in range(least)]
        breaks = 0
        for _, text in trivia.items:
            if text is None:
                if breaks >= least:
                    self._lines.append([])
                breaks += 1
            else:
                self._lines[-1].append((text, True))
                self._lines.append([])
        return self

    @property
    def width(self) -> int:
        """Columns of the longest line."""
        return max(len(_line_text(line)) for line in self._lines)

    @property
    def lines(self) -> int:
        """Number of lines, a last empty one not counted."""
        return len(self._lines) - (not self._lines[-1])

    def render(self) -> str:
        """The text, without white space at line ends."""
        return "".join(_line_text(line).rstrip() + "\n" for line in self._lines[: self.lines])
