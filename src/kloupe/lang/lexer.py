"""Tokens on demand: one regular expression, asked only where the parser stands.

The language has no fixed token stream (attach points are raw text up to a brace), so the parser may set the position
and scan again. Wordings and extents of the errors are bpftrace's.
"""

from __future__ import annotations

import re

from ..base.diag import Diagnostics
from ..base.source import Source, Span

LAYOUT = r"(?:[ \t\r\n]+|//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z))*+"
_TOKEN = re.compile(
    LAYOUT + r"(?:(?P<name>[A-Za-z_]\w*)"
    r"|(?P<var>\$[A-Za-z_]\w*)"
    r"|(?P<map>@(?:[A-Za-z_]\w*)?)"
    r"|(?P<num>0[xX][0-9a-fA-F_]*|\d\w*)"
    r'|(?P<str>"[^"\\\n]*(?:\\(?s:.)[^"\\\n]*)*+"?)'
    r"|(?P<param>\$\d+)"
    r"|(?P<count>\$\#)"
    r"|(?P<op><<=|>>=|\+\+|--|->|&&|\|\||==|!=|<=|>=|<<|>>|[-+*/%&|^]=|\.\.|[][{}();:,.?=<>!~+*/%&|^#-])"
    r"|(?P<eof>\Z)"
    r"|(?P<bad>.))",
    re.ASCII,
)
_ERROR_EXTENT = re.compile(r"[A-Za-z_]\w*|\d[0-9A-Za-z.]*|[@$]\w*|(?s:.)|\Z", re.ASCII)
_LAYOUT = re.compile(LAYOUT)

# bpftrace's own builtins: names that are never types, record members or macro parameters (docs/language.md, Cast Parsing).
_PLAIN_BUILTINS = "args ctx kstack nsecs pid tid ustack"
_UNDERSCORED_BUILTINS = "comm cpid cpu dw_ustack elapsed func ncpus probe retval usermode"
_BUILTINS = frozenset((*_PLAIN_BUILTINS.split(), *(f"__builtin_{name}" for name in _UNDERSCORED_BUILTINS.split())))
_NUMBERED_BUILTIN = re.compile(r"s?arg\d+\Z", re.ASCII)


def is_builtin(name: str) -> bool:
    """True for the names the grammar itself treats as values."""
    return name in _BUILTINS or _NUMBERED_BUILTIN.match(name) is not None


class Lexer:
    """The current token (`kind`, `text`, `start`, `end`) and the position where the last consumed one ended (`last_end`)."""

    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self.source = source
        self.input = source.text
        self.diagnostics = diagnostics
        self.failed = False
        self.kind = ""
        self.text = ""
        self.start = 0
        self.end = 0
        self.last_end = 0
        self.advance()
        self.last_end = 0

    def advance(self) -> None:
        """Consume the current token and scan the next one."""
        self.last_end = self.end
        self.scan(self.end)

    def scan(self, position: int) -> None:
        """Make the token at `position` (after layout) the current one."""
        match = _TOKEN.match(self.input, position)
        assert match is not None and match.lastgroup is not None  # the last two alternatives match anything
        self.kind = match.lastgroup
        self.start, self.end = match.span(self.kind)
        self.text = match[self.kind]

    def after_layout(self, position: int) -> int:
        """The first position at or after `position` that is neither white space nor comment."""
        match = _LAYOUT.match(self.input, position)
        return match.end() if match else position

    def span_from(self, start: int) -> Span:
        """From `start` to the end of the last consumed token."""
        return Span(self.source, start, max(start, self.last_end))

    def here(self) -> Span:
        """An empty span behind the last consumed token."""
        return Span(self.source, self.last_end, self.last_end)

    def match(self, text: str) -> bool:
        """Consume the current token if it is `text`."""
        if self.text == text:
            self.advance()
            return True
        return False

    def expect(self, text: str) -> bool:
        """Consume `text` or report that it is missing."""
        if self.text == text:
            self.advance()
            return True
        self.error(f"expected '{text}'")
        return False

    def expect_name(self, message: str) -> str | None:
        """Consume an identifier or report `message`."""
        if self.kind != "name":
            self.error(message)
            return None
        name = self.text
        self.advance()
        return name

    def error(self, message: str, start: int | None = None, end: int | None = None, *hints: str) -> None:
        """Report a syntax error, at the current token's first word when no place is given."""
        if start is None:
            match = _ERROR_EXTENT.match(self.input, self.start)
            start, end = match.span() if match else (self.start, self.start)
        self.failed = True
        self.diagnostics.error(
            Span(self.source, start, start if end is None else end), f"syntax: {message}", hints=hints
        )
