"""The rows: every builtin and function of the language. A module of this room registers its rows when it is imported.

A new builtin or function is a row here and nothing else: sema asks a row for types, codegen asks it for code.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..base.ctype import CType
from ..base.record import record

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..codegen.operand import Operand
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

Infer = Callable[["Analyzer", "n.Call"], CType]
Lower = Callable[["Lowerer", "n.Call"], "Operand"]
Update = Callable[["Lowerer", "n.Call", Any], None]


@record(frozen=True)
class Function:
    """One function. `arguments` are kinds per parameter, checked before `infer` runs (see sema/calls.py):

    int, string, literal (a string literal), number (an integer literal), map, scalar, any, type, rest... (the last one repeated).
    `required` is the least number of arguments. `update` is set for functions that may only be assigned to a map.
    """

    name: str
    signature: str
    doc: str
    arguments: tuple[str, ...]
    required: int
    infer: Infer
    lower: Lower | None = None
    update: Update | None = None
    unsafe: bool = False


@record(frozen=True)
class Builtin:
    """One builtin: a bare name with a value."""

    name: str
    type: str
    doc: str
    infer: Callable[[Analyzer, n.Identifier], CType]
    lower: Callable[[Lowerer, n.Identifier], Operand]


_functions: dict[str, Function] = {}
_builtins: dict[str, Builtin] = {}
_loaded = False


def register(*rows: Function | Builtin) -> None:
    """Add rows to the table."""
    for row in rows:
        if isinstance(row, Function):
            _functions[row.name] = row
        else:
            _builtins[row.name] = row


def constant_only(lo: Lowerer, node: n.Expr) -> Operand:
    """The `lower` of a row whose value is always known when compiling."""
    raise AssertionError("a constant needs no code")


def _load() -> None:
    global _loaded
    if not _loaded:
        _loaded = True
        for file in sorted(os.listdir(os.path.dirname(__file__))):
            name, _, suffix = file.rpartition(".")
            if suffix == "py" and name not in ("__init__", "table"):
                import_module(f".{name}", __package__)


def functions() -> dict[str, Function]:
    """All functions by name."""
    _load()
    return _functions


def builtins() -> dict[str, Builtin]:
    """All builtins by name."""
    _load()
    return _builtins
