"""What expressions and statements build on: types, literals, and the bounds on nesting."""

from __future__ import annotations

import re

from ..base.diag import Diagnostics
from ..base.source import Source
from . import nodes as n
from .lexer import LAYOUT, Lexer, is_builtin
from .literals import BadNumber, number_value, string_value

MAX_NESTING = 100  # levels the parser descends; keeps it inside Python's default recursion limit
MAX_HEIGHT = 200  # height of an expression tree: operators in a chain count
MAX_MODIFIERS = 64  # of a type

NAME = r"[A-Za-z_]\w*"
_SUFFIXES = rf"(?:{LAYOUT}(?:\*|\[{LAYOUT}(?:\d\w*)?{LAYOUT}\]))*"
TYPE_AHEAD = re.compile(rf"({NAME})({LAYOUT}{NAME})?({_SUFFIXES}){LAYOUT}(.?)", re.ASCII | re.DOTALL)
TAGGED = ("struct", "union", "enum")
NOT_TYPES = ("true", "false")
_CLOSED = re.compile(r'"(?:[^"\\]|\\.)*"\Z', re.DOTALL)


class TooDeep(Exception):
    """Unwinds the parser; never leaves it."""


class TypeParser(Lexer):
    """Parses types and literals from the current token on."""

    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self.depth = 0
        self.height = 0
        super().__init__(source, diagnostics)

    def parse_expression(self) -> n.Expr:
        """Any expression; given by the expression parser."""
        raise NotImplementedError

    def parse_block(self, allow_value: bool = True) -> n.BlockExpr | None:
        """A `{ ... }` block; given by the statement parser."""
        raise NotImplementedError

    # -- bounds ---------------------------------------------------------------------------------------------------

    def enter(self) -> int:
        """Go down one level; gives what `leave` wants back."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.too_deep(f"nested too deeply (more than {MAX_NESTING} levels)")
        saved, self.height = self.height, 0
        return saved

    def leave(self, saved: int) -> None:
        """Come up again: the height of what was parsed counts for the level above."""
        self.depth -= 1
        self.height += 1
        if self.height > MAX_HEIGHT:
            self.too_deep(f"expression too long (more than {MAX_HEIGHT} operators deep)")
        if self.height < saved:
            self.height = saved

    def too_deep(self, message: str) -> None:
        """Report and unwind."""
        self.error(message)
        raise TooDeep

    # -- literals -----

    def parse_number(self) -> int:
        """The value of the current number; reports bad spellings."""
        text, start = self.text, self.start
        self.advance()
        try:
            return number_value(text)
        except BadNumber as bad:
            length = bad.length or len(text)
            self.error(str(bad), start + bad.offset, start + bad.offset + length)
            return 0

    def parse_string(self) -> str:
        """The value of the current string literal; reports bad escapes and a missing end."""
        text, start = self.text, self.start
        if len(text) < 2 or not text.endswith('"') or not _CLOSED.match(text):
            self.advance()
            self.error("unterminated string")
            return text[1:]
        value = string_value(text, lambda message, a, b: self.error(message, start + a, start + b))
        self.advance()
        return value

    # -- types ----------------------------------------------------------------------------------------------------

    def parse_type_name(self) -> n.TypeName | None:
        """`name`, `struct name` with `*` and `[N]` behind it."""
        start = self.start
        name = self.expect_name("expected type name")
        if name in TAGGED:
            tag = self.expect_name("expected identifier")
            name = None if tag is None else f"{name} {tag}"
        if name is None:
            return None
        modifiers: list[str | int] = []
        while self.text in ("*", "["):
            if len(modifiers) > MAX_MODIFIERS:
                self.too_deep(f"more than {MAX_MODIFIERS} pointers and arrays in a type")
            if self.match("*"):
                modifiers.append("*")
                continue
            self.advance()
            size = -1
            if self.text != "]":
                size = self.parse_number() if self.kind == "num" else 0
            self.expect("]")
            modifiers.append(size)
        return n.TypeName(self.span_from(start), name, tuple(modifiers))

    def parse_typeof(self) -> n.TypeOf:
        """`typeof(type or expression)`."""
        start = self.start
        self.advance()
        self.expect("(")
        operand = self.parse_type_or_expression(")")
        self.expect(")")
        return n.TypeOf(self.span_from(start), operand)

    def parse_annotation(self) -> n.TypeName | n.TypeOf | None:
        """The type behind `let $x :`."""
        return self.parse_typeof() if self.text == "typeof" else self.parse_type_name()

    def parse_type_or_expression(self, ends: str) -> n.Expr | n.TypeName:
        """A type when the text up to one of the characters `ends` reads as one; a bare name that is no builtin is a type."""
        if self.kind == "name" and self.text not in NOT_TYPES and not is_builtin(self.text):
            ahead = TYPE_AHEAD.match(self.input, self.start)
            if ahead and ahead[4] and ahead[4] in ends and (ahead[2] is not None) == (ahead[1] in TAGGED):
                name = self.parse_type_name()
                if name is not None:
                    return name
        return self.parse_expression()
