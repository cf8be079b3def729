"""Events: records reserved in the ring buffer, filled in place, submitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..base import ctype as ct
from ..base.ctype import CType, Space
from ..base.layout import HEADER_BYTES
from ..base.source import Span
from ..image import EventSpec, MapSpec
from ..ir.ops import Reg
from .lower import Lowerer
from .memory import store
from .operand import Deferred, Mem, Operand, Scalar

EVENTS_MAP, LOST_MAP, ENDED_MAP = ".events", ".lost", ".ended"


def count_lost(lo: Lowerer) -> None:
    """Add one to the per-CPU count of events that found no room."""
    lo.need_map(MapSpec(LOST_MAP, "percpu_array", 4, 8, 1))
    key = lo.b.slot(4, 4)
    lo.b.store(key, 0, 4, 0)
    counter = lo.b.call("map_lookup_elem", lo.b.map(LOST_MAP), lo.b.address(key))
    with lo.when("ne", counter, 0):
        lo.b.atomic("add", counter, 0, 8, lo.b.const(1))


def emit_event(
    lo: Lowerer, spec: EventSpec, operands: Sequence[Operand], submitted: Callable[[], None] | None = None
) -> None:
    """Send a record with these values, and then do what `submitted` says; counts it as lost when the buffer is full."""
    lo.need_map(MapSpec(EVENTS_MAP, "ringbuf", 0, 0, 1 << 18))
    operands = [settle(lo, operand) for operand in operands]
    record = lo.b.call("ringbuf_reserve", lo.b.map(EVENTS_MAP), spec.layout.size, 0)
    fill, full, after = lo.b.block(), lo.b.block(), lo.b.block()
    lo.b.branch("ne", record, 0, fill, full)
    lo.b.start(full)
    count_lost(lo)
    lo.b.jump(after)
    lo.b.start(fill)
    _fill(lo, record, spec, operands)
    lo.b.call("ringbuf_submit", record, 0)
    if submitted is not None:
        submitted()
    lo.b.jump(after)
    lo.b.start(after)


def emit_exit(lo: Lowerer, status: Operand, span: Span) -> None:
    """End the session. Timers that fire before user space has heard of it find the mark that `leave_if_ended` reads."""
    late = {"late": True} if lo.unit.kind == "iter" else {}
    spec = lo.event("exit", [ct.INT64], span, **late)
    emit_event(lo, spec, [status], lambda: lo.b.store(lo.b.map_value(_ended(lo)), 0, 8, 1))


def leave_if_ended(lo: Lowerer) -> None:
    """Leave when `exit()` has been called."""
    with lo.when("ne", lo.b.load(lo.b.map_value(_ended(lo)), 0, 8), 0):
        lo.b.exit(0)


def _ended(lo: Lowerer) -> str:
    return lo.need_map(MapSpec(ENDED_MAP, "array", 4, 8, 1))


def settle(lo: Lowerer, operand: Operand) -> Operand:
    """An operand that does not read the context or remote memory of a scalar any more."""
    if isinstance(operand, Mem) and operand.type.is_scalar:
        return Scalar(lo.as_scalar(operand), operand.type)
    if isinstance(operand, (Deferred, Mem)) and isinstance(operand.type, ct.Aggregate):
        return Scalar(lo.as_scalar(operand), ct.Int(8, operand.type.signed))
    return operand


def _fill(lo: Lowerer, record: Reg, spec: EventSpec, operands: Sequence[Operand]) -> None:
    lo.b.store(record, 0, HEADER_BYTES, spec.id)
    for place, operand in zip(spec.layout.fields, operands, strict=True):
        store(lo, Mem(record, place.offset, place.type, Space.BPF), operand, clean=False)


def value_type(t: CType) -> CType:
    """The type a value has inside an event."""
    return ct.Int(8, t.signed) if isinstance(t, ct.Aggregate) else t


def runtime_error(lo: Lowerer, message: str) -> None:
    """Report something that went wrong while the program runs, at the current place."""
    spec = lo.event("runtime_error", [ct.INT64], lo.b.span, message=message)
    emit_event(lo, spec, [Scalar(0, ct.INT64)])
