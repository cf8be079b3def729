"""Ways through the calls of a tree: from one function to another, and everything below one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .answers import Call

_MOST_FUNCTIONS = 4000
Calls = Callable[[str], list[Call]]


def call_path(start: str, end: str, callees: Calls, callers: Calls, depth: int = 12) -> list[Call]:
    """A shortest chain of calls from one function to another; empty when there is none within `depth` calls or 4,000 functions.

    Goes forward from the start and backward from the end, always where fewer functions wait.
    """
    ahead: dict[str, Call | None] = {start: None}
    behind: dict[str, Call | None] = {end: None}
    front, back = [start], [end]
    for _ in range(depth):
        meeting = ahead.keys() & behind.keys()
        if meeting:
            return _joined(min(meeting), ahead, behind)
        if not front or not back or len(ahead) + len(behind) > _MOST_FUNCTIONS:
            return []
        if len(front) <= len(back):
            front = _grow(front, ahead, callees, lambda call: call.callee)
        else:
            back = _grow(back, behind, callers, lambda call: call.caller)
    return []


def _grow(edge: list[str], seen: dict[str, Call | None], calls: Calls, other: Callable[[Call], str]) -> list[str]:
    found = []
    for name in edge:
        for call in calls(name):
            if other(call) not in seen:
                seen[other(call)] = call
                found.append(other(call))
        if len(seen) > _MOST_FUNCTIONS:
            break
    return found


def _joined(middle: str, ahead: dict[str, Call | None], behind: dict[str, Call | None]) -> list[Call]:
    path: list[Call] = []
    step = ahead[middle]
    while step is not None:
        path.insert(0, step)
        step = ahead[step.caller]
    step = behind[middle]
    while step is not None:
        path.append(step)
        step = behind[step.callee]
    return path


def call_tree(root: str, callees: Calls, depth: int) -> Iterator[tuple[int, str]]:
    """(level, name) of a function and what it calls down to a depth, each name once, in the order of the text."""
    seen = {root}
    yield 0, root
    edge = [root]
    for level in range(1, depth + 1):
        below = []
        for name in edge:
            for call in calls_once(callees(name)):
                if call.callee not in seen:
                    seen.add(call.callee)
                    below.append(call.callee)
                    yield level, call.callee
        edge = below


def calls_once(calls: list[Call]) -> Iterator[Call]:
    """The first call of each callee."""
    seen = set()
    for call in calls:
        if call.callee not in seen:
            seen.add(call.callee)
            yield call
