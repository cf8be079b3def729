"""A trace as objects: events with decoded fields, and calls of functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from struct import error as StructError
from typing import Literal

from ..base.record import field, record
from .batch import Window
from .decode.compile import Render, compile_print_format
from .decode.eventformat import EventField, EventFormat
from .decode.printfmt import PrintFormatError
from .decode.renderers import RAGGED, RecordText, unpacker
from .decode.signatures import show_arguments, words_of
from .decode.values import Decoder, FieldValue, field_decoder
from .report.fields import fields_text
from .report.options import ReportOptions
from .source import Instance, Trace


class TraceEvent:
    """One event. `time_ns` is on the trace's clock, `pid` the task (the kernel's thread id), `comm` its name where the trace knows it.

    `fields` and `text` are made when asked for.
    """

    __slots__ = ("_kind", "_page", "_place", "cpu", "pid", "time_ns")

    def __init__(self, kind: EventKind, time_ns: int, cpu: int, pid: int, page: bytes, offset: int, size: int) -> None:
        self._kind = kind
        self._page = page
        self._place = offset, size
        self.time_ns = time_ns
        self.cpu = cpu
        self.pid = pid

    @property
    def system(self) -> str:
        """The event's system, as in "sched"."""
        return self._kind.form.system

    @property
    def name(self) -> str:
        """The event's name, as in "sched_switch"."""
        return self._kind.form.name

    @property
    def comm(self) -> str:
        """The name of the task: `<idle>` for the idle task, `<...>` when it is not known."""
        return self._kind.trace.comms[self.pid]

    @property
    def fields(self) -> dict[str, FieldValue]:
        """The event's own fields by name: integers, strings, lists of integers, bytes."""
        return self._kind.decode(self._page, *self._place)

    @property
    def text(self) -> str:
        """The event as its print format gives it (its fields, when that is not understood)."""
        return self._kind.render(self._page, *self._place)

    def __repr__(self) -> str:
        return f"<{self.system}:{self.name} {self.time_ns} cpu={self.cpu} pid={self.pid}>"


class EventKind:
    """What all events of a type share."""

    def __init__(self, trace: Trace, form: EventFormat) -> None:
        self.trace = trace
        self.form = form
        self.decode: Decoder = field_decoder(form, trace.context)
        self._render: Render | None = None

    def render(self, page: bytes, offset: int, size: int) -> str:
        """The text of a record."""
        if self._render is None:
            self._render = self._make_render()
        try:
            return self._render(page, offset, size).rstrip("\n")
        except (ArithmeticError, ValueError, LookupError, TypeError, OSError, StructError) as error:
            return f"[cannot be shown: {error}]"

    def _make_render(self) -> Render:
        form, context = self.form, self.trace.context
        ragged = RAGGED.get(form.name) if form.system == "ftrace" else None
        special = ragged(form, context) if ragged is not None else self._function_text()
        if special is not None:
            return lambda page, offset, size: special(page, offset, size, 0)
        try:
            return compile_print_format(form, context)
        except PrintFormatError:
            return fields_text(form, context)

    def _function_text(self) -> RecordText | None:
        """The text of the function tracer's event where it may have arguments: its print format says nothing of them."""
        form, trace = self.form, self.trace
        args, read = form.field("args"), unpacker(form, trace.context, "ip", "parent_ip")
        if (form.system, form.name) != ("ftrace", "function") or args is None or read is None:
            return None
        names = trace.context.names

        def render(page: bytes, offset: int, size: int, cpu: int) -> str:
            ip, parent_ip = read(page, offset)
            values = words_of(page[offset + args.offset : offset + size], trace.order, trace.long_bytes)
            shown = f"({show_arguments(trace.arguments(ip, values))})" if values else ""
            return f"{names[ip]}{shown} <-- {names[parent_ip]}"

        return render


@record(eq=False)
class Call:
    """One call of a function by a task. `depth` is the tracer's, 0 the outermost. `children` in order.

    `entered` is false when the trace began inside the call, `left` when it ended inside: `duration_ns` then is what is known (0 when the
    end is not). `args` and `retval` where the kernel or a probe gave them.
    """

    function: str
    pid: int
    comm: str
    cpu: int
    depth: int
    start_ns: int
    duration_ns: int = 0
    entered: bool = True
    left: bool = True
    address: int = 0
    args: dict[str, FieldValue] = field(default_factory=dict)
    retval: int | None = None
    children: list[Call] = field(default_factory=list)

    @property
    def end_ns(self) -> int:
        """When it returned."""
        return self.start_ns + self.duration_ns

    @property
    def self_ns(self) -> int:
        """Its time without that of the calls it made."""
        return max(0, self.duration_ns - sum(child.duration_ns for child in self.children))

    def walk(self) -> Iterator[Call]:
        """Itself and all calls inside, parents first."""
        stack = [self]
        while stack:
            call = stack.pop()
            yield call
            stack.extend(reversed(call.children))


# Stands among the others where the kernel says that events were lost; count -1: nobody knows how many.
_LOST = EventFormat(
    -1, "ftrace", "lost_events", (), (EventField("count", "s64 count", 0, 8, True),), '"%lld", REC->count'
)


_DEEPEST = 1 << 10  # the kernel keeps fewer calls of a task; more is damage that would make endless lines


class CallBuilder:
    """Puts the graph tracer's entries and exits together, task by task."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._stacks: dict[int, list[Call]] = {}
        # Probes may tell before or after the tracer: arguments that wait for their call, and the call of a task that ended last.
        self._waiting: dict[tuple[int, str], dict[str, FieldValue]] = {}
        self._last: dict[int, Call] = {}
        self._names = trace.context.names
        self._entries = {}
        for name in ("funcgraph_entry", "fgraph_retaddr_entry"):
            form = trace.formats.named("ftrace", name)
            read = unpacker(form, trace.context, "func", "depth") if form else None
            if form is not None and read is not None:
                args = form.field("args")
                self._entries[form.id] = read, args.offset if args is not None else 0
        self._exit_id, self._exit, self._retval = -1, None, None
        form = trace.formats.named("ftrace", "funcgraph_exit")
        if form is not None:
            self._exit = unpacker(form, trace.context, "func", "depth", "calltime", "rettime")
            self._retval = unpacker(form, trace.context, "retval")
            self._exit_needs = form.bytes_needed
            self._exit_id = form.id if self._exit is not None else -1

    def knows(self, number: int) -> bool:
        """Whether events of this type belong to calls."""
        return number == self._exit_id or number in self._entries

    def feed(self, number: int, time_ns: int, cpu: int, pid: int, page: bytes, offset: int, size: int) -> Call | None:
        """Take a record; gives the outermost call of the task when it has just ended."""
        if number == self._exit_id:
            return self._leave(cpu, pid, page, offset) if size >= self._exit_needs else None
        read, args_at = self._entries[number]
        if size < 16:
            return None
        address, depth = read(page, offset)
        stack = self._stacks.setdefault(pid, [])
        depth = min(depth & 0x7FFFFFFF, _DEEPEST)
        broken = self._unwind(stack, depth)
        call = Call(self._names[address], pid, self._trace.comms[pid], cpu, depth, time_ns, left=False, address=address)
        if args_at and size > args_at:
            values = words_of(page[offset + args_at : offset + size], self._trace.order, self._trace.long_bytes)
            call.args = self._trace.arguments(address, values)
        if self._waiting:
            call.args = self._waiting.pop((pid, call.function), call.args)
        if stack:
            stack[-1].children.append(call)
        stack.append(call)
        return broken

    @staticmethod
    def _unwind(stack: list[Call], depth: int) -> Call | None:
        """Drop calls whose end was lost; gives the outermost one."""
        broken = None
        while stack and stack[-1].depth >= depth:
            broken = stack.pop()
        return broken if not stack else None

    def _leave(self, cpu: int, pid: int, page: bytes, offset: int) -> Call | None:
        assert self._exit is not None
        address, depth, called, returned = self._exit(page, offset)
        stack = self._stacks.setdefault(pid, [])
        depth = min(depth & 0x7FFFFFFF, _DEEPEST)
        while stack and (stack[-1].depth > depth or stack[-1].address != address) and stack[-1].depth >= depth:
            stack.pop()
        duration_ns = returned - called & (1 << 64) - 1
        if stack and stack[-1].depth == depth:
            call = stack.pop()
            call.duration_ns, call.left = duration_ns, True
        else:
            call = Call(
                self._names[address],
                pid,
                self._trace.comms[pid],
                cpu,
                depth,
                called,
                duration_ns,
                entered=False,
                address=address,
            )
            if stack:
                stack[-1].children.append(call)
        if self._retval is not None:
            call.retval = self._retval(page, offset)[0]
        self._last[pid] = call
        return call if not stack else None

    def probe_entered(self, pid: int, function: str, args: dict[str, FieldValue]) -> None:
        """A probe on the function's entry gave its arguments, before or after the tracer saw the call."""
        stack = self._stacks.get(pid)
        if stack and stack[-1].function == function and not stack[-1].args and not stack[-1].children:
            stack[-1].args = args
        else:
            self._waiting[pid, function] = args

    def probe_left(self, pid: int, function: str, retval: int) -> None:
        """A probe on the function's return gave its value, before or after the tracer saw it return."""
        for call in reversed(self._stacks.get(pid, ())):
            if call.function == function and call.retval is None:
                call.retval = retval
                return
        last = self._last.get(pid)
        if last is not None and last.function == function and last.retval is None:
            last.retval = retval

    def rest(self) -> Iterator[Call]:
        """The outermost calls that had not ended when the trace did."""
        for stack in self._stacks.values():
            if stack:
                yield stack[0]


def _end_ns(item: TraceEvent | Call) -> int:
    return item.time_ns if isinstance(item, TraceEvent) else item.end_ns


def trace_items(trace: Trace, options: ReportOptions, instance: Instance | None = None) -> Iterator[TraceEvent | Call]:
    """Events, and outermost calls with what they called, in order of time (of calls: of their end). Memory is bounded by one page of each
    CPU and the calls that are open."""
    if instance is None:
        wanted = [i for i in trace.instances if not options.instances or i.name in options.instances]
        yield from merge(*(trace_items(trace, options, one) for one in wanted), key=_end_ns)
        return
    yield from items_of_windows(trace, options, trace.windows(instance, options.cpus))


def items_of_windows(trace: Trace, options: ReportOptions, windows: Iterable[Window]) -> Iterator[TraceEvent | Call]:
    """The same from windows of records."""
    from fnmatch import fnmatchcase
    from struct import Struct

    common = Struct(trace.order + "Hxxi").unpack_from
    byte_order: Literal["little", "big"] = "little" if trace.order == "<" else "big"
    builder = CallBuilder(trace)
    kinds: dict[int, EventKind | None] = {}
    probes = trace.probes
    lost_kind = EventKind(trace, _LOST)
    for window in windows:
        for _, slot, offset, size, time_ns in window.records:
            page, cpu = window.pages[slot], window.cpus[slot]
            if size < 8:
                trace.complain("a record is shorter than the fields that all have")
                continue
            number, pid = common(page, offset)
            time_ns += trace.offset_ns
            if (options.pids is not None and pid not in options.pids) or time_ns < options.start_ns:
                continue
            if options.end_ns and time_ns > options.end_ns:
                continue
            if window.missed and (slot, offset) in window.missed:
                count = window.missed[slot, offset].to_bytes(8, byte_order, signed=True)
                yield TraceEvent(lost_kind, time_ns, cpu, pid, count, 0, len(count))
            if builder.knows(number):
                call = builder.feed(number, time_ns, cpu, pid, page, offset, size)
                if call is not None:
                    yield call
                continue
            if number not in kinds:
                form = trace.formats[number]
                if form is None:
                    trace.complain(f"events of type {number} are in the trace without their format")
                names = (form.name, f"{form.system}:{form.name}", form.system) if form is not None else ()
                passes = not options.events or any(fnmatchcase(n, p) for n in names for p in options.events)
                kinds[number] = EventKind(trace, form) if form is not None and passes else None
            kind = kinds[number]
            if kind is None or size < kind.form.bytes_needed:
                continue
            event = TraceEvent(kind, time_ns, cpu, pid, page, offset, size)
            if probes and kind.form.name in probes:
                function, is_return = probes[kind.form.name]
                fields = event.fields
                fields = {name: value for name, value in fields.items() if not name.startswith("__probe_")}
                if is_return:
                    value = fields.get("retval", fields.get("arg1", 0))
                    builder.probe_left(pid, function, value if isinstance(value, int) else 0)
                else:
                    builder.probe_entered(pid, function, trace.signatures.name_constants(function, fields))
                continue
            yield event
    yield from builder.rest()
