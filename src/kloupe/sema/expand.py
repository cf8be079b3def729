"""Macro calls: expanded once per call and unit, then analysed like what they stand for."""

from __future__ import annotations

from ..base import ctype as ct
from ..base.ctype import CType
from ..lang import nodes as n
from .analyzer import Analyzer


def expand_macro(an: Analyzer, call: n.Identifier | n.Call, macro: n.MacroDef) -> CType:
    """The type of what `call` stands for; records the expansion."""
    chain = " > ".join(an.macros.cycle(macro))
    if chain:
        return an.error(call.span, f"Recursive macro call detected. Call chain: {chain}")
    expansion = an.unit.expansions.get(call)
    if expansion is None:
        expansion = an.macros.instantiate(macro, call, len(an.unit.expansions) + 1)
        an.unit.expansions[call] = expansion
    found = an.type_of(expansion)
    value = an.const(expansion)
    if value is not None:
        an.set_const(call, value)
    return ct.VOID if isinstance(found, ct.NoneType) and not an.diagnostics.errors else found
