"""Numbers and strings: from their spelling to their value. Wordings of the errors are bpftrace's."""

from __future__ import annotations

import re
from collections.abc import Callable

_MAX = 2**64 - 1
_SUFFIX = {  # largest value before the suffix is applied, factor (C 6.4.4.1 for the integer suffixes, LP64)
    "": (_MAX, 1),
    "u": (2**32 - 1, 1),
    "ul": (_MAX, 1),
    "ull": (_MAX, 1),
    "l": (2**63 - 1, 1),
    "ll": (2**63 - 1, 1),
    "ns": (_MAX, 1),
    "us": (_MAX, 1_000),
    "ms": (_MAX, 1_000_000),
    "s": (_MAX, 1_000_000_000),
    "m": (_MAX, 60_000_000_000),
    "h": (_MAX, 3_600_000_000_000),
    "d": (_MAX, 86_400_000_000_000),
}
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]*|\d+)(?:[eE]([1-9]\d*))?(.*)", re.ASCII)
_SPELLING = re.compile(r"(0[xX][0-9a-fA-F_]*|[\d_]*)([eE][\d_]*)?(?:[num]s|[smhd]|[uU][lL]{0,2}|[lL]{1,2})?", re.ASCII)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|(?s:(.)))")
_WORD = re.compile(r"\w+", re.ASCII)
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


class BadNumber(ValueError):
    """Why a number has no value; `offset` and `length` place it inside the spelling (length 0: all of it)."""

    def __init__(self, message: str, offset: int = 0, length: int = 0) -> None:
        super().__init__(message)
        self.offset = offset
        self.length = length


def number_value(text: str) -> int:
    """The value of a number as written: decimal, octal, hexadecimal, `1e6`, `1_000`, durations in ns. Raises BadNumber.

    Upper-case suffixes and `l`/`ul` forms behave as observed in 0.27.1: lower-case C suffixes are taken, others are not.
    """
    if text.isdigit() and (text[0] != "0" or text == "0"):
        value = int(text) if len(text) < 40 else _MAX + 1
        if value > _MAX:
            raise BadNumber(f"overflow error, maximum value is {_MAX}: {text}")
        return value
    spelled = _SPELLING.match(text)
    assert spelled is not None  # every part may be empty
    for part in (1, 2):
        if (spelled[part] or "").endswith("_"):
            raise BadNumber("trailing underscore in integer literal", spelled.end(part) - 1, 1)
    known = spelled.end()
    if known < len(text):
        raise BadNumber(f"invalid integer suffix '{text[known:]}'", known, len(text) - known)
    return _evaluate(text)


def _evaluate(text: str) -> int:
    plain = text.replace("_", "")
    if plain[0] == "0" and plain[1:2] in ("8", "9"):
        raise BadNumber(f"invalid trailing bytes: {text}")
    octal = len(plain) > 1 and plain[0] == "0" and plain[1] in "01234567"
    match = re.match(r"(0[0-7]+)(?:[eE]([1-9]\d*))?(.*)", plain) if octal else _NUMBER.match(plain)
    if match is None or plain in ("0x", "0X"):
        raise BadNumber(f"invalid integer: {text}")
    digits, exponent, suffix = match.groups()
    value = int(digits, 8 if octal else 0) if digits != "0" else 0
    if value > _MAX:
        raise BadNumber(f"overflow error, maximum value is {_MAX}: {text}")
    if exponent is not None:
        if not 0 < value < 10:
            raise BadNumber(f"coefficient part of scientific literal must be 1-9: {text}")
        value = value * 10 ** int(exponent) if len(exponent) < 3 else _MAX + 1
        if value > _MAX:
            raise BadNumber(f"overflow error, maximum value is {_MAX}: {text}")
    if suffix not in _SUFFIX:
        raise BadNumber(f"invalid trailing bytes: {text}")
    limit, factor = _SUFFIX[suffix]
    if value > limit // factor:
        raise BadNumber(f"overflow error, maximum value is {limit}: {text}")
    return value * factor


def string_value(spelling: str, report: Callable[[str, int, int], None]) -> str:
    """The text of a string literal (given with its quotes); bytes above 127 from escapes that are no UTF-8 stay surrogate escapes.

    `report(message, start, end)` is called for each bad escape with its place inside the spelling.
    """
    body = spelling[1:-1]
    if "\\" not in body:
        return body
    raw = False

    def resolve(match: re.Match[str]) -> str:
        nonlocal raw
        octal, hexadecimal, other = match.groups()
        if other is not None:
            if other in _SIMPLE:
                return _SIMPLE[other]
            if other in "xX":
                word = _WORD.match(spelling, match.end() + 1)
                report("invalid hex escape sequence", *(word.span() if word else (match.end() + 1, match.end() + 2)))
            else:
                report(f"invalid escape character '\\{other}'", match.start() + 2, match.end() + 1)
            return ""
        code = int(octal, 8) if octal else int(hexadecimal, 16)
        if code > 255:
            report(f"octal escape sequence out of range '\\{octal}'", match.start() + 1, match.end() + 1)
            return ""
        if code < 128:
            return chr(code)
        raw = True
        return chr(0xDC00 + code)  # Python's surrogateescape of the byte

    text = _ESCAPE.sub(resolve, body)
    if raw:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return text
