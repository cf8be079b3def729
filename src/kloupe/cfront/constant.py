"""Constant expressions of C: conditions of #if, array sizes, enumerators, bit-field widths. 64-bit arithmetic."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .tokens import Token

_LEVELS = (("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", ">", "<=", ">="), ("<<", ">>"), ("+", "-"))
_PRECEDENCE = {op: level for level, ops in enumerate((*_LEVELS, ("*", "/", "%")), start=1) for op in ops}
_MAX_DEPTH = 100
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)[uUlL]*\Z", re.ASCII)
_ESCAPES = {"n": 10, "t": 9, "r": 13, "0": 0, "a": 7, "b": 8, "f": 12, "v": 11}

_BINARY: dict[str, Callable[[int, int], int]] = {
    "||": lambda a, b: int(bool(a) or bool(b)),
    "&&": lambda a, b: int(bool(a) and bool(b)),
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "<<": lambda a, b: a << (b & 63),
    ">>": lambda a, b: a >> (b & 63),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "%": lambda a, b: (abs(a) % abs(b)) * (-1 if a < 0 else 1),
}


class ConstantError(ValueError):
    """Not a constant; `token` is where, if known."""

    def __init__(self, message: str, token: Token | None = None) -> None:
        super().__init__(message)
        self.token = token


def _wrap(value: int) -> int:
    return value if -(1 << 63) <= value < 1 << 64 else (value & ((1 << 64) - 1))


class Evaluator:
    """Evaluates `tokens` from `at` on. `lookup(name)` gives a name's value or raises ConstantError;
    `size_of(at)` evaluates what stands behind `sizeof` and gives (bytes, next position)."""

    def __init__(
        self,
        tokens: Sequence[Token],
        lookup: Callable[[str], int],
        at: int = 0,
        size_of: Callable[[int], tuple[int, int]] | None = None,
    ) -> None:
        self.tokens = tokens
        self.lookup = lookup
        self.at = at
        self.size_of = size_of
        self.depth = 0

    def value(self) -> int:
        """The value of all tokens. Raises ConstantError."""
        found = self.expression()
        if self.at < len(self.tokens):
            raise ConstantError("unexpected token in constant expression", self.tokens[self.at])
        return found

    def expression(self) -> int:
        """The value of one (conditional) expression."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ConstantError("constant expression nested too deeply", self._here())
        value = self._binary(1, self._unary())
        if self._text() == "?":
            self.at += 1
            then = self.expression()
            self._expect(":")
            otherwise = self.expression()
            value = then if value else otherwise
        self.depth -= 1
        return value

    def _here(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else (self.tokens[-1] if self.tokens else None)

    def _text(self) -> str:
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def _expect(self, text: str) -> None:
        if self._text() != text:
            raise ConstantError(f"expected '{text}'", self._here())
        self.at += 1

    def _binary(self, floor: int, left: int) -> int:
        while True:
            op = self._text()
            level = _PRECEDENCE.get(op, 0)
            if level < floor:
                return left
            where = self._here()
            self.at += 1
            right = self._unary()
            if _PRECEDENCE.get(self._text(), 0) > level:
                right = self._binary(level + 1, right)
            if op in "/%" and right == 0:
                raise ConstantError("division by zero in constant expression", where)
            left = _wrap(_BINARY[op](left, right))

    def _unary(self) -> int:
        signs: list[str] = []
        while self._text() in ("-", "+", "!", "~"):
            signs.append(self._text())
            self.at += 1
        value = self._primary()
        for sign in reversed(signs):
            value = {"-": -value, "+": value, "!": int(not value), "~": ~value}[sign]
        return _wrap(value)

    def _primary(self) -> int:
        if self.at >= len(self.tokens):
            raise ConstantError("expected expression", self._here())
        token = self.tokens[self.at]
        self.at += 1
        if token.kind == "number":
            return _number(token)
        if token.kind == "char":
            return _character(token)
        if token.text == "(":
            value = self.expression()
            self._expect(")")
            return value
        if token.text == "sizeof" and self.size_of is not None:
            value, self.at = self.size_of(self.at)
            return value
        if token.kind == "name":
            try:
                return self.lookup(token.text)
            except ConstantError as bad:
                raise ConstantError(str(bad), token) from None
        raise ConstantError("expected expression", token)


def _number(token: Token) -> int:
    match = _NUMBER.match(token.text)
    if match is None or len(token.text) > 30:
        raise ConstantError(f"invalid integer '{token.text}'", token)
    digits = match[1]
    if digits.isdigit() and digits[0] == "0" and len(digits) > 1:
        if not set(digits) <= set("01234567"):
            raise ConstantError(f"invalid digit in octal constant '{token.text}'", token)
        return _wrap(int(digits, 8))
    return _wrap(int(digits, 0))


def _character(token: Token) -> int:
    body = token.text.strip("'")
    if len(body) == 1:
        return ord(body)
    if len(body) == 2 and body[0] == "\\":
        return _ESCAPES.get(body[1], ord(body[1]))
    raise ConstantError("invalid character constant", token)
