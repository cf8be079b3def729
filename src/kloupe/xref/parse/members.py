"""The inside of struct, union and enum blocks: members with their types, enumerators."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...base.record import record

_TOKEN = re.compile(rb"[{}();,:=\[\]]|[A-Za-z_]\w*|\d\w*")
_WORD = re.compile(rb"[A-Za-z_]\w*")
_INNER = re.compile(rb"\b(struct|union|enum)\b\s*((?:__\w+\s+|__attribute__\s*\(\(.*?\)\)\s*)*)(\w+)?\s*$", re.S)
_POINTER = re.compile(rb"\(\s*(?:__\w+\s+)*\*+\s*(?:const\s+)?(?:__\w+\s+)*(\w+)\s*(?:\[[^\]]*\]\s*)*\)")
_BRACKETS = re.compile(rb"\[[^\]]*\]")
_ATTRIBUTE = re.compile(
    rb"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)|\b(?:__aligned|__counted_by|__counted_by_le|__counted_by_be|__counted_by_ptr|__guarded_by|__section)\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
)
_MACRO_MEMBER = re.compile(
    rb"\s*(?:struct_group(?:_tagged|_attr)?|__struct_group|DECLARE_\w+|__type|__uint|__array|__ulong|__bpf_md_ptr|KABI_\w+|ANDROID_\w+)\s*\("
)
_DECORATION = re.compile(
    rb"(?:__packed|____cacheline\w*|__cacheline\w*|__aligned\w*|__rcu|__user|__percpu|__iomem|__private|__randomize_layout|"
    rb"__nonstring|__maybe_unused|__no_randomize_layout|CRYPTO_MINALIGN_ATTR|ARCH_SLAB_MINALIGN|__deprecated|__attribute_const__|__subtype)$"
)

Found = tuple[str, str, int, str, int]  # name, kind, offset, scope, end offset


@record(frozen=True)
class Member:
    """A member: its name, its declaration as one line of C, where it stands, and its place (`sub.name` inside nested blocks)."""

    name: str
    declaration: str
    offset: int
    scope: str


def body_names(code: bytes, start: int, end: int, kind: str, scope: str) -> Iterator[Found]:
    """The names inside a block from its { to behind its }."""
    if kind == "enum":
        yield from _enumerators(code, start, end, scope)
        return
    yield from members(code, start, end, scope)


def _enumerators(code: bytes, start: int, end: int, scope: str) -> Iterator[Found]:
    depth, expect = 0, True
    for match in _TOKEN.finditer(code, start + 1, max(start + 1, end - 1)):
        token = match[0]
        if token in b"([{":
            depth += 1
        elif token in b")]}":
            depth -= 1
        elif depth == 0 and token == b",":
            expect = True
        elif depth == 0 and expect and _WORD.match(token):
            yield token.decode(), "enumerator", match.start(), scope, match.end()
            expect = False


def members(code: bytes, start: int, end: int, scope: str) -> Iterator[Found]:
    """Members of a struct or union, those of nested blocks too, and the nested blocks' own names."""
    at = start + 1
    statement = at
    depth = 0
    stop = max(at, end - 1)
    while at < stop:
        match = _NEXT.search(code, at, stop)
        if match is None:
            break
        sign = match[0]
        at = match.end()
        if sign == b"(":
            depth += 1
        elif sign == b")":
            depth = max(0, depth - 1)
            if depth == 0 and _MACRO_MEMBER.match(code, statement) and code[at : at + 1] not in (b";", b","):
                statement = at
        elif sign == b"{":
            close = _closing_brace(code, match.start(), stop)
            yield from _nested(code, statement, match.start(), close, scope)
            at = close
            statement = at
            depth = 0
        elif sign == b";" and (depth == 0 or not _MACRO_MEMBER.match(code, statement)):
            yield from _declarators(code, statement, match.start(), scope)
            statement, depth = at, 0
        elif sign == b";":
            opening = code.find(b"(", statement, match.start())
            first = code.rfind(b",", opening, match.start())
            yield from _declarators(code, max(opening, first) + 1, match.start(), scope)
            statement = at


_NEXT = re.compile(rb"[{();]")


def _closing_brace(code: bytes, start: int, stop: int) -> int:
    depth = 0
    for match in re.compile(rb"[{}]").finditer(code, start, stop):
        depth += 1 if match[0] == b"{" else -1
        if depth == 0:
            return match.end()
    return stop


def _nested(code: bytes, start: int, opening: int, close: int, scope: str) -> Iterator[Found]:
    match = _INNER.search(code[start:opening])
    if match is None:
        return
    kind, name = match[1].decode(), (match[3] or b"").decode()
    if name:
        yield name, kind, start + match.start(3), scope, close
    if kind == "enum":
        yield from _enumerators(code, opening, close, name or scope)
    else:
        yield from members(code, opening, close, name or scope)


def _declarators(code: bytes, start: int, end: int, scope: str) -> Iterator[Found]:
    """The names of one declaration. Attributes, array bounds and widths are blanked first."""
    text = code[start:end]
    if b"__" in text:
        text = _ATTRIBUTE.sub(lambda match: b" " * len(match[0]), text)
    call = _MACRO_MEMBER.match(text)
    if call:
        inside = text[call.end() :]
        words = list(_WORD.finditer(_BRACKETS.sub(lambda m: b" " * len(m[0]), inside.split(b",")[0])))
        if words and b"DECLARE_" in call[0]:
            yield words[-1][0].decode(), "member", start + call.end() + words[-1].start(), scope, end
        return
    text = _BRACKETS.sub(lambda match: b" " * len(match[0]), text)
    pointer = _POINTER.search(text)
    if pointer:
        yield pointer[1].decode(), "member", start + pointer.start(1), scope, end
        return
    at = 0
    for part in text.split(b","):
        name = part.split(b":", 1)[0]
        words = list(_WORD.finditer(name))
        while len(words) > 1 and _DECORATION.match(words[-1][0]):
            words.pop()
        if (
            words
            and b"(" not in name
            and (len(words) > 1 or at or b"*" in name or not name[: words[0].start()].strip())
        ):
            yield words[-1][0].decode(), "member", start + at + words[-1].start(), scope, end
        at += len(part) + 1
