"""A whole unit: the dispatch when one program serves many points by a number, the predicate, the body."""

from __future__ import annotations

from contextlib import nullcontext

from ..base import ctype as ct
from ..image import MapSpec
from ..ir.ops import ProgramIR, Reg
from ..probes.model import Dispatch
from ..sema.model import Unit
from ..stdlib.tasks import current_pid
from . import lower_maps, lower_stmt  # noqa: F401  (they register their rules)
from .journal import JournalBuilder, has_effects
from .lower import Lowerer, Parts
from .lower_events import EVENTS_MAP, LOST_MAP, leave_if_ended
from .lower_expr import condition
from .lower_probe import probe_value
from .memory import load_scalar
from .operand import Mem

DISPATCH_MAP = ".dispatch"
# Kinds that fire for every process; the others are attached to the process of -p, or belong to none.
_FILTERED_BY_PID = {
    *("kprobe", "kretprobe", "fentry", "fexit", "tracepoint", "rawtracepoint"),
    *("profile", "software", "hardware"),
}
# Kinds that fire again by themselves until user space has heard of exit(). What others see till then still counts, as in bpftrace.
_TIMERS = {"interval", "profile"}


def lower_unit(parts: Parts, unit: Unit, name: str, number: int = 0) -> ProgramIR:
    """The IR of a unit, which is program `number` of the image."""
    journal = JournalBuilder(name, parts.journal, number, EVENTS_MAP, LOST_MAP) if parts.journal is not None else None
    lo = Lowerer(parts, unit, name, journal)
    with lo.b.at(unit.probe.span):
        if parts.can_end and unit.kind in _TIMERS:
            leave_if_ended(lo)
        if unit.dispatched:
            lo.dispatch_index = _dispatch(lo)
        if journal is not None:
            _begin_journal(lo, journal)
        if parts.options.only_pid and unit.kind in _FILTERED_BY_PID:
            _leave_unless(lo, current_pid(lo), parts.options.only_pid, journal)
        if unit.probe.predicate is not None:
            go, skip = lo.b.block(), lo.b.block()
            condition(lo, unit.probe.predicate, go, skip)
            lo.b.start(skip)
            matters = has_effects(unit.probe.predicate, unit.expansions)
            with journal.unheard() if journal is not None and not matters else nullcontext():
                lo.b.exit(0)
            lo.b.start(go)
    lo.statements(unit.probe.body)
    lo.b.exit(0)
    return lo.b.program


def _leave_unless(lo: Lowerer, value: Reg, wanted: int, journal: JournalBuilder | None) -> None:
    go, skip = lo.b.block(), lo.b.block()
    lo.b.branch("eq", value, wanted, go, skip)
    lo.b.start(skip)
    with journal.unheard() if journal is not None else nullcontext():
        lo.b.exit(0)
    lo.b.start(go)


def _begin_journal(lo: Lowerer, journal: JournalBuilder) -> None:
    arch = lo.target.arch
    syscall = None
    if lo.dispatch_value is not None:
        syscall = lo.dispatch_value, [arch.registers[name] for name in arch.syscall_arguments]
    lo.need_map(MapSpec(EVENTS_MAP, "ringbuf", 0, 0, 1 << 18))
    has_cgroups = lo.target.has("get_current_cgroup_id") is not False
    journal.begin(lo.unit, arch.registers, syscall, knows_cgroups=has_cgroups)
    if lo.dispatch_index is not None:
        journal.put_cookie(lo.dispatch_index)
    elif len(lo.unit.points) > 1:
        journal.put_cookie(journal.call_own("get_attach_cookie", lo.b.context()))
    else:
        journal.put_cookie(0)


def _dispatch(lo: Lowerer) -> Reg:
    """Leave unless the event is one of the unit's; gives the index of the point."""
    points = [point.dispatch for point in lo.unit.points if point.dispatch is not None]
    table = bytearray(2 * (1 + max(point.value for point in points)))
    for order, point in enumerate(points):
        table[2 * point.value : 2 * point.value + 2] = (order + 1).to_bytes(2, "little")
    name = lo.need_map(
        MapSpec(f"{DISPATCH_MAP}{len(lo.parts.maps)}", "array", 4, len(table), 1, initial=bytes(table), read_only=True)
    )
    number = ct.Int(points[0].selector_bytes, False)
    from ..base.place import NamedValue

    value = lo.reg(lo.as_scalar(probe_value(lo, NamedValue("number", number, points[0].selector), number)))
    lo.dispatch_value = value
    leave, known, ours = lo.b.block(), lo.b.block(), lo.b.block()
    lo.b.branch("lt", value, len(table) // 2, known, leave)
    lo.b.start(leave)
    lo.b.exit(0)
    lo.b.start(known)
    place = lo.b.alu("add", lo.b.map_value(name), lo.b.alu("lsh", value, 1))
    index = lo.b.load(place, 0, 2)
    lo.b.branch("ne", index, 0, ours, leave)
    lo.b.start(ours)
    _leave_if_compat(lo, points[0])
    return lo.b.alu("sub", index, 1)


def _leave_if_compat(lo: Lowerer, point: Dispatch) -> None:
    if point.unless is None:
        return
    task = lo.b.call("get_current_task")
    flags = load_scalar(lo, Mem(task, point.unless.offset, ct.Int(point.unless.size, False), ct.Space.KERNEL))
    with lo.when("set", lo.reg(flags), point.unless.mask):
        lo.b.exit(0)
