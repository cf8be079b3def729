"""cscope's ten searches on a tree, in the form of its lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from ...base.errors import UsageError
from ...base.record import record
from ..answers import Call, Definition, Reference
from ..tree import Tree

_GLOBAL, _UNKNOWN = "<global>", "<unknown>"
_NAME = re.compile(r"[A-Za-z_]\w*")
_HIDDEN = frozenset(
    ("export", "initcall", "setup", "module_param", "declaration")
)  # what mentions a name rather than defines it


@record(frozen=True)
class Found:
    """One line of an answer."""

    file: str
    function: str
    line: int
    text: str


Search = Callable[[Tree, str], Iterable[Found]]


def _references(found: Iterable[Reference], nowhere: str) -> Iterator[Found]:
    return (Found(item.file, item.function or nowhere, item.line, item.text) for item in found)


def _definitions(tree: Tree, name: str) -> Iterator[Found]:
    found: list[Definition] = list(tree.definitions(name))
    kept = [item for item in found if item.kind not in _HIDDEN] or found
    seen = set()
    for item in kept:
        if (item.file, item.line) not in seen:
            seen.add((item.file, item.line))
            yield Found(item.file, item.name, item.line, item.text)


def _calls(found: Iterable[Call], side: Callable[[Call], str]) -> Iterator[Found]:
    return (Found(call.file, side(call), call.line, call.text) for call in found)


def _text(found: Iterable[Reference]) -> Iterator[Found]:
    return (Found(item.file, _UNKNOWN, item.line, item.text) for item in found)


# By cscope's numbers: (what it is, whether it asks for a name, the search).
FIELDS: tuple[tuple[str, bool, Search], ...] = (
    ("symbol", True, lambda tree, name: _references(tree.references(name), _GLOBAL)),
    ("definition", True, _definitions),
    ("called by", True, lambda tree, name: _calls(tree.callees(name), lambda call: call.callee)),
    ("calling", True, lambda tree, name: _calls(tree.callers(name), lambda call: call.caller)),
    ("text", False, lambda tree, text: _text(tree.text(text))),
    ("text", False, lambda tree, text: _text(tree.text(text))),
    ("regex", False, lambda tree, pattern: _text(tree.regex(pattern))),
    ("file", False, lambda tree, pattern: (Found(path, _UNKNOWN, 1, _UNKNOWN) for path in tree.files(pattern))),
    ("includers", False, lambda tree, header: _references(tree.includers(header), _GLOBAL)),
    ("assignments", True, lambda tree, name: _references(tree.assignments(name), _GLOBAL)),
)


def search(tree: Tree, number: int, pattern: str, any_case: bool = False) -> Iterator[Found]:
    """The lines of a search. A name may be a regular expression, as for cscope. Raises UsageError."""
    _, takes_name, find = FIELDS[number]
    pattern = pattern.strip() if takes_name else pattern
    if not pattern:
        return
    if takes_name:
        for name in _spellings(tree, pattern, any_case):
            yield from find(tree, name)
    elif any_case and number in (4, 5, 6):
        text = pattern if number == 6 else re.escape(pattern)
        yield from _text(tree.regex(f"(?i:{text})"))
    else:
        yield from find(tree, pattern)


def _spellings(tree: Tree, pattern: str, any_case: bool) -> list[str]:
    if _NAME.fullmatch(pattern) and not any_case:
        return [pattern]
    try:
        return tree.words_matching(re.compile(pattern.encode(), re.I if any_case else 0))
    except re.error as error:
        raise UsageError(f"bad regular expression {pattern!r}: {error}") from error
