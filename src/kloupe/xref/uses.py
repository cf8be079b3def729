"""Questions about one file: what it defines, where it mentions a name, calls it, sets it, includes a header.

Each question is a function of a file and plain values, so that it can be put to many files by several processes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .answers import Call, Definition, Reference
from .parse.clean import condition_at
from .parse.definitions import Named
from .parse.macros import argument_of
from .text import SourceText

# An identifier before a parenthesis that is no call.
NOT_CALLS = frozenset(
    b"if for while switch return sizeof typeof __typeof__ __typeof do else case defined __attribute__ __aligned __asm__ asm "
    b"_Alignof __alignof__ alignof static_assert _Static_assert __volatile__ volatile int char long void short unsigned".split()
)
_CALL = re.compile(rb"\b([A-Za-z_]\w*)\s*\(")
_MEMBER_BEFORE = re.compile(rb"(?:->|\.)\s*$")
_PARENTHESIS = re.compile(rb"\s*\(")
_JUMPS = rb"(?:call|callq|jmp|b|bl|blx|jal|bsr|jsr|brasl|bal|tail|CALL|BRANCH)[ \t]+"
_JUMP = re.compile(rb"(?<!\w)" + _JUMPS + rb"$")
_ASSEMBLY_CALL = re.compile(rb"(?m)^(?:[^#\n]*[;:])?[ \t]*" + _JUMPS + rb"([A-Za-z_]\w*)")
_STEP = re.compile(rb"\s*(?:\[[^\]]*\]\s*)*(?:=(?!=)|[-+*/%&|^]=|<<=|>>=|\+\+|--)")
_STEP_BEFORE = re.compile(rb"(?:\+\+|--)\s*(?:\w+\s*(?:->|\.)\s*)*$")
_INCLUDE = re.compile(rb"\s*[<\"]([^>\"]+)[>\"]")


def definitions_in(text: SourceText, names: frozenset[bytes]) -> Iterator[Definition]:
    """The definitions of some names."""
    wanted = {name.decode("utf-8", "replace") for name in names}
    if b"__setup" in text.data or b"early_param" in text.data:  # the name is in a string
        named = text.names()
    else:
        words = names.union(*map(argument_of, names))
        named = text.names_near([offset for word in words for offset in text.words(word)])
    for item in named:
        if item.name in wanted:
            yield definition(text, item)


def definition(text: SourceText, item: Named) -> Definition:
    """A definition as answers show it."""
    line = text.line_at(item.offset)
    return Definition(
        *(
            item.name,
            item.kind,
            text.path,
            line,
            text.line_at(max(item.offset, item.end - 1)),
            text.line_text_at(item.offset),
        ),
        condition_at(text.outline.directives, item.start),
        *(item.macro, item.scope),
    )


def _reference(text: SourceText, offset: int, line: int) -> Reference:
    scope = text.scope_at(offset)
    return Reference(text.path, line, scope.name if scope else "", text.line_text_at(offset))


def _references(text: SourceText, offsets: Iterable[int]) -> Iterator[Reference]:
    """One reference for each line."""
    last = 0
    for offset in offsets:
        line = text.line_at(offset)
        if line != last:
            yield _reference(text, offset, line)
        last = line


def references_in(text: SourceText, name: bytes) -> Iterator[Reference]:
    """The lines that mention a name outside of comments and strings."""
    for part in text.parts_with(name):
        yield from _references(part, part.words(name))


def assignments_in(text: SourceText, name: bytes) -> Iterator[Reference]:
    """The lines that give a variable or member a new value."""
    for part in text.parts_with(name):
        yield from _references(part, (at for at in part.words(name) if _is_set(part.clean, at, at + len(name))))


def _is_set(clean: bytes, start: int, end: int) -> bool:
    """Whether what stands between two offsets is given a value."""
    return bool(_STEP.match(clean, end) or _STEP_BEFORE.search(clean, max(0, start - 80), start))


def calls_in(text: SourceText, name: bytes) -> Iterator[Call]:
    """The calls of a function or macro."""
    for part in text.parts_with(name):
        yield from _calls_in_part(part, name)


def _calls_in_part(text: SourceText, name: bytes) -> Iterator[Call]:
    last = 0
    for offset in text.words(name):
        if not _is_call(text, offset, offset + len(name)):
            continue
        scope = text.scope_at(offset)
        line = text.line_at(offset)
        if scope is None or line == last or scope.offset == offset or offset < scope.body:
            continue
        last = line
        yield _call(text, offset, scope.name, name)


def _call(text: SourceText, offset: int, caller: str, callee: bytes) -> Call:
    line = text.line_at(offset)
    indirect = _MEMBER_BEFORE.search(text.clean, max(0, offset - 40), offset) is not None
    return Call(text.path, line, caller, callee.decode("utf-8", "replace"), text.line_text_at(offset), indirect)


def _is_call(text: SourceText, start: int, end: int) -> bool:
    if text.is_assembly and _JUMP.search(text.clean, max(0, start - 20), start):
        return b"#" not in text.clean[text.clean.rfind(b"\n", 0, start) + 1 : start]  # no comment
    return _PARENTHESIS.match(text.clean, end) is not None


def callees_in(text: SourceText, name: bytes) -> Iterator[Call]:
    """The calls that the functions and macros of a name make."""
    wanted = name.decode("utf-8", "replace")
    for item in text.names():
        if item.name != wanted:
            continue
        if item.body >= 0:
            yield from _calls_between(text, wanted, _CALL, item.body, item.end)
        elif item.kind == "function_macro":
            yield from _calls_between(text, wanted, _CALL, item.offset + len(name), item.end)
        elif text.is_assembly and item.kind in ("asm_function", "label"):
            yield from _calls_between(text, wanted, _ASSEMBLY_CALL, *text.assembly_range(item))


def _calls_between(text: SourceText, caller: str, call: re.Pattern[bytes], start: int, end: int) -> Iterator[Call]:
    seen = set()
    for match in call.finditer(text.clean, start, end):
        line = text.line_at(match.start(1))
        if match[1] not in NOT_CALLS and (match[1], line) not in seen:
            seen.add((match[1], line))
            yield _call(text, match.start(1), caller, match[1])


def includes_in(text: SourceText, suffix: str) -> Iterator[Reference]:
    """The lines that include a header whose path ends so."""
    for directive in text.outline.directives:
        if directive.word in (b"include", b"include_next"):
            at = directive.argument_off
            match = _INCLUDE.match(text.data, at, directive.end)
            if match:
                path = match[1].decode("utf-8", "replace")
                if path == suffix or path.endswith("/" + suffix) or suffix.endswith("/" + path):
                    line = text.line_at(at)
                    yield Reference(text.path, line, "", text.line_text_at(at))


def lines_with(text: SourceText, wanted: bytes) -> Iterator[Reference]:
    """The lines with these bytes, anywhere."""
    for part in text.parts_with(wanted):
        at = part.data.find(wanted)
        while at >= 0:
            yield _reference(part, at, part.line_at(at))
            end = part.data.find(b"\n", at)
            at = part.data.find(wanted, end) if end >= 0 else -1


def lines_matching(text: SourceText, pattern: re.Pattern[bytes]) -> Iterator[Reference]:
    """The lines that match a regular expression."""
    last = 0
    for match in pattern.finditer(text.data):
        line = text.line_at(match.start())
        if line != last:
            yield _reference(text, match.start(), line)
        last = line
