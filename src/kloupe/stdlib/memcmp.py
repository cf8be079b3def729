"""memcmp: the order of two values' bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType
from ..codegen.operand import Mem, Operand, Scalar
from ..ir.ops import Slot, Value
from .strings import capped, in_bpf
from .table import Function, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer


def _infer(an: Analyzer, node: n.Call) -> CType:
    sizes = [an.unit.types[argument].size for argument in node.arguments[:2]]
    count = an.int_const(node.arguments[2])
    if count is not None and not 0 <= count <= min(sizes):
        return an.error(node.arguments[2].span, f"memcmp() cannot compare {count} bytes of {min(sizes)}")
    return ct.INT32


def _lower(lo: Lowerer, node: n.Call) -> Operand:
    """A loop over positions that stops at the first difference."""
    left, right, count = node.arguments
    a, b = in_bpf(lo, left, "left"), in_bpf(lo, right, "right")  # type: ignore[arg-type]
    shortest = min(a.type.size, b.type.size)
    limit: Value | None = lo.const(count)  # type: ignore[assignment]
    if limit is None:
        limit = capped(lo, lo.reg(lo.scalar(count)), shortest)  # type: ignore[arg-type]
    result = lo.b.slot(8, 8, captured=True, name="order")
    lo.b.store(result, 0, 8, 0)
    with lo.b.callback("compare", 2, 1) as function:
        _step(lo, a, b, shortest, result)
    lo.b.call("loop", limit, lo.b.function_ref(function), lo.b.captures(), 0)
    return Scalar(lo.b.load(result, 0, 8), ct.INT32)


def _step(lo: Lowerer, a: Mem, b: Mem, shortest: int, result: Slot) -> None:
    position = lo.b.extend(lo.b.parameter(0), 4, False)
    inside, differs, less, more, out = (lo.b.block() for _ in range(5))
    lo.b.branch("lt", position, shortest, inside, out)
    lo.b.start(inside)
    x, y = (lo.b.load(lo.b.alu("add", lo.pointer(place), position), 0, 1) for place in (a, b))
    lo.b.branch("ne", x, y, differs, out)
    lo.b.start(differs)
    lo.b.branch("lt", x, y, less, more)
    for block, order in ((less, -1), (more, 1)):
        lo.b.start(block)
        lo.b.store(result, 0, 8, order)
        lo.b.exit(1)
    lo.b.start(out)
    lo.b.exit(0)


register(
    Function(
        "memcmp",
        "int32 memcmp(left, right, uint64 count)",
        "0 when the first count bytes of two values are equal, else -1 or 1 as the first different byte is less or more.",
        ("any", "any", "int"),
        3,
        _infer,
        _lower,
    )
)
