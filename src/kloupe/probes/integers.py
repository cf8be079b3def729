"""Integers in attach points, with the spellings and messages bpftrace has for them."""

from __future__ import annotations

import re

_MAX = (1 << 64) - 1
_NUMBER = r"-?(?:(0[xX])([0-9a-fA-F]+)|(0[bB])([01]+)|(0)([0-7]+)|([0-9]+)(?:[eE]([1-9][0-9]*))?)"
_SUFFIXES = {
    "": 1,
    **dict.fromkeys(("u", "ul", "ull", "l", "ll", "ns"), 1),
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}


def parse_integer(text: str) -> int | str:
    """The number (durations in nanoseconds, negative ones as such), or what is wrong with it."""
    found = re.match(_NUMBER, text.replace("_", ""))
    if found is None:
        return f"invalid integer: {text}"
    hexa, hexa_digits, binary, binary_digits, octal, octal_digits, digits, exponent = found.groups()
    base = 16 if hexa else 2 if binary else 8 if octal else 10
    value = int(hexa_digits or binary_digits or octal_digits or digits, base)
    if exponent:
        if not 1 <= value <= 9:
            return f"coefficient part of scientific literal must be 1-9: {text}"
        value *= 10 ** min(int(exponent), 40)
    factor = _SUFFIXES.get(text.replace("_", "")[found.end() :])
    if factor is None:
        return f"invalid trailing bytes: {text}"
    if value * factor > _MAX:
        return f"overflow error, maximum value is {_MAX}: {text}"
    return -value * factor if text.startswith("-") else value * factor
