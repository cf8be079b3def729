"""C tokens, each with its place."""

from __future__ import annotations

import re

from ..base.record import record
from ..base.source import Source, Span

_TOKEN = re.compile(
    r"(?:[ \t\r\f\v]|\\\r?\n|//[^\n]*|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z))*+"
    r"(?:(?P<name>[A-Za-z_$]\w*)"
    r"|(?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)"
    r'|(?P<string>"(?:[^"\\\n]|\\.)*"?)'
    r"|(?P<char>'(?:[^'\\\n]|\\.)*'?)"
    r"|(?P<newline>\n)"
    r"|(?P<op>\.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\#\#|.)"
    r"|(?P<end>\Z))",
    re.ASCII,
)


@record
class Token:
    """A C token: kind (name, number, string, char, op, end), text and place. `first` marks the first of a line."""

    kind: str
    text: str
    source: Source
    start: int
    end: int
    first: bool = False

    @property
    def span(self) -> Span:
        """Where the token stands."""
        return Span(self.source, self.start, self.end)


def tokenize(source: Source, start: int, end: int) -> list[list[Token]]:
    """The logical lines of `source` from `start` to `end`, each a list of tokens; empty lines are left out."""
    lines: list[list[Token]] = []
    line: list[Token] = []
    text = source.text if end >= len(source.text) else source.text[:end]
    match_at, at = _TOKEN.match, start
    while True:
        match = match_at(text, at)
        assert match is not None and match.lastgroup is not None  # `end` matches where nothing else does
        kind, at = match.lastgroup, match.end()
        if kind in ("newline", "end"):
            if line:
                lines.append(line)
                line = []
            if kind == "end":
                return lines
        else:
            line.append(Token(kind, match[kind], source, match.start(kind), at, not line))
