"""How a check inside a guest says what it found, and how the host knows which checks there are.

A check is a function ``check_*`` without parameters in a file ``check_*.py`` of this folder. It passes by
returning, fails by raising, and raises ``Skip`` where the guest lacks what it needs. Imports nothing but the
standard library: the host reads it too.
"""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

HERE = Path(__file__).resolve().parent
LIMIT_S = 120.0

_Check = TypeVar("_Check", bound=Callable[[], None])


class Skip(Exception):
    """The guest lacks what a check needs; the message names the missing feature."""


def limit(seconds: float) -> Callable[[_Check], _Check]:
    """Give a check another time limit than two minutes."""

    def mark(check: _Check) -> _Check:
        check.limit_s = seconds  # type: ignore[attr-defined]
        return check

    return mark


def list_checks() -> list[str]:
    """Give the names of all checks, ``FILE.FUNCTION`` without the ``check_`` of either, in file order."""
    return [
        f"{path.stem.removeprefix('check_')}.{node.name.removeprefix('check_')}"
        for path in sorted(HERE.glob("check_*.py"))
        for node in ast.parse(path.read_text(), filename=str(path)).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
    ]
