"""Functions whose result may only be assigned to a map: count, sum, avg, min, max, stats, hist, lhist."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType
from ..codegen import lower_aggregate as code
from .table import Function, Update, register

if TYPE_CHECKING:
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

MAX_LINEAR_BUCKETS = 1000
Rule = Callable[["Analyzer", "n.Call"], CType]


def _aggregate(kind: str) -> Rule:
    def infer(an: Analyzer, node: n.Call) -> CType:
        found = an.unit.types.get(node.arguments[0], ct.NONE) if node.arguments else ct.NONE
        signed = bool(getattr(found, "signed", False))
        return ct.Aggregate(kind, signed)

    return infer


def _hist(an: Analyzer, node: n.Call) -> CType:
    bits = 0
    if len(node.arguments) > 1:
        bits = an.int_const(node.arguments[1]) or 0
        if not 0 <= bits <= 5:
            return an.error(node.span, f"hist: bits {bits} must be 0..5")
    return ct.Histogram("hist", bits)


def _lhist(an: Analyzer, node: n.Call) -> CType:
    low, high, step = (an.int_const(argument) or 0 for argument in node.arguments[1:4])
    if step <= 0:
        return an.error(node.span, f"lhist() step must be >= 1 ({step} provided)")
    if low < 0:
        return an.error(node.span, f"lhist() min must be non-negative (provided min {low})")
    if low > high:
        return an.error(node.span, f"lhist() min must be less than max (provided min {low} and max {high})")
    if (high - low) // step > MAX_LINEAR_BUCKETS:
        return an.error(
            node.span, f"lhist() too many buckets, must be <= {MAX_LINEAR_BUCKETS} (would need {(high - low) // step})"
        )
    if high - low < step:
        return an.error(
            node.span, f"lhist() step is too large for the given range (provided step {step} for range {high - low})"
        )
    return ct.Histogram("lhist", 0, low, high, step)


def _row(
    name: str, doc: str, infer: Rule, update: Update, arguments: tuple[str, ...] = ("int",), required: int = 1
) -> Function:
    shown = {"count": "", "hist": "int64 n [, int bits]", "lhist": "int64 n, int min, int max, int step"}.get(
        name, "int64 n"
    )
    return Function(name, f"{name}_t {name}({shown})", doc, arguments, required, infer, None, update)


register(
    _row("count", "Count how often it is called.", _aggregate("count"), code.update_count, (), 0),
    _row("sum", "Sum of the values.", _aggregate("sum"), code.update_sum),
    _row("avg", "Average of the values.", _aggregate("avg"), code.update_average),
    _row("stats", "Count, average and total of the values.", _aggregate("stats"), code.update_average),
    _row("min", "Smallest value.", _aggregate("min"), code.update_extreme),
    _row("max", "Largest value.", _aggregate("max"), code.update_extreme),
    _row("hist", "Power-of-two histogram.", _hist, code.update_histogram, ("int", "number"), 1),
    _row("lhist", "Linear histogram.", _lhist, code.update_histogram, ("int", "number", "number", "number"), 4),
)
