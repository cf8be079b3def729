"""Arithmetic on constants, as C does it on 64 bits; overflow is an error."""

from __future__ import annotations

from collections.abc import Callable

INT64_MIN, INT64_MAX, UINT64_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1


class Overflow(ArithmeticError):
    """The result has no 64-bit value."""


def _truncating_div(a: int, b: int) -> int:
    if b == 0:
        raise Overflow
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: int, b: int) -> int:
    return a - b * _truncating_div(a, b)


def _shift(a: int, b: int) -> int:
    if not 0 <= b < 64:
        raise Overflow
    return a << b


_INTEGER: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _truncating_div,
    "%": _remainder,
    "<<": _shift,
    ">>": lambda a, b: a >> b if 0 <= b < 64 else _shift(a, b),
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
}
_COMPARE: dict[str, Callable[[object, object], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,  # type: ignore[operator]
    "<=": lambda a, b: a <= b,  # type: ignore[operator]
    ">": lambda a, b: a > b,  # type: ignore[operator]
    ">=": lambda a, b: a >= b,  # type: ignore[operator]
    "&&": lambda a, b: bool(a) and bool(b),
    "||": lambda a, b: bool(a) or bool(b),
}


def fold_binary(op: str, a: int | bool | str, b: int | bool | str) -> int | bool | str | None:
    """The value of `a op b`, or None when the operands do not fold together. Raises Overflow."""
    if op in _COMPARE:
        return _COMPARE[op](a, b) if isinstance(a, str) == isinstance(b, str) else None
    if isinstance(a, str) or isinstance(b, str):
        return None
    value = _INTEGER[op](int(a), int(b))
    if op == "<<" and value > UINT64_MAX:
        value &= UINT64_MAX
    if not INT64_MIN <= value <= UINT64_MAX:
        raise Overflow
    return value


def fold_unary(op: str, a: int | bool) -> int | bool:
    """The value of `op a`. `~` of a literal is taken on 64 unsigned bits, as bpftrace prints it. Raises Overflow."""
    if op == "!":
        return not a
    if op == "-":
        value = -int(a)
        if value < INT64_MIN:
            raise Overflow
        return value
    if op == "~":
        return ~int(a) & UINT64_MAX
    return int(a)
