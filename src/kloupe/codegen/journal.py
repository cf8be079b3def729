"""Recording: every run of a program sends one more event, its journal (see base/journal): what it saw of the world.

The journal is written into the program's claimed scratch memory, so programs that interrupt each other do not mix, and goes out as
one record when the program ends. A run whose predicate does not hold sends none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..base import journal as layout
from ..base import place as at
from ..base.layout import align_up
from ..base.record import field, record
from ..bpf.helpers import HELPERS
from ..ir.builder import Builder
from ..ir.ops import Reg, Slot, Value
from ..lang import nodes as n
from ..probes.model import Context
from ..sema.model import Unit

_START = 8  # of the record in the slot; before it the cursor
_SLOT_BYTES = _START + layout.LARGEST_RECORD
# The verifier must not know the cursor, or it would follow every iteration of a loop: the slot is too large for the stack.
_SYSCALL_ARGUMENTS = 6
_SYSCALL_NUMBER, _SYSCALL_VALUES = 8, 16  # struct syscall_trace_enter and _exit of kernel/trace/trace.h


_CHANGING = frozenset(("delete", "write_user"))  # functions that give a value


@record(frozen=True)
class Answer:
    """How a helper answers: arguments with the key, the buffer and its size (-1: none). `text`: the result is the length."""

    key: int = -1
    buffer: int = -1
    size: int = -1
    text: bool = False


_READ, _TEXT, _NUMBER = Answer(2, 0, 1), Answer(2, 0, 1, True), Answer()
ANSWERS: dict[str, Answer] = {
    **dict.fromkeys(("probe_read", "probe_read_user", "probe_read_kernel", "copy_from_user"), _READ),
    **dict.fromkeys(("probe_read_str", "probe_read_user_str", "probe_read_kernel_str"), _TEXT),
    "get_ns_current_pid_tgid": Answer(buffer=2, size=3),
    "d_path": Answer(0, 1, 2, True),
    "get_stack": Answer(3, 1, 2, True),
    "get_stackid": Answer(2),
    **dict.fromkeys(("ktime_get_ns", "ktime_get_boot_ns", "ktime_get_tai_ns", "ktime_get_coarse_ns"), _NUMBER),
    **dict.fromkeys(("jiffies64", "get_prandom_u32", "get_numa_node_id", "get_func_ip"), _NUMBER),
}


@record
class JournalPlan:
    """What the journals of one Image share."""

    event_id: int
    stack_maps: list[str] = field(default_factory=list)


class JournalBuilder(Builder):
    """A Builder whose helper calls and exits also write the journal, once `begin` was called."""

    def __init__(self, name: str, plan: JournalPlan, number: int, events_map: str, lost_map: str) -> None:
        super().__init__(name)
        self._plan = plan
        self._number = number
        self._events_map, self._lost_map = events_map, lost_map
        self._journal: Slot | None = None
        self._handles: dict[Reg, str] = {}
        self._quiet = False

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Exits inside send no journal."""
        saved, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = saved

    # -- what is watched ------------------------------------------------------------------------------------------

    def map(self, name: str) -> Reg:
        """See Builder."""
        reg = super().map(name)
        self._handles[reg] = name
        return reg

    def call(self, helper: str, *args: Value) -> Reg:
        """See Builder."""
        result = super().call(helper, *args)
        answer = ANSWERS.get(helper)
        if answer is not None and self._journal is not None and self.is_open:
            self._note(helper, answer, args, result)
        return result

    def exit(self, value: Value = 0) -> None:
        """See Builder."""
        is_end = self.function is self.program.functions[0]
        if self._journal is not None and is_end and self.is_open and not self._quiet:
            self._send(self._journal)
        super().exit(value)

    # -- the header -----------------------------------------------------------------------------------------------

    def begin(
        self,
        unit: Unit,
        registers: Mapping[str, int],
        syscall: tuple[Reg, list[int]] | None,
        *,
        knows_cgroups: bool,
    ) -> None:
        """Start the journal: who, when, where, and the context. `syscall`: the number and the places of the arguments in
        pt_regs of a dispatched system-call tracepoint, whose own context is made here."""
        slot = self.slot(_SLOT_BYTES, 8, captured=True, name="journal")
        self.store(slot, _START, 8, self._plan.event_id | self._number << 32)
        self._put(slot, layout.TIME, self.call_own("ktime_get_ns"))
        self._put(slot, layout.TASK, self.call_own("get_current_pid_tgid"))
        self._put(slot, layout.UID_GID, self.call_own("get_current_uid_gid"))
        self._put(slot, layout.TASK_ADDRESS, self.call_own("get_current_task"))
        self._put(slot, layout.CGROUP, self.call_own("get_current_cgroup_id") if knows_cgroups else 0)
        self.call_own("get_current_comm", self.address(slot, _START + layout.COMM), 16)
        self._put(slot, layout.CPU, self.call_own("get_smp_processor_id"), 4)
        self._put(slot, layout.FLAGS, 0, 2)
        self._put(slot, layout.CONTEXT_ADDRESS, self.context())
        if syscall is not None:
            self._syscall_context(slot, unit, *syscall)
        elif unit.context.registers and unit.points[0].program_type == "perf_event":
            self._perf_context(slot, sorted(set(registers.values())))
        else:
            self._plain_context(slot, unit.context, context_bytes(unit.context, registers))
        self._journal = slot

    def put_cookie(self, cookie: Value) -> None:
        """Say which of the attach points it is."""
        assert self._journal is not None
        self._put(self._journal, layout.COOKIE, cookie)

    def _put(self, slot: Slot, offset: int, value: Value, size: int = 8) -> None:
        self.store(slot, _START + offset, size, value)

    def _end_context(self, slot: Slot, size: Value) -> None:
        self._put(slot, layout.CONTEXT_SIZE, size, 2)
        padded: Value
        if isinstance(size, int):
            padded = _START + layout.HEADER_BYTES + align_up(size, 8)
        else:
            padded = self.alu("and", self.alu("add", size, _START + layout.HEADER_BYTES + 7), -8)
        self.store(slot, 0, 8, padded)

    def _plain_context(self, slot: Slot, context: Context, size: int) -> None:
        """Copy the fixed part; of a tracepoint's record also what its __data_loc fields point to."""
        loose = [value.place for value in context.args if isinstance(value.place, at.DataLoc)]
        end: Value = min(size, layout.LARGEST_CONTEXT)
        if loose:
            end = self._loose_end(slot, loose, size)
        if size:
            target = self.address(slot, _START + layout.HEADER_BYTES)
            self.call_own("probe_read_kernel", target, end, self.context())
        self._end_context(slot, end)

    def _loose_end(self, slot: Slot, places: list[at.DataLoc], size: int) -> Reg:
        """The end of the last piece of data in the record, at most LARGEST_CONTEXT."""
        end = self.const(size)
        for place in places:
            location = self.load(self.context(), place.offset, 4)
            stop = self.alu("add", self.alu("and", location, 0xFFFF), self.alu("rsh", location, 16))
            if place.relative:
                stop = self.alu("add", stop, place.offset + 4)
            with self._when("gt", stop, end):
                self.move(end, stop)
        with self._when("gt", end, layout.LARGEST_CONTEXT):
            self.move(end, layout.LARGEST_CONTEXT)
            self._put(slot, layout.FLAGS, layout.CUT, 2)
        return end

    def _perf_context(self, slot: Slot, offsets: list[int]) -> None:
        """What such a program sees as context is no memory: it can only be loaded, register by register."""
        size = offsets[-1] + 8
        for offset in range(0, size, 8):
            value: Value = self.load(self.context(), offset, 8) if offset in offsets else 0
            self._put(slot, layout.HEADER_BYTES + offset, value)
        self._end_context(slot, size)

    def _syscall_context(self, slot: Slot, unit: Unit, number: Reg, arguments: list[int]) -> None:
        """The record that the kernel would make for the tracepoint that this program stands for."""
        start = layout.HEADER_BYTES
        self._put(slot, start, 0)
        self._put(slot, start + _SYSCALL_NUMBER, self.extend(number, 4, False))
        dispatch = unit.points[0].dispatch
        if dispatch is not None and dispatch.attach.params["event"] == "sys_exit":
            self._put(slot, start + _SYSCALL_VALUES, self.load(self.context(), 8, 8))
            self._end_context(slot, _SYSCALL_VALUES + 8)
            return
        registers = self.load(self.context(), 0, 8)
        for index, offset in enumerate(arguments[:_SYSCALL_ARGUMENTS]):
            target = self.address(slot, _START + start + _SYSCALL_VALUES + 8 * index)
            self.call_own("probe_read_kernel", target, 8, self.alu("add", registers, offset))
        self._end_context(slot, _SYSCALL_VALUES + 8 * _SYSCALL_ARGUMENTS)

    # -- entries --------------------------------------------------------------------------------------------------

    @contextmanager
    def _when(self, op: str, left: Value, right: Value) -> Iterator[None]:
        then, after = self.block(), self.block()
        self.branch(op, left, right, then, after)
        self.start(then)
        yield
        self.jump(after)
        self.start(after)

    def _key(self, helper: str, answer: Answer, args: tuple[Value, ...]) -> Value:
        key = args[answer.key] if answer.key >= 0 else 0
        if helper == "get_stackid":
            assert isinstance(key, int) and isinstance(args[1], Reg)
            name, names = self._handles[args[1]], self._plan.stack_maps
            if name not in names:
                names.append(name)
            key |= names.index(name) << layout.MAP_SHIFT
        return key

    def _note(self, helper: str, answer: Answer, args: tuple[Value, ...], result: Reg) -> None:
        slot = self._journal
        assert slot is not None
        limit = args[answer.size] if answer.size >= 0 else 0
        size = self._data_size(answer, limit, result)
        room = size if isinstance(size, int) else layout.LARGEST_DATA
        cursor = self.load(slot, 0, 8)
        fits, full, after = self.block(), self.block(), self.block()
        self.branch("gt", cursor, _SLOT_BYTES - layout.ENTRY_BYTES - align_up(room, 8), full, fits)
        self.start(full)
        self._put(slot, layout.FLAGS, layout.FULL, 2)
        self.jump(after)
        self.start(fits)
        place = self.alu("add", self.address(slot), cursor)
        self.store(place, 0, 2, HELPERS[helper].number)
        self.store(place, 2, 2, min(limit, 0xFFFF) if isinstance(limit, int) else 0xFFFF)
        self.store(place, 4, 4, size)
        self.store(place, 8, 8, self._key(helper, answer, args))
        self.store(place, 16, 8, result)
        if answer.buffer >= 0:
            data = self.alu("add", place, layout.ENTRY_BYTES)
            self.call_own("probe_read_kernel", data, size, args[answer.buffer])
        if isinstance(size, int):
            behind = self.alu("add", cursor, layout.ENTRY_BYTES + align_up(size, 8))
        else:
            behind = self.alu("add", cursor, self.alu("and", self.alu("add", size, layout.ENTRY_BYTES + 7), -8))
        self.store(slot, 0, 8, behind)
        self.jump(after)
        self.start(after)

    def _data_size(self, answer: Answer, limit: Value, result: Reg) -> Value:
        """How many bytes the call gave, at most LARGEST_DATA; a known number wherever it can be."""
        if answer.buffer < 0:
            return 0
        if not answer.text and isinstance(limit, int):
            return min(limit, layout.LARGEST_DATA)
        size = self.reg()
        self.move(size, result if answer.text else limit)
        with self._when("slt", result, 0):
            self.move(size, 0)
        with self._when("gt", size, layout.LARGEST_DATA):
            self.move(size, layout.LARGEST_DATA)
        return size

    def _send(self, slot: Slot) -> None:
        size = self.alu("sub", self.load(slot, 0, 8), _START)
        with self._when("le", size, layout.LARGEST_RECORD):
            source = self.address(slot, _START)
            sent = self.call_own("ringbuf_output", self.map(self._events_map), source, size, 0)
            with self._when("ne", sent, 0):
                key = self.slot(4, 4)
                self.store(key, 0, 4, 0)
                counter = self.call_own("map_lookup_elem", self.map(self._lost_map), self.address(key))
                with self._when("ne", counter, 0):
                    self.atomic("add", counter, 0, 8, self.const(1))


def has_effects(node: n.Node, expansions: Mapping[n.Node, n.Expr]) -> bool:
    """Whether evaluating the expression may change a map, so that a replay has to do it too."""
    if isinstance(node, (n.IncDec, n.BlockExpr)) or (isinstance(node, n.Call) and node.name in _CHANGING):
        return True
    if node in expansions:
        return has_effects(expansions[node], expansions)
    return any(has_effects(child, expansions) for child in node.children())


def context_bytes(context: Context, registers: Mapping[str, int]) -> int:
    """How many bytes of the context the named values of a probe take up."""
    values = [*context.args, *([context.retval] if context.retval is not None else ())]
    sizes = [_END[type(value.place)](value.place) for value in values if type(value.place) in _END]
    if context.registers:
        sizes.append(max(registers.values()) + 8)
    if not context.has_args and not context.registers:
        known = [context.numbered(index) for index in range(_SYSCALL_ARGUMENTS)]
        sizes += [_END[type(v.place)](v.place) for v in known if v is not None and type(v.place) in _END]
    return max(sizes, default=0)


_END = {
    at.ContextField: lambda place: place.offset + place.size,
    at.BtfArgument: lambda place: 8 * (place.index + 1),
    at.PtRegsField: lambda place: 8 * (place.argument + 1),
    at.DataLoc: lambda place: place.offset + 4,
}
