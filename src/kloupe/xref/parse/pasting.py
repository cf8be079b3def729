"""Names that a file's own macros paste together: `#define MAKE(name) int get_##name(void) {...}` and then `MAKE(one)` make `get_one`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .declarators import split_at_commas
from .structure import closing

_MACRO = re.compile(rb"\n[ \t]*#[ \t]*define[ \t]+(\w+)\(([^)\n]*)\)([^\n\\]*(?:\\.[^\n\\]*)*)", re.S)
_CALL = re.compile(rb"\n(?:static[ \t]+)?(\w+)[ \t]*\(")
_PASTED = re.compile(rb"\w+(?:\s*##\s*\w+)+(?=\s*([(=;\[]))")
_ARGUMENT = re.compile(rb"\w+")


def pasted_names(text: bytes) -> Iterator[tuple[bytes, bytes, int, bool]]:
    """(name, macro, offset of the call, whether it looks like a function) of every name that is made. `text` has no comments.

    Only calls that begin a line count, and names that the macro defines or declares rather than uses are not told apart.
    """
    if b"##" not in text:
        return
    text = b"\n" + text
    makers = {}
    for match in _MACRO.finditer(text):
        if b"##" in match[3]:
            makers[match[1]] = ([part.strip() for part in match[2].split(b",")], match[3])
    if not makers:
        return
    for call in _CALL.finditer(text):
        if call[1] not in makers:
            continue
        parameters, body = makers[call[1]]
        arguments = split_at_commas(text[call.end() : closing(text, call.end() - 1)])
        given = {name: _ARGUMENT.search(value) for name, value in zip(parameters, arguments, strict=False)}
        words = {name: found[0] for name, found in given.items() if found}
        for name, is_function in _made(body, words):
            yield name, call[1], call.start(1) - 1, is_function


def _made(body: bytes, words: dict[bytes, bytes]) -> Iterator[tuple[bytes, bool]]:
    depth, at = 0, 0
    for match in _PASTED.finditer(body):
        depth += body.count(b"{", at, match.start()) - body.count(b"}", at, match.start())
        at = match.start()
        if depth:
            continue  # inside of what is made
        parts = [part.strip() for part in match[0].split(b"##")]
        if any(part in words for part in parts):
            yield b"".join(words.get(part, part) for part in parts), match[1] == b"("
