"""str_concat: two strings as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType, Space
from ..codegen.operand import Mem, Operand
from .strings import as_string, capped, require_text
from .table import Function, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer


def _infer(an: Analyzer, node: n.Call) -> CType:
    left, right = node.arguments
    if not require_text(an, left) or not require_text(an, right):
        return ct.NONE
    known = an.const(left), an.const(right)
    if isinstance(known[0], str) and isinstance(known[1], str):
        an.set_const(node, known[0] + known[1])
    sizes = [
        t.size if isinstance(t, ct.String) else an.max_strlen for t in map(an.unit.types.__getitem__, (left, right))
    ]
    return ct.String(min(an.max_strlen, sum(sizes) - 1))


def _lower(lo: Lowerer, node: n.Call) -> Operand:
    """Room for both at their longest; the second is read over the end of the first."""
    from ..codegen.memory import read_string, zero

    t = lo.type(node)
    left, right = (as_string(lo, argument, "part") for argument in node.arguments)  # type: ignore[arg-type]
    size = left.type.size + right.type.size
    room = Mem(lo.b.slot(size, 8), 0, ct.String(size), Space.BPF)
    zero(lo, room, size)
    length = read_string(lo, room, left.type.size, lo.pointer(left), Space.BPF)
    end = lo.b.const(0)
    with lo.when("sgt", length, 0):
        lo.b.move(end, lo.b.alu("sub", length, 1))
    place = lo.b.alu("add", lo.pointer(room), capped(lo, end, left.type.size))
    read_string(lo, Mem(place, 0, right.type, Space.BPF), right.type.size, lo.pointer(right), Space.BPF)
    if size > t.size:
        lo.b.store(room.base, t.size - 1, 1, 0)
    return room.at(0, t)


register(
    Function(
        "str_concat",
        "string str_concat(string a, string b)",
        "Two strings as one, at most max_strlen bytes of it.",
        ("any", "any"),
        2,
        _infer,
        _lower,
    )
)
