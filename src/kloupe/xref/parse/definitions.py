"""From the outline of a text to what it defines: names, kinds, places, with the macros that make them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...base.record import record
from . import declarators as heads
from .macros import MacroRule, macro_rule
from .members import body_names
from .structure import Group, Outline, Piece, groups


@record(frozen=True)
class Named:
    """One definition inside a text. Offsets are into that text; `end` is behind its last byte, `body` where its block begins or -1.

    `kind`: function, syscall, compat_syscall, macro, function_macro, struct, union, enum, enumerator, member, typedef, variable,
    percpu, lock, static_key, module_param, setup, initcall, export, tracepoint, trace_class, bpf_helper, asm_function, asm_macro,
    asm_data, label, macro_function, declaration, config. `macro` names the macro that makes it, `scope` the struct or enum around it.
    """

    name: str
    kind: str
    offset: int
    start: int
    end: int
    macro: str = ""
    scope: str = ""
    body: int = -1


# Kinds with a block of statements, from which calls are made.
CODE_KINDS = frozenset(("function", "syscall", "compat_syscall", "bpf_helper", "macro_function"))
_TYPEDEF = re.compile(rb"\s*(?:__extension__\s+)?typedef\b")
_EXTERN = re.compile(rb"\s*(?:static\s+)?extern\b")
_LONE_TYPE = re.compile(rb"\s*(?:static\s+|const\s+|extern\s+)*(?:struct|union|enum)\s+\w+\s*$")
_LAST_WORD = re.compile(rb"(\w+)\s*$")
_QUOTED = re.compile(rb'\s*"([^"]*)"')
_DEFINE = re.compile(rb"[ \t]*(\w+)(\(?)")
_LABEL = re.compile(rb"^([A-Za-z_.][\w.$]*):", re.M)
_ASM_MACRO = re.compile(rb"^[ \t]*\.macro[ \t]+(\w+)", re.M)
_UPPER = re.compile(rb"_{0,2}[A-Z][A-Z0-9_]*$")


def definitions(parts: Outline, is_assembly: bool = False) -> Iterator[Named]:
    """Everything that an outlined text defines."""
    yield from macros(parts)
    if is_assembly:
        yield from assembly(parts)
        return
    reader = PieceReader(parts)
    for index in range(len(parts.pieces)):
        yield from reader.names(index)


def macros(parts: Outline) -> Iterator[Named]:
    """The macros of a text."""
    for directive in parts.directives:
        if directive.word == b"define" and (match := _DEFINE.match(directive.argument)):
            kind = "function_macro" if match[2] else "macro"
            at = directive.argument_off + match.start(1)
            yield Named(_text(match[1]), kind, at, directive.start, directive.end)


def assembly(parts: Outline) -> Iterator[Named]:
    """Labels, macros, and what the kernel's macros make, of an assembly text."""
    for match in _LABEL.finditer(parts.code):
        if not match[1].startswith(b"."):
            yield Named(_text(match[1]), "label", match.start(1), match.start(), match.end())
    for match in _ASM_MACRO.finditer(parts.code):
        yield Named(_text(match[1]), "asm_macro", match.start(1), match.start(), match.end())
    at = 0
    for line in parts.code.split(b"\n"):
        if b"(" in line and (found := groups(line)) and not line[: found[0].start].strip():
            rule = macro_rule(_text(found[0].name))
            if rule is not None:
                yield from _macro_call(parts, Piece(at, at + len(line)), line, found[0], rule)
        at += len(line) + 1


class PieceReader:
    """Reads the pieces of an outline, in any order."""

    def __init__(self, parts: Outline) -> None:
        self._parts = parts
        self._read: dict[int, list[Named]] = {}
        self._tails: dict[int, str] = {}

    def names(self, index: int) -> list[Named]:
        """What a piece defines."""
        # What stands behind a block depends on the block, and that may be so for all the pieces of a file.
        start = index
        while start > 0 and start not in self._read and self._parts.pieces[start].after_block:
            start -= 1
        for at in range(start, index + 1):
            if at not in self._read:
                self._tails[at] = self._tail_kind(at)
                self._read[at] = list(self._names(self._parts.pieces[at], self._tails[at]))
        return self._read[index]

    def code(self, index: int) -> list[Named]:
        """What a piece defines that has statements. Cheaper than `names` for the members of big structs."""
        if index not in self._read:
            piece = self._parts.pieces[index]
            head = self._parts.code[piece.start : piece.head_end]
            if piece.body_start < 0 or b"(" not in head or (b"=" not in head and heads.record_head(head)):
                return []
        return [item for item in self.names(index) if item.body >= 0 and item.kind in CODE_KINDS]

    def _tail_kind(self, index: int) -> str:
        """What names behind the block before this piece are: typedef, variable, or "" when the block ended its statement.

        The piece before must have been read.
        """
        piece = self._parts.pieces[index]
        if not piece.after_block or index == 0:
            return ""
        before = self._parts.pieces[index - 1]
        if any(item.body >= 0 and item.kind in CODE_KINDS for item in self._read[index - 1]):
            return ""
        head = self._parts.code[before.start : before.head_end]
        if _TYPEDEF.match(head) or self._tails[index - 1] == "typedef":
            return "typedef"
        return "variable" if b"=" in head or heads.record_head(head) else ""

    def _names(self, piece: Piece, tail: str) -> Iterator[Named]:
        head = self._parts.code[piece.start : piece.head_end]
        if tail and (piece.body_start < 0 or b"=" in head):
            yield from _declared(head, piece, tail, behind_block=True)
        elif tail and not head.strip():
            return
        elif piece.body_start < 0:
            yield from _statement(self._parts, piece, head)
        else:
            yield from _block(self._parts, piece, head)


def _text(word: bytes) -> str:
    return word.decode("ascii", "replace")


def _block(parts: Outline, piece: Piece, head: bytes) -> Iterator[Named]:
    equals = heads.equals_at(head)
    found = heads.record_head(head) if equals < 0 else None
    if found is not None:
        yield from _leading_calls(parts, piece, head, found.start)
        yield from _record(parts, piece, found)
    elif equals >= 0:
        yield from _leading_calls(parts, piece, head, equals)
        start = max([0, *(group.close + 1 for group in groups(head[:equals]) if _stands_alone(head[:equals], group))])
        if not _LONE_TYPE.match(head[:equals]):
            rest = Piece(piece.start + start, piece.head_end, piece.body_start, piece.body_end)
            yield from _declared(head[start:equals], rest, "variable")
    else:
        yield from _function(parts, piece, head)


def _record(parts: Outline, piece: Piece, found: heads.RecordHead) -> Iterator[Named]:
    scope = _text(found.name)
    if found.name:
        at, start = piece.start + found.name_off, piece.start + found.start
        yield Named(scope, found.kind, at, start, piece.body_end, body=piece.body_start)
    inner = body_names(parts.code, piece.body_start, piece.body_end, found.kind, scope)
    for name, inner_kind, offset, inner_scope, end in inner:
        yield Named(name, inner_kind, offset, offset, end, scope=inner_scope)


def _stands_alone(head: bytes, group: Group) -> bool:
    return heads.at_line_start(head, group.start) and heads.ends_line(head, group)


def _leading_calls(parts: Outline, piece: Piece, head: bytes, end: int) -> Iterator[Named]:
    """Macro calls without a semicolon that stand before a definition."""
    for group in groups(head[:end]):
        rule = macro_rule(_text(group.name))
        if rule is not None and rule.kind != "note" and heads.at_line_start(head, group.start):
            call = Piece(piece.start + group.start, piece.start + group.close + 1)
            moved = Group(group.name, 0, group.open - group.start, group.close - group.start)
            yield from _macro_call(parts, call, head[group.start :], moved, rule)


def _function(parts: Outline, piece: Piece, head: bytes) -> Iterator[Named]:
    found = heads.candidates(head)
    if not found:
        return
    chosen = heads.function_group(head, found)
    yield from _leading_calls(parts, piece, head, chosen.start)
    typed = heads.has_type(head[: chosen.start].strip())
    rule = macro_rule(_text(chosen.name))
    if rule is None and _UPPER.match(chosen.name):
        rule = MacroRule("macro_function")
    if rule is not None and rule.kind != "note" and not typed:
        yield from _macro_call(parts, piece, head, chosen, rule)
        yield from _alternatives(parts, piece, head, chosen)
        return
    at, name = heads.function_name(head, chosen)
    start = piece.start + heads.declaration_start(head, chosen.start)
    yield Named(_text(name), "function", piece.start + at, start, piece.body_end, body=piece.body_start)


def _alternatives(parts: Outline, piece: Piece, head: bytes, first: Group) -> Iterator[Named]:
    """The same kind of call behind the first: the other branch of an `#if`, which shares the body."""
    for group in groups(head[first.close + 1 :]):
        rule = macro_rule(_text(group.name))
        start = first.close + 1 + group.start
        if rule is not None and rule.kind in CODE_KINDS and heads.at_line_start(head, start):
            moved = Group(group.name, start, group.open + first.close + 1, group.close + first.close + 1)
            yield from _macro_call(parts, piece, head, moved, rule)


def _macro_call(parts: Outline, piece: Piece, head: bytes, group: Group, rule: MacroRule) -> Iterator[Named]:
    inside = head[group.open : group.close]
    words = [_argument_word(text) for text in heads.split_at_commas(inside)]
    open_at = piece.start + group.open
    names: list[tuple[str, int]] = []
    quoted = _QUOTED.match(parts.data[open_at : piece.start + group.close]) if rule.kind == "setup" else None
    if quoted:
        names.append((quoted[1].decode("utf-8", "replace").rstrip("="), open_at + quoted.start(1)))
    word = words[rule.argument] if rule.argument < len(words) else b""
    if word and not word.isdigit():
        offset = open_at + _word_at(inside, word)
        arguments = [*map(_text, words), "", "", ""]
        made = [name for name in (text.format(*arguments) for text in rule.made) if name]
        names += [(name, offset) for name in ([_text(word)] if rule.own else []) + made]
    end = piece.body_end if piece.body_end >= 0 else piece.head_end
    for name, offset in names:
        yield Named(name, rule.kind, offset, piece.start + group.start, end, _text(group.name), body=piece.body_start)


def _argument_word(text: bytes) -> bytes:
    """The last word of an argument: `int, name` or `struct x, name[3]`."""
    match = _LAST_WORD.search(re.sub(rb"\[[^\]]*\]", b"", text))
    return match[1] if match else b""


def _word_at(text: bytes, word: bytes) -> int:
    match = re.search(rb"\b" + word + rb"\b", text)
    return match.start() if match else 0


def _statement(parts: Outline, piece: Piece, head: bytes) -> Iterator[Named]:
    if not head.strip():
        return
    if _TYPEDEF.match(head):
        yield from _declared(head, piece, "typedef")
        return
    equals = heads.equals_at(head)
    found = [g for g in groups(head if equals < 0 else head[:equals]) if g.name not in heads.DECORATIONS]
    first = next((g for g in found if not heads.has_type(head[: g.start])), None)
    if first is not None:
        rule = macro_rule(_text(first.name))
        if rule is not None and rule.kind != "note":
            yield from _macro_call(parts, piece, head, first, rule)
        if heads.ends_line(head, first):
            rest = first.close + 1
            yield from _statement(parts, Piece(piece.start + rest, piece.head_end), head[rest:])
            return
        if rule is not None:
            return
    if not _EXTERN.match(head) or equals >= 0:
        yield from _declared(head, piece, "variable")


def _declared(head: bytes, piece: Piece, kind: str, behind_block: bool = False) -> Iterator[Named]:
    start = piece.start + len(head) - len(head.lstrip())
    end = piece.body_end if piece.body_end >= 0 else piece.head_end
    for offset, name in heads.declared(head, kind, behind_block):
        yield Named(_text(name), kind, piece.start + offset, start, end, body=piece.body_start)
