"""The kinds of answers of the world outside that a recording keeps, and what an answer of each kind looks like."""

from __future__ import annotations

from .meta import is_number

KERNEL, USER, OWNER, CGROUP, TIME, COMMAND, FILE = "ksym", "usym", "user", "cgroup", "time", "command", "file"


def _is_symbol(answer: object, parts: int) -> bool:
    if answer is None:
        return True
    texts = [*answer[:1], *answer[2:]] if isinstance(answer, list) and len(answer) == parts else [None]
    return all(isinstance(text, str) for text in texts) and is_number(answer[1])  # type: ignore[index]


def _is_data(answer: object) -> bool:
    return isinstance(answer, str) and bytes.fromhex(answer) is not None


def _is_file(answer: object) -> bool:
    if isinstance(answer, list):  # why it could not be read
        return len(answer) == 2 and is_number(answer[0], 31) and isinstance(answer[1], str)
    return _is_data(answer)


def _is_command(answer: object) -> bool:
    if isinstance(answer, list):
        return len(answer) == 2 and _is_data(answer[0]) and type(answer[1]) is int
    return _is_data(answer)  # recordings had no status at first


_CHECKS = {
    KERNEL: lambda answer: _is_symbol(answer, 2),
    USER: lambda answer: _is_symbol(answer, 3),
    OWNER: lambda answer: isinstance(answer, str),
    CGROUP: lambda answer: isinstance(answer, str),
    TIME: lambda answer: is_number(answer, 40),
    COMMAND: _is_command,
    FILE: _is_file,
}


def check_answer(kind: object, answer: object) -> None:
    """Raises ValueError when it is none of its kind; kinds that are not known are for later versions."""
    if not isinstance(kind, str) or (kind in _CHECKS and not _CHECKS[kind](answer)):
        raise ValueError(f"not an answer: {kind!r}")
