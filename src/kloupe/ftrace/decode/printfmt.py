"""The language of `print fmt`: a printf format and C expressions over the record, as a tree.

Source: include/trace/stages/stage3_trace_output.h (the macros that stay in the text), kernel/trace/trace_events.c.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from ...base.errors import KloupeError


class PrintFormatError(KloupeError):
    """A print format that is not understood; the event's fields are shown instead."""


class Number(NamedTuple):
    """A constant."""

    value: int


class Text(NamedTuple):
    """A string constant."""

    value: str


class FieldRef(NamedTuple):
    """`REC->name`."""

    name: str


class Index(NamedTuple):
    """`base[place]`."""

    base: Node
    place: Node


class Cast(NamedTuple):
    """`(type)inner`: the words of the type; a pointer when they have a star."""

    words: tuple[str, ...]
    inner: Node


class Unary(NamedTuple):
    """`op inner`; `&` and `*` too."""

    op: str
    inner: Node


class Binary(NamedTuple):
    """`left op right`."""

    op: str
    left: Node
    right: Node


class Ternary(NamedTuple):
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node


class Pair(NamedTuple):
    """`{ value, "text" }` of the lists of flags and symbols."""

    value: Node
    text: Node


class Call(NamedTuple):
    """`name(arguments)`."""

    name: str
    arguments: tuple[Node, ...]


Node: TypeAlias = Number | Text | FieldRef | Index | Cast | Unary | Binary | Ternary | Pair | Call

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:\\.|[^"\\])*")
    | (?P<char>'(?:\\.|[^'\\])')
    | (?P<number>0[xX][0-9a-fA-F]+[uUlL]*|\d+[uUlL]*)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<op>->|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>?:(),{}\[\].;=])
    )""",
    re.VERBOSE | re.ASCII,
)
_PRECEDENCE = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"), ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
_TYPE_WORDS = frozenset(
    [
        "unsigned",
        "signed",
        "int",
        "char",
        "short",
        "long",
        "const",
        "void",
        "struct",
        "union",
        "enum",
        "u8",
        "u16",
        "u32",
        "u64",
        "s8",
        "s16",
        "s32",
        "s64",
        "__u8",
        "__u16",
        "__u32",
        "__u64",
        "__s8",
        "__s16",
        "__s32",
        "__s64",
        "__be16",
        "__be32",
        "__be64",
        "__le16",
        "__le32",
        "__le64",
        "bool",
        "_Bool",
        "size_t",
        "ssize_t",
        "uint8_t",
        "uint16_t",
        "uint32_t",
        "uint64_t",
        "int8_t",
        "int16_t",
        "int32_t",
        "int64_t",
        "gfp_t",
        "pid_t",
        "dev_t",
        "loff_t",
        "sector_t",
        "uintptr_t",
        "ino_t",
        "umode_t",
        "uid_t",
        "gid_t",
        "phys_addr_t",
        "dma_addr_t",
        "ktime_t",
        "time64_t",
        "volatile",
        "__user",
        "__force",
        "pgoff_t",
        "blkcnt_t",
        "qsize_t",
        "tid_t",
    ]
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "0": "\0", "'": "'"}
_DEEPEST = 200


def parse_print_format(text: str) -> tuple[str, list[Node]]:
    """(format, arguments). Raises PrintFormatError."""
    reader = _Reader(text)
    form = reader.strings()
    arguments = []
    while reader.accept(","):
        arguments.append(reader.expression())
    if reader.kind:
        raise PrintFormatError(f"unexpected {reader.value!r} in a print format")
    return form, arguments


def parse_expression(text: str) -> Node:
    """One C expression. Raises PrintFormatError."""
    reader = _Reader(text)
    node = reader.expression()
    if reader.kind:
        raise PrintFormatError(f"unexpected {reader.value!r}")
    return node


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self.kind = self.value = ""
        self._next()

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            if self._text[self._at :].strip():
                raise PrintFormatError(f"cannot read {self._text[self._at : self._at + 20]!r} in a print format")
            self.kind = self.value = ""
            return
        self._at = match.end()
        self.kind = match.lastgroup or ""
        self.value = match[self.kind]

    def accept(self, op: str) -> bool:
        """Whether the operator comes next; it is then taken."""
        if self.kind == "op" and self.value == op:
            self._next()
            return True
        return False

    def expect(self, op: str) -> None:
        """Take the operator. Raises PrintFormatError."""
        if not self.accept(op):
            raise PrintFormatError(f"{op!r} expected before {self.value!r} in a print format")

    def strings(self) -> str:
        """One or more string constants, joined."""
        if self.kind != "text":
            raise PrintFormatError("a print format does not begin with a string")
        parts = []
        while self.kind == "text":
            parts.append(_unescaped(self.value[1:-1]))
            self._next()
        return "".join(parts)

    def expression(self) -> Node:
        """A whole expression."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise PrintFormatError("a print format is nested too deeply")
        node = self._binary(0)
        if self.accept("?"):
            yes = node if self.kind == "op" and self.value == ":" else self.expression()
            self.expect(":")
            node = Ternary(node, yes, self.expression())
        self._depth -= 1
        return node

    def _binary(self, level: int) -> Node:
        if level == len(_PRECEDENCE):
            return self._unary()
        node = self._binary(level + 1)
        while self.kind == "op" and self.value in _PRECEDENCE[level]:
            op = self.value
            self._next()
            node = Binary(op, node, self._binary(level + 1))
        return node

    def _unary(self) -> Node:
        if self.kind == "op" and self.value in ("-", "+", "~", "!", "&", "*"):
            op = self.value
            self._next()
            self._depth += 1
            if self._depth > _DEEPEST:
                raise PrintFormatError("a print format is nested too deeply")
            node = Unary(op, self._unary())
            self._depth -= 1
            return node
        return self._postfix(self._primary())

    def _postfix(self, node: Node) -> Node:
        while True:
            if self.accept("["):
                index = self.expression()
                self.expect("]")
                node = Index(node, index)
            elif self.accept("->") or self.accept("."):
                name = self.value
                if self.kind != "word":
                    raise PrintFormatError("a member's name is missing in a print format")
                self._next()
                node = FieldRef(_member(node, name))
            else:
                return node

    def _primary(self) -> Node:
        if self.kind == "number":
            value = int(self.value.rstrip("uUlL"), 0 if self.value[:2] in ("0x", "0X") else _base(self.value))
            self._next()
            return Number(value)
        if self.kind == "char":
            value = ord(_unescaped(self.value[1:-1])[:1] or "\0")
            self._next()
            return Number(value)
        if self.kind == "text":
            return Text(self.strings())
        if self.accept("{"):
            return self._pair()
        if self.accept("("):
            return self._parenthesis()
        if self.kind == "word":
            return self._word()
        raise PrintFormatError(f"unexpected {self.value or 'end'!r} in a print format")

    def _pair(self) -> Node:
        value = self.expression()
        text: Node = Text("")
        if self.accept(","):
            text = self.expression()
        self.accept(",")
        self.expect("}")
        return Pair(value, text)

    def _parenthesis(self) -> Node:
        words = self._type_words()
        if words is not None:
            return Cast(words, self._unary())
        if self.accept("{"):  # a list of pairs in parentheses
            node: Node = self._pair()
        else:
            node = self.expression()
        self.expect(")")
        return node

    def _type_words(self) -> tuple[str, ...] | None:
        """The type of a cast, with its closing parenthesis; None (nothing taken) when this is no cast."""
        mark = (self._at, self.kind, self.value)
        words: list[str] = []
        while self.kind == "word" or (words and self.kind == "op" and self.value == "*"):
            words.append(self.value)
            self._next()
        known = words and (words[0] in _TYPE_WORDS or "*" in words or words[0].endswith("_t"))
        if known and "REC" not in words and self.accept(")"):
            return tuple(words)
        self._at, self.kind, self.value = mark
        return None

    def _word(self) -> Node:
        name = self.value
        self._next()
        if not self.accept("("):
            return FieldRef(name) if name == "REC" else Call(name, ())
        if name == "sizeof":
            return self._sizeof()
        arguments: list[Node] = []
        while not self.accept(")"):
            arguments.append(self.expression())
            if not self.accept(","):
                self.expect(")")
                break
        return Call(name, tuple(arguments))

    def _sizeof(self) -> Node:
        from .eventformat import type_bytes

        words: list[str] = []
        while self.kind and not (self.kind == "op" and self.value == ")"):
            words.append(self.value)
            self._next()
        self.expect(")")
        return Number(8 if "*" in words else type_bytes(words))


def _member(node: Node, name: str) -> str:
    """The field that `node->name` names; the kernel's `REC->ent.pid` is common_pid."""
    if node == FieldRef("REC"):
        return name
    return f"common_{name}" if node == FieldRef("ent") else f"?{name}"


def _base(digits: str) -> int:
    return 8 if len(digits.rstrip("uUlL")) > 1 and digits[0] == "0" else 10


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text)
