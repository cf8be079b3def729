"""What the parser skips and the formatter must keep: comments and blank lines, in order of their place."""

from __future__ import annotations

import re
from bisect import bisect_right

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|//(?: ?)([^\n]*)|/\*( ?)(.*?)(?:\*/|\Z)|\n', re.DOTALL)


class Trivia:
    """A run of (place, comment text or None for a line break)."""

    def __init__(self, items: list[tuple[int, str | None]]) -> None:
        self.items = items

    def take_before(self, place: int) -> Trivia:
        """Cut off what begins at or before `place`."""
        if not self.items or self.items[0][0] > place:
            return Trivia([])
        cut = bisect_right(self.items, place, key=lambda item: item[0])
        taken, self.items = self.items[:cut], self.items[cut:]
        return Trivia(taken)

    @property
    def comments(self) -> list[str]:
        """The comments alone."""
        return [text for _, text in self.items if text is not None]


def collect_trivia(text: str, opaque: list[tuple[int, int]]) -> Trivia:
    """All comments and line breaks outside `opaque` (sorted places of raw text). Every line of a block comment counts as one.

    A line break behind a comment, `;`, `{` or `}` only ends that line; the others are blank lines to be kept.
    """
    items: list[tuple[int, str | None]] = []
    at = comment_end = 0
    areas = iter([*opaque, (len(text), len(text))])
    area = next(areas)
    while (match := _PIECE.search(text, at)) is not None:
        while match.start() >= area[1] and area[1] < len(text):
            area = next(areas)
        if match.start() >= area[0] and area[0] < area[1]:
            at = area[1]
            continue
        at = match.end()
        first = match[0][0]
        if first == "\n":
            before = match.start() - 1
            while before >= 0 and text[before] in " \t\r":
                before -= 1
            behind_comment = before < comment_end
            if not behind_comment and text[before] not in ";{}":
                items.append((match.start(), None))
            comment_end = 0
        elif first == "/":
            items += [(match.start(1), match[1])] if match[1] is not None else _block_lines(match)
            comment_end = at
    return Trivia(items)


def _block_lines(match: re.Match[str]) -> list[tuple[int, str | None]]:
    items: list[tuple[int, str | None]] = []
    place = match.start(3)
    for number, line in enumerate(match[3].split("\n")):
        shown = line
        if number:
            shown = line.lstrip(" \t\r")
            stripped = shown.lstrip("*")
            if len(stripped) != len(shown):
                shown = stripped.removeprefix(" ")
        last = place + len(line) >= match.end(3)
        if shown or (number and not last):
            items.append((place + len(line) - len(shown), shown.rstrip()))
        place += len(line) + 1
    return items
