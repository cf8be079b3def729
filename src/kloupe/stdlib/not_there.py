"""Functions of bpftrace that kloupe does not have: each says so, and what to do instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..base.ctype import CType
from .table import Builtin, Function, constant_only, register

if TYPE_CHECKING:
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

_INSTEAD = {
    "dw_ustack": "ustack follows frame pointers; with --engine ptrace (-c or -p) it is whole without them, too.",
    "skboutput": "Print the packet's bytes with buf(), or record them with tcpdump.",
    "unwatch": "A watchpoint stays until the script ends; keep its address and test for it in a predicate.",
}


def _refuse(name: str) -> Callable[[Analyzer, n.Expr], CType]:
    def infer(an: Analyzer, node: n.Expr) -> CType:
        return an.error(node.span, f"kloupe has no {name}()", hints=(_INSTEAD[name],))

    return infer


for _name in _INSTEAD:
    _doc = "Not there yet; it says what to do instead."
    register(Function(_name, f"void {_name}(...)", _doc, ("rest lazy",), 0, _refuse(_name), constant_only))
register(Builtin("dw_ustack", "stack", "Not there yet.", _refuse("dw_ustack"), constant_only))
