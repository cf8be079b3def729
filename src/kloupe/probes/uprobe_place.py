"""How a place in a user-space program is written: binary, language, function, offset, address or source line."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.record import record
from .asking import Asking
from .integers import parse_integer
from .kernel_functions import split_offset
from .wildcard import has_wildcard

LANGUAGES = ("cpp",)


@record(frozen=True)
class UserPlace:
    """`binary[:language]:function[+offset]`, `binary:address` or `binary@file:line[:column]` as written."""

    binary: str
    language: str = ""
    function: str = ""
    offset: int = 0
    address: int | None = None
    file: str = ""
    line: int = 0
    column: int = 0


def parse_place(asking: Asking, *, returns: bool) -> UserPlace | None:
    """The place that a uprobe's parts name; None after a report. With -p the binary may be left out."""
    parts = list(_split_source(asking.parts))
    if asking.options.child_path and (len(parts) == 1 or (len(parts) == 2 and parts[0] in LANGUAGES)):
        parts.insert(0, asking.options.child_path)
    if len(parts) > 1 and parts[1] == "@":
        return _source_place(asking, parts, returns=returns)
    if len(parts) not in (2, 3):
        asking.check_count(2, 3)
        return None
    binary, language, function = parts[0], parts[1] if len(parts) == 3 else "", parts[-1]
    if not binary:
        asking.error(f"{asking.kind} should have a target")
        return None
    if language and language not in LANGUAGES:
        asking.error(f"unsupported language type: {language}")
        return None
    named = split_offset(asking, function, offset_allowed=not returns)
    if named is None:
        return None
    address = parse_integer(function)
    if isinstance(address, int):
        if has_wildcard(binary):
            asking.error("Cannot use wildcards with absolute address")
            return None
        if address > 0 or asking.options.unsafe:
            return UserPlace(binary, address=address)
    if not named[0] or isinstance(address, int):
        asking.error(f"{asking.kind} should be attached to a function and/or address")
        return None
    return UserPlace(binary, language, named[0], named[1])


def _split_source(parts: Sequence[str]) -> Sequence[str]:
    """The parts with `binary@file` split as `binary`, `@`, `file`, as bpftrace's own splitting gives."""
    if len(parts) > 1 and "@" in parts[0] and parts[1] != "@" and isinstance(parse_integer(parts[1]), int):
        binary, _, file = parts[0].rpartition("@")
        return (binary, "@", file, *parts[1:])
    if len(parts) == 1 and "@" in parts[0]:
        binary, _, file = parts[0].rpartition("@")
        return (binary, "@", file)
    return parts


def _source_place(asking: Asking, parts: Sequence[str], *, returns: bool) -> UserPlace | None:
    problem = ""
    if returns:
        problem = "Source code location not allowed"
    elif has_wildcard(parts[0]):
        problem = "Cannot use wildcards with source code location"
    elif len(parts) not in (4, 5) or not parts[2] or not parts[3]:
        problem = "Invalid uprobe arguments, expected format: uprobe:TARGET@FILE:LINE[:COL]"
    if problem:
        asking.error(problem)
        return None
    numbers = []
    for what, text in zip(("line", "column"), parts[3:], strict=False):
        number = parse_integer(text)
        if isinstance(number, str):
            asking.error(f"Invalid {what} number: {number}")
            return None
        numbers.append(number)
    return UserPlace(parts[0], file=parts[2], line=numbers[0], column=numbers[1] if len(numbers) > 1 else 0)
