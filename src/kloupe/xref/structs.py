"""Questions about structs in one file: their members, and which functions are put into a member."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .answers import Implementer, Member
from .parse.declarators import split_at_commas
from .parse.definitions import Named
from .text import SourceText

_END_BEFORE = re.compile(rb"[;{}]")
_BRACES = re.compile(rb"[{}]")
_NOT_FUNCTIONS = frozenset((b"NULL", b"true", b"false", b"sizeof"))


def members_in(text: SourceText, name: str) -> Iterator[Member]:
    """The members of the structs and unions with a tag, or with a typedef's name, in the order of their text."""
    pieces = text.outline.pieces
    for index, piece in enumerate(pieces):
        if piece.body_start < 0:
            continue
        names = text.reader.names(index)
        ranges = [
            (n.body if n.body >= 0 else n.offset, n.end)
            for n in names
            if n.name == name and n.kind in ("struct", "union")
        ]
        behind = text.reader.names(index + 1) if index + 1 < len(pieces) and pieces[index + 1].after_block else []
        if any(n.name == name and n.kind == "typedef" for n in behind):
            ranges.append((piece.body_start, piece.body_end))
        for start, end in ranges:
            yield from (_member(text, item) for item in names if item.kind == "member" and start <= item.offset < end)


def _member(text: SourceText, item: Named) -> Member:
    code = text.outline.code
    before = 0
    for match in _END_BEFORE.finditer(code, max(0, item.offset - 2000), item.offset):
        before = match.end()
    declaration = _one_declarator(b" ".join(code[before : item.end].split()), item.name.encode())
    if code[before - 1 : before] == b"}":
        declaration = b"{...} " + declaration
    return Member(item.name, declaration.decode("utf-8", "replace"), text.path, text.line_at(item.offset), item.scope)


def _one_declarator(declaration: bytes, name: bytes) -> bytes:
    """Of `struct list_head *next, *prev` the part of one name: `struct list_head *prev`."""
    first, *others = split_at_commas(declaration)
    for part in others:
        if re.search(rb"\b" + name + rb"\b", part):
            return _FIRST_DECLARATOR.sub(b"", first) + b" " + part.strip()
    return first


_FIRST_DECLARATOR = re.compile(rb"[\s*]*\w+\s*(?:\[[^\]]*\]\s*)*(?::\s*\w+\s*)?$")


def implementers_in(text: SourceText, struct: bytes, field: bytes) -> Iterator[Implementer]:
    """What initialisers of a struct type, and assignments through variables of that type, put into a member."""
    if struct not in text.data or field not in text.data:
        return
    yield from _initialised(text, struct, field)
    yield from _assigned(text, struct, field)


def _initialised(text: SourceText, struct: bytes, field: bytes) -> Iterator[Implementer]:
    clean = text.outline.code
    opening = re.compile(
        rb"\b" + struct + rb"\b(?:\s*\)\s*\{|([^;{}()=]*)(?:\([^;{}()]*\)[^;{}()=]*)?=\s*(?:\([^;{}()=]*\)\s*)?\{)"
    )
    value = re.compile(rb"\." + field + rb"\s*=\s*(?:\([^()]*\)\s*)?&?\s*([A-Za-z_]\w*)(\s*\([^;{}]*?\))?")
    seen = set()
    for match in opening.finditer(clean):
        declarator = match[1] or b""
        depth = 2 if b"[" in declarator else 1
        end = _block_end(clean, match.end() - 1)
        words = re.findall(rb"[A-Za-z_]\w*", re.sub(rb"\[[^\]]*\]", b"", declarator))
        for found in value.finditer(clean, match.end(), end):
            if found.start() in seen or _depth(clean, match.end() - 1, found.start()) != depth:
                continue
            seen.add(found.start())
            name = re.findall(rb"[A-Za-z_]\w*", found[2])[-1:] if found[2] else [found[1]]
            if name and name[0] not in _NOT_FUNCTIONS:
                yield _implementer(text, name[0], found.start(), words[0] if words else b"")


def _assigned(text: SourceText, struct: bytes, field: bytes) -> Iterator[Implementer]:
    clean = text.outline.code
    pattern = re.compile(rb"(\w+)\s*(?:->|\.)\s*" + field + rb"\s*=\s*&?\s*([A-Za-z_]\w*)\s*;")
    for match in pattern.finditer(clean):
        variable = match[1]
        declared = re.search(
            rb"\b" + struct + rb"\b[\s*]*(?:const\b|restrict\b|__\w+|[\s*])*\b" + variable + rb"\b", clean
        )
        if declared and match[2] not in _NOT_FUNCTIONS:
            yield _implementer(text, match[2], match.start(), variable)


def _implementer(text: SourceText, name: bytes, offset: int, variable: bytes) -> Implementer:
    line = text.line_at(offset)
    scope = text.scope_at(offset)
    return Implementer(
        *(name.decode(), text.path, line, variable.decode(), scope.name if scope else "", text.line_text_at(offset))
    )


def _block_end(code: bytes, opening: int) -> int:
    depth = 0
    for match in _BRACES.finditer(code, opening):
        depth += 1 if match[0] == b"{" else -1
        if depth == 0:
            return match.start()
    return len(code)


def _depth(code: bytes, start: int, end: int) -> int:
    return code.count(b"{", start, end) - code.count(b"}", start, end)
