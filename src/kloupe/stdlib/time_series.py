"""tseries(): what a value was in each of the last intervals of time. The kept form is described at base/ctype.TimeSeries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType
from ..codegen.lower_maps import element, info_of, key_of, make_key
from ..ir.ops import Reg
from .table import Function, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

MAX_INTERVALS = 1_000_000
WAYS = ("avg", "max", "min", "sum")
VALUE, WEIGHT, NUMBER = 0, 8, 16  # offsets in a bucket
BOOT, TAI = 0, 1  # clock numbers as in TIMESTAMP values
CLOCK_VARIABLE = "BPFTRACE_DUMMY_TS_MAP"  # names a scalar map that stands for the clock, so that a run can be repeated


def _infer(an: Analyzer, node: n.Call) -> CType:
    interval, count = (an.int_const(argument) or 0 for argument in node.arguments[1:3])
    if interval < 1:
        return an.error(node.span, f"tseries() interval_ns must be >= 1 ({interval} provided)")
    if count < 1:
        return an.error(node.span, f"tseries() num_intervals must be >= 1 ({count} provided)")
    if count > MAX_INTERVALS:
        return an.error(node.span, f"tseries() num_intervals must be < {MAX_INTERVALS} ({count} provided)")
    how = str(an.const(node.arguments[3])) if len(node.arguments) > 3 else ""
    if how and how not in WAYS:
        text = f'tseries() expects one of the following aggregation functions: {", ".join(WAYS)} ("{how}" provided)'
        return an.error(node.span, text)
    signed = bool(getattr(an.unit.types.get(node.arguments[0], ct.NONE), "signed", False))
    clock = BOOT if an.target.has("ktime_get_tai_ns") is False else TAI
    return ct.TimeSeries(signed, interval, count, how, clock)


def _now(lo: Lowerer, t: ct.TimeSeries) -> Reg:
    from ..codegen.lower_maps import scalar_place
    from .clocks import boot_ns

    stand_in = lo.analysis.maps.get(dict(lo.options.environment).get(CLOCK_VARIABLE, ""))
    if stand_in is not None:
        return lo.reg(lo.as_scalar(scalar_place(lo, stand_in)))
    return lo.b.call("ktime_get_tai_ns") if t.clock == TAI else lo.reg(lo.as_scalar(boot_ns(lo)))


def _update(lo: Lowerer, node: n.Call, target: n.Map | n.MapAccess) -> None:
    """A program that interrupts this one between the test of the number and the stores can be overwritten."""
    info = info_of(lo, target)
    t = info.value_type
    assert isinstance(t, ct.TimeSeries)
    value = lo.reg(lo.scalar(node.arguments[0]))  # type: ignore[arg-type]
    now = _now(lo, t)
    number = lo.b.alu("div", now, lo.b.const(t.interval_ns))
    with element(lo, info, make_key(lo, info, key_of(target), lo.b.alu("mod", number, t.intervals))) as bucket:
        fresh, known, after = lo.b.block(), lo.b.block(), lo.b.block()
        lo.b.branch("eq", lo.b.load(bucket, NUMBER, 8), number, known, fresh)
        lo.b.start(fresh)
        lo.b.store(bucket, VALUE, 8, value)
        lo.b.store(bucket, WEIGHT, 8, now if t.how == "" else 1)
        lo.b.store(bucket, NUMBER, 8, number)
        lo.b.jump(after)
        lo.b.start(known)
        _add(lo, t, bucket, value, now)
        lo.b.jump(after)
        lo.b.start(after)


def _add(lo: Lowerer, t: ct.TimeSeries, bucket: Reg, value: Reg, now: Reg) -> None:
    if t.how in ("avg", "sum"):
        lo.b.atomic("add", bucket, VALUE, 8, value)
        lo.b.atomic("add", bucket, WEIGHT, 8, lo.b.const(1))
    elif t.how:
        better = {"min": "slt" if t.signed else "lt", "max": "sgt" if t.signed else "gt"}[t.how]
        with lo.when(better, value, lo.b.load(bucket, VALUE, 8)):
            lo.b.store(bucket, VALUE, 8, value)
    else:
        lo.b.store(bucket, VALUE, 8, value)
        lo.b.store(bucket, WEIGHT, 8, now)


register(
    Function(
        "tseries",
        "tseries_t tseries(int64 n, int64 interval_ns, int64 num_intervals [, string agg])",
        "A value over the last intervals of time.",
        ("int", "number", "number", "literal"),
        3,
        _infer,
        None,
        _update,
    )
)
