"""C text without comments, strings and directives, every byte at its old place, so that offsets and lines stay true."""

from __future__ import annotations

import re

from ...base.record import record

_NOISE = re.compile(
    rb"/\*(?:[^*]*\*+(?:[^/*][^*]*\*+)*/|.*)"  # a comment, or the rest of the text when it never ends
    rb"|//(?:[^\\\n]|\\.)*"
    rb'|"(?:[^"\\\n]|\\.)*"?'
    rb"|'(?:[^'\\\n]|\\.)*'?",
    re.S,
)
_BLANK = bytes(c if c in b'\n"' else 0x20 for c in range(256))
_SPACES = bytes(c if c == 0x0A else 0x20 for c in range(256))
# A line that begins with # and its continuations. It begins with the line break before it: that makes it fast.
_DIRECTIVE = re.compile(rb"\n[ \t]*#[ \t]*(\w*)([^\n\\]*(?:\\.[^\n\\]*)*)", re.S)


@record(frozen=True, eq=False)
class Directive:
    """A preprocessor line: where it starts and ends (with continuations), its word, and what follows, which starts at `argument_off`."""

    start: int
    end: int
    word: bytes
    argument: bytes
    argument_off: int


def _blank(match: re.Match[bytes]) -> bytes:
    noise = match[0]
    return noise.translate(_SPACES if noise[0] == 0x2F else _BLANK)


def without_comments(data: bytes) -> bytes:
    """The text with comments and the insides of strings as spaces. Same length, same line breaks."""
    return _NOISE.sub(_blank, data)


def split_directives(text: bytes) -> tuple[bytes, list[Directive]]:
    """Code without directives (as spaces), and the directives. `text` comes from `without_comments`."""
    directives: list[Directive] = []
    parts: list[bytes] = []
    at = 0
    for match in _DIRECTIVE.finditer(
        b"\n" + text
    ):  # so a match begins one before its place in `text`: behind its line break
        start, end = match.start(), match.end() - 1
        directives.append(Directive(start, end, match[1], match[2], match.start(2) - 1))
        parts += (text[at:start], text[start:end].translate(_SPACES))
        at = end
    parts.append(text[at:])
    return b"".join(parts), directives


def condition_at(directives: list[Directive], offset: int) -> tuple[str, ...]:
    """The `#if` conditions that hold at an offset, outermost first; an `#else` branch as `!(...)`. Include guards are left out."""
    stack: list[list[bytes]] = []
    for line in directives:
        if line.start >= offset:
            break
        word, text = line.word, b" ".join(line.argument.replace(b"\\\n", b" ").split())
        if word in (b"if", b"ifdef", b"ifndef"):
            stack.append([_condition(word, text)])
        elif not stack:
            continue
        elif word == b"endif":
            stack.pop()
        elif word in (b"elif", b"else"):
            earlier = _negated(stack[-1])
            stack[-1] = [*earlier, text] if word == b"elif" else earlier
    conditions = (b" && ".join(parts) for parts in stack)
    return tuple(text.decode("utf-8", "replace") for text in conditions if not _is_guard(text))


def _condition(word: bytes, text: bytes) -> bytes:
    return {b"if": text, b"ifdef": b"defined(" + text + b")", b"ifndef": b"!defined(" + text + b")"}[word]


def _negated(parts: list[bytes]) -> list[bytes]:
    last = parts[-1]
    return [*parts[:-1], last[1:] if last.startswith(b"!defined(") and last.endswith(b")") else b"!(" + last + b")"]


_GUARD = re.compile(rb"!defined\(_*\w*_H(?:_+\w*)?\)$|!defined\(__?[A-Z0-9_]+_+\)$|.*\bTRACE_HEADER_MULTI_READ\)")


def _is_guard(text: bytes) -> bool:
    return _GUARD.match(text) is not None
