"""Regular expressions as people type them for searches."""

from __future__ import annotations

import re
import warnings

from ..base.errors import UsageError

_BASIC = re.compile(r"\\([(){}|+?])|([(){}|+?])|(\\.)|(\[\^?\]?[^\]]*\])")
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_QUANTIFIERS = "*?{"


def parse_pattern(pattern: str) -> tuple[re.Pattern[bytes], bytes]:
    """A compiled pattern and a literal that every match contains, or b"".

    A pattern that is not one of Python's but is one of grep's (where a bare parenthesis is itself) is taken as that. Raises UsageError.
    """
    fault = None
    for text in (pattern, _from_basic(pattern)):
        try:
            return _compiled(text), longest_literal(text)
        except re.error as error:
            fault = fault or error
    raise UsageError(f"bad regular expression {pattern!r}: {fault}")


def _compiled(pattern: str) -> re.Pattern[bytes]:
    with warnings.catch_warnings():
        # `[[a]`: what Python may make of it one day is no matter of the user's
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(pattern.encode("utf-8", "surrogateescape"), re.M)


def _from_basic(pattern: str) -> str:
    """A basic regular expression of POSIX as Python writes it."""

    def turn(match: re.Match[str]) -> str:
        special, plain, escape, bracket = match.groups()
        return special or (f"\\{plain}" if plain else escape or bracket)

    return _BASIC.sub(turn, pattern)


def longest_literal(pattern: str) -> bytes:
    """The longest run of word characters that every match of a pattern must contain; b"" when there is none that is easy to see."""
    if "|" in pattern or "(?" in pattern:
        return b""
    runs, run, at, depth = [], "", 0, 0
    while at < len(pattern):
        sign = pattern[at]
        bracket = _CLASS.match(pattern, at) if sign == "[" else None
        follows = pattern[at + 1 : at + 2]
        if depth == 0 and (sign.isalnum() or sign == "_") and sign.isascii() and follows not in (*_QUANTIFIERS,):
            run += sign
        else:
            runs.append(run)
            run = ""
        depth += (sign == "(") - (sign == ")")
        at = bracket.end() if bracket else at + (2 if sign == "\\" else 1)
        if sign == "{" and "}" in pattern[at:]:
            at = pattern.index("}", at) + 1
    return max([*runs, run], key=len).encode()
