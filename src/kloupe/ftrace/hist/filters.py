"""The kernel's filter language over decoded fields, so that a recorded trace can be asked what the kernel can.

Source: Documentation/trace/events.rst, section 5 (operators ==, !=, <, <=, >, >=, & and ~ for globs; &&, ||, ! and parentheses).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from ...base.errors import UsageError
from ..decode.values import FieldValue

Fields = Mapping[str, FieldValue]
Predicate = Callable[[Fields], bool]

_TOKEN = re.compile(
    r"\s*(?:(\"(?:[^\"\\]|\\.)*\"|'[^']*')|(-?0[xX][0-9a-fA-F]+|-?\d{1,40})|([A-Za-z_][\w.]*)|(&&|\|\||==|!=|<=|>=|[<>&~!()])|(\S))"
)
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "&": lambda a, b: bool(a & b),
}  # fmt: skip
_DEEPEST = 100


def parse_filter(text: str) -> Predicate:
    """A filter as a function of an event's fields. An event without a field of the filter does not pass. Raises UsageError."""
    reader = _Reader(text)
    predicate = reader.either(0)
    if reader.at < len(reader.tokens):
        raise reader.wrong(f"unexpected {reader.tokens[reader.at][1]!r}")
    return predicate


def filter_fields(text: str) -> list[str]:
    """The fields that a filter names, as far as it is understood: the kernel's language may have more than ours."""
    if not text:
        return []
    try:
        reader = _Reader(text)
        reader.either(0)
    except UsageError:
        return []
    return reader.fields


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.tokens: list[tuple[str, str]] = []
        self.fields: list[str] = []
        for match in _TOKEN.finditer(text):
            string, number, name, operator, other = match.groups()
            if other:
                raise self.wrong(f"unexpected {other!r}")
            kind = "string" if string else "number" if number else "name" if name else "op"
            self.tokens.append((kind, string or number or name or operator))

    def wrong(self, why: str) -> UsageError:
        """The error for this filter."""
        return UsageError(
            f"the filter {self.text!r} is not one: {why}", hint="as in 'prev_prio < 100 && prev_comm != \"sh\"'"
        )

    def _accept(self, value: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] == ("op", value):
            self.at += 1
            return True
        return False

    def _take(self, *kinds: str) -> str:
        if self.at >= len(self.tokens) or self.tokens[self.at][0] not in kinds:
            raise self.wrong(f"a {' or '.join(kinds)} is missing")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def either(self, depth: int) -> Predicate:
        """a || b."""
        if depth > _DEEPEST:
            raise self.wrong("it is nested too deeply")
        left = self._both(depth)
        while self._accept("||"):
            left = _or(left, self._both(depth))
        return left

    def _both(self, depth: int) -> Predicate:
        left = self._one(depth)
        while self._accept("&&"):
            left = _and(left, self._one(depth))
        return left

    def _one(self, depth: int) -> Predicate:
        if self._accept("!"):
            inner = self._one(depth + 1) if depth < _DEEPEST else self.either(depth + 1)
            return lambda fields: not inner(fields)
        if self._accept("("):
            inner = self.either(depth + 1)
            if not self._accept(")"):
                raise self.wrong("a parenthesis is not closed")
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        name, operator = self._take("name"), self._take("op")
        self.fields.append(name)
        if operator not in _COMPARE and operator != "~":
            raise self.wrong(f"{operator!r} compares nothing")
        kind = self.tokens[self.at][0] if self.at < len(self.tokens) else ""
        raw = self._take("string", "number", "name")
        if kind == "number" and operator != "~":
            try:
                return _numbers(name, _COMPARE[operator], _number(raw))
            except ValueError:
                raise self.wrong(f"{raw!r} is no number") from None
        text = raw[1:-1] if kind == "string" else raw
        if operator == "~":
            return lambda fields: fnmatchcase(_text(fields.get(name)), text)
        if operator not in ("==", "!="):
            raise self.wrong(f"{operator!r} is for numbers")
        wanted = operator == "=="
        return lambda fields: name in fields and (_text(fields[name]) == text) == wanted


def _number(text: str) -> int:
    """As the kernel reads it: hexadecimal, octal with a leading zero, decimal. Raises ValueError."""
    digits = text.lstrip("-")
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdecimal()
    return int(text, 8 if octal else 0)


def _text(value: FieldValue | None) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _numbers(name: str, compare: Callable[[int, int], bool], wanted: int) -> Predicate:
    def test(fields: Fields) -> bool:
        value = fields.get(name)
        return isinstance(value, int) and compare(value, wanted)

    return test


def _or(left: Predicate, right: Predicate) -> Predicate:
    return lambda fields: left(fields) or right(fields)


def _and(left: Predicate, right: Predicate) -> Predicate:
    return lambda fields: left(fields) and right(fields)
