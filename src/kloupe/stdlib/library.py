"""The macros of library.bt, parsed only for scripts that use one of them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..lang import nodes as n

FILE = "library.bt"
NAME = f"stdlib/{FILE}"  # what messages call it
_text: str = ""
_rows: dict[str, list[n.MacroDef]] = {}


def _read() -> str:
    global _text
    if not _text:
        with open(os.path.join(os.path.dirname(__file__), FILE), encoding="utf-8") as file:
            _text = file.read()
    return _text


def library_macros(name: str) -> list[n.MacroDef]:
    """The library's macros called `name`."""
    if f"macro {name}(" not in _read():
        return []
    if not _rows:
        from ..base.diag import Diagnostics
        from ..base.source import Source
        from ..lang.parser import parse_program

        diagnostics = Diagnostics()
        for macro in parse_program(Source(NAME, _read()), diagnostics).macros:
            _rows.setdefault(macro.name, []).append(macro)
        diagnostics.require_no_errors()
    return _rows[name]


def library_names() -> set[str]:
    """The names of all macros of the library."""
    return set(re.findall(r"^macro (\w+)", _read(), re.M))
