"""Time: nsecs, elapsed, time(), strftime()."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType
from ..codegen.operand import Deferred, Mem, Operand, Scalar
from ..image import MapSpec
from .table import Builtin, Function, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

START_MAP = (
    ".start"  # u64: boot-time nanoseconds when the session began, set by user space before the first program runs
)
# clock -> (helper, number in TIMESTAMP values). sw_tai is tai computed by user space where the helper is missing.
CLOCKS = {
    "boot": ("ktime_get_boot_ns", 0),
    "tai": ("ktime_get_tai_ns", 1),
    "sw_tai": ("ktime_get_tai_ns", 1),
    "monotonic": ("ktime_get_ns", 2),
}


def _clock(node: n.Call) -> str | None:
    from ..lang import nodes as n

    argument = node.arguments[0] if node.arguments else None
    if argument is None:
        return "boot"
    if isinstance(argument, n.TypeName):
        return argument.name
    return argument.name if isinstance(argument, n.Identifier) else None


def _nsecs_call(an: Analyzer, node: n.Call) -> CType:
    clock = _clock(node)
    if clock not in CLOCKS:
        return an.error(
            node.span,
            f"Identifier passed to nsecs() is not a clock: {clock}",
            hints=("One of " + ", ".join(CLOCKS) + ".",),
        )
    return ct.UINT64


def _nsecs(lo: Lowerer, node: n.Call) -> Operand:
    return Scalar(lo.b.call(CLOCKS[_clock(node) or "boot"][0]), ct.UINT64)


def boot_ns(lo: Lowerer) -> Operand:
    """Nanoseconds since boot, suspended time included where the kernel has the helper."""
    helper = "ktime_get_boot_ns" if lo.target.has("ktime_get_boot_ns") is not False else "ktime_get_ns"
    return Scalar(lo.b.call(helper), ct.UINT64)


def _elapsed(lo: Lowerer, node: n.Identifier) -> Operand:
    lo.need_map(MapSpec(START_MAP, "array", 4, 8, 1))
    start = lo.b.load(lo.b.map_value(START_MAP), 0, 8)
    return Scalar(lo.b.alu("sub", lo.as_scalar(boot_ns(lo)), start), ct.UINT64)


def _time_infer(an: Analyzer, node: n.Call) -> CType:
    return ct.VOID


def _time(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_events import emit_event

    text = lo.const(node.arguments[0]) if node.arguments else "%H:%M:%S\n"
    emit_event(lo, lo.event("time", [], node.span, format=str(text)), [])
    return lo.nothing()


def _strftime_infer(an: Analyzer, node: n.Call) -> CType:
    an.analysis.string_index(str(an.const(node.arguments[0])))
    return ct.TIMESTAMP


def _strftime_clock(lo: Lowerer, node: n.Call) -> int:
    from ..lang import nodes as n

    source = node.arguments[1]
    if isinstance(source, n.Call) and source.name == "nsecs":
        clock = _clock(source)
        return CLOCKS[clock or "boot"][1]
    return 0


def _strftime(lo: Lowerer, node: n.Call) -> Operand:
    from ..lang import nodes as n

    index = lo.string_index(str(lo.const(node.arguments[0])))
    clock = _strftime_clock(lo, node)
    moment = node.arguments[1]
    assert isinstance(moment, n.Expr)
    value = lo.scalar(moment)

    def into(target: Mem, clean: bool) -> None:
        lo.b.store(target.base, target.offset, 8, value)
        lo.b.store(target.base, target.offset + 8, 4, index)
        lo.b.store(target.base, target.offset + 12, 4, clock)

    return Deferred(ct.TIMESTAMP, into)


register(
    Builtin("nsecs", "uint64", "Nanoseconds since boot.", lambda an, node: ct.UINT64, lambda lo, node: boot_ns(lo)),
    Builtin("elapsed", "uint64", "Nanoseconds since the session began.", lambda an, node: ct.UINT64, _elapsed),
    Function(
        "nsecs",
        "uint64 nsecs([clock])",
        "Nanoseconds of a clock: boot, tai, sw_tai, monotonic.",
        ("lazy",),
        0,
        _nsecs_call,
        _nsecs,
    ),
    Function(
        "time",
        "void time([string format])",
        "Print the time of day with strftime(3).",
        ("literal",),
        0,
        _time_infer,
        _time,
    ),
    Function(
        "strftime",
        "timestamp strftime(string format, uint64 nsecs)",
        "A time stamp as text, formatted when printed.",
        ("literal", "int"),
        2,
        _strftime_infer,
        _strftime,
    ),
)
