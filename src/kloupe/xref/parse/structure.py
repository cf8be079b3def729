"""The outline of a C or assembly text: its top-level statements and blocks, found by braces and not by a grammar.

Nothing is preprocessed: every branch of `#if` is seen, and macros are taken as they stand. The kernel's layout (a closing brace in
the first column ends a definition) is used to find the way again after unbalanced text.
"""

from __future__ import annotations

import re

from ...base.record import record
from .clean import Directive, split_directives, without_comments

_BRACE = re.compile(rb"[{}]")
_CONDITIONALS = frozenset((b"if", b"ifdef", b"ifndef", b"elif", b"else", b"endif"))
_PAREN = re.compile(rb"[();]")
_GROUP = re.compile(rb"([A-Za-z_]\w*)\s*\(")
_NESTED = re.compile(rb"[()]")


@record(eq=False)
class Piece:
    """A top-level statement. Head: `start` to `head_end`; the block, if there is one, from its { to behind its }.

    What a closed block leaves up to the `;` is the next piece, with `after_block` true.
    """

    start: int
    head_end: int
    body_start: int = -1
    body_end: int = -1
    after_block: bool = False


@record(eq=False)
class Outline:
    """A text taken apart. `text` has no comments, `code` no directives either; all three have the same offsets."""

    data: bytes
    text: bytes
    code: bytes
    directives: list[Directive]
    pieces: list[Piece]


def outline(data: bytes) -> Outline:
    """Take a text apart."""
    return outline_of_clean(data, without_comments(data))


def outline_of_clean(data: bytes, text: bytes) -> Outline:
    """Take a text apart whose form without comments is known."""
    code, directives = split_directives(text)
    return Outline(data, text, code, directives, _pieces(code, directives))


class _Walker:
    """Follows the braces of a text."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        self.pieces: list[Piece] = []
        self.start = 0
        self.depth = 0
        self.open_at = 0
        self.head_end = 0
        self.after_block = False

    def open(self, at: int) -> None:
        """A { at an offset."""
        first_column = at == 0 or self.code[at - 1] == 0x0A
        if self.depth and first_column and self.code[self.open_at - 1 : self.open_at] == b"\n":
            self.finish(at)  # a body in the first column is never inside another one: the last one was not closed
            self.start = self._line_before(at)
        if self.depth == 0:
            start = self.statements(self.start, at)
            head = self.code[start:at]
            if head.count(b"(") > head.count(b")") and not first_column:
                return  # a block inside a macro's arguments
            self.start, self.head_end, self.open_at = start, at, at
        self.depth += 1

    def _line_before(self, at: int) -> int:
        return max(self.code.rfind(b"\n\n", 0, at), self.open_at)

    def close(self, at: int) -> None:
        """A } at an offset."""
        first_column = at == 0 or self.code[at - 1] == 0x0A
        if self.depth == 0:
            head = self.code[self.start : at]
            if first_column or head.count(b"(") <= head.count(b")"):
                self.start, self.after_block = at + 1, False
            return
        self.depth -= 1
        if self.depth == 0 or first_column:
            self.finish(at + 1)

    def finish(self, end: int) -> None:
        """The block that is open ends."""
        self.pieces.append(Piece(self.start, self.head_end, self.open_at, end, self.after_block))
        self.depth, self.start = 0, end
        self.after_block = True

    def statements(self, start: int, end: int) -> int:
        """Cut `start` to `end` at its semicolons outside of parentheses; where the last, unfinished one begins."""
        if self.code.find(b";", start, end) < 0:
            return start
        depth = 0
        for match in _PAREN.finditer(self.code, start, end):
            at = match.start()
            sign = self.code[at]
            if sign == 0x28:
                depth += 1
            elif sign == 0x29:
                depth = max(0, depth - 1)
            elif depth == 0 or self.code[at + 1 : at + 3] == b"\n\n":
                self.pieces.append(Piece(start, at, after_block=self.after_block))
                start, depth, self.after_block = at + 1, 0, False
        return start


class _Conditionals:
    """Keeps the depth of braces right over the branches of `#if`: each branch starts at the depth of the first."""

    def __init__(self, walker: _Walker) -> None:
        self.walker = walker
        # (depth at #if, depth at the end of the first branch or None while in it) of the open conditionals
        self.open: list[tuple[int, int | None]] = []

    def directive(self, line: Directive) -> None:
        """The next conditional directive."""
        word = line.word
        walker = self.walker
        if word in (b"if", b"ifdef", b"ifndef"):
            self.open.append((walker.depth, None))
            return
        if not self.open:
            return
        before, first = self.open[-1]
        first = walker.depth if first is None else first
        if word == b"endif":
            self.open.pop()
            walker.depth = first if walker.depth and first else walker.depth
            return
        self.open[-1] = (before, first)
        if walker.depth and before:
            walker.depth = before
        elif walker.depth:
            walker.finish(line.start)  # the other branch opens the same block again
            walker.start, walker.after_block = line.end, False


def _pieces(code: bytes, directives: list[Directive]) -> list[Piece]:
    walker = _Walker(code)
    conditionals = _Conditionals(walker)
    waiting = [line for line in reversed(directives) if line.word in _CONDITIONALS]
    at = 0
    while match := _BRACE.search(code, at):
        start, at = match.span()
        while waiting and waiting[-1].start < start:
            conditionals.directive(waiting.pop())
        if code[start] == 0x7D:
            walker.close(start)
            continue
        walker.open(start)
        if walker.depth == 1 and code[start - 1 : start] == b"\n":
            at = _body_end(code, at)
    if walker.depth:
        walker.finish(len(code))
    rest = walker.statements(walker.start, len(code))
    if code[rest:].strip():
        walker.pieces.append(Piece(rest, len(code), after_block=walker.after_block))
    return walker.pieces


def _body_end(text: bytes, start: int) -> int:
    """Where to look on in a body whose { is in the first column: its } is too, unless another { in the first column comes before."""
    end = text.find(b"\n}", start)
    other = text.find(b"\n{", start, end)
    return start if end < 0 or other >= 0 else end


@record(frozen=True, eq=False)
class Group:
    """`name(...)` at the top level of a head: offsets in the head of the name and of what stands between the parentheses."""

    name: bytes
    start: int
    open: int
    close: int


def groups(head: bytes) -> list[Group]:
    """The calls-like groups of a head that are in no other parentheses, in order."""
    found = []
    at = 0
    while match := _GROUP.search(head, at):
        close = closing(head, match.end() - 1)
        found.append(Group(match[1], match.start(), match.end(), close))
        at = close + 1
    return found


def closing(text: bytes, opening: int) -> int:
    """The offset of the parenthesis that closes the one at `opening`, or the end of the text."""
    depth = 0
    for match in _NESTED.finditer(text, opening):
        if text[match.start()] == 0x28:
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return match.start()
    return len(text)
