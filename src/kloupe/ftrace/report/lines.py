"""What the lines of a report share: for each event type the function that makes its line, for each task the line's beginning.

All of it is looked up by the words that records begin with (type and flags; task), so that nothing is worked out twice.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

from ..decode.compile import braced, compile_line, compile_print_format
from ..decode.eventformat import EventField, EventFormat
from ..decode.printfmt import PrintFormatError
from ..decode.renderers import RENDERERS, STATEFUL, RecordText, unpacker
from ..source import Trace
from .arguments import ArgumentsText
from .clock import Clock
from .fields import fields_text
from .graph import Entries, GraphText, Line
from .options import ReportOptions

_NAME_WIDTH = 20
_COMMON_BYTES = 8
_NEWLINE = "\n"
_PARAMETERS = "p, o, n, c, h, t, u"  # page, offset, size, CPU; the line's head, its time stamp without and with the last three digits


class NeedsHistory(Exception):
    """A line depends on records that came before the part that is at hand."""


class Starts(dict[int, str | None]):
    """The task's word of a record -> the beginning of its line, for one CPU and one set of flags; None for a task that is not wanted."""

    def __init__(self, make: Callable[[int], str | None]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, word: int) -> str | None:
        text = self[word] = self._make(word - (word >> 31 << 32))
        return text


# How to show records that begin with the same word, on one CPU: the function that makes the line, the bytes that it needs, the beginnings of
# lines, the texts of calls where they are entries of such.
Kind = tuple[Line, int, Starts, Entries | None]


class Kinds(dict[int, Kind]):
    """The first word of a record (type, flags, preempt count) -> how to show it on this CPU."""

    def __init__(self, make: Callable[[int], Kind]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, word: int) -> Kind:
        kind = self[word] = self._make(word)
        return kind


class Learner:
    """Takes names of tasks that events tell; the first one that is known stays. `known` can be asked before."""

    def __init__(self, known: dict[int, str], take: Callable[[int, str], object]) -> None:
        self.known = known
        self._take = take

    def __call__(self, pid: int, comm: str) -> None:
        if pid and pid not in self.known:
            self._take(pid, comm)


class LineMaker:
    """Makes what the lines of one instance's records need. `prefix` goes before each line (the instance's name, where there are several).

    `alone`: it sees all records. Otherwise it sees some, and raises NeedsHistory for one whose line depends on others.
    `part_ns`: from this time on.
    """

    def __init__(
        self, trace: Trace, options: ReportOptions, prefix: str = "", *, alone: bool = True, part_ns: int = 0
    ) -> None:
        self.trace = trace
        self._alone = alone
        self._options = options
        self._prefix = prefix
        self.graph = GraphText(trace, _label)
        self._lines: dict[int, tuple[Line, int] | None] = {}
        self._starts: list[Starts] = []
        self._kinds: dict[int, Kinds] = {}
        self._learner = Learner(trace.comms, self._learn)
        self.columns = _extra_columns(trace)
        self.set_part(part_ns)

    def set_part(self, part_ns: int) -> None:
        """Show records from this time on, as far as the options allow."""
        options, offset_ns = self._options, self.trace.offset_ns
        first_ns = max(part_ns, options.start_ns - offset_ns if options.start_ns else part_ns)
        last_ns = options.end_ns - offset_ns if options.end_ns else None
        self.clock = Clock(offset_ns, options.nanoseconds, first_ns, last_ns)

    def kinds(self, cpu: int) -> Kinds:
        """How to show the records of a CPU."""
        if cpu not in self._kinds:
            self._kinds[cpu] = Kinds(lambda word: self._make_kind(cpu, word))
        return self._kinds[cpu]

    def need_history(self) -> None:
        """Raises NeedsHistory when there is any that is not at hand."""
        if not self._alone:
            raise NeedsHistory

    def _learn(self, pid: int, comm: str) -> None:
        self.need_history()
        self.trace.comms[pid] = comm
        for starts in self._starts:
            starts.pop(pid & 0xFFFFFFFF, None)

    # -- one event type ---------------------------------------------------------------------------------------------

    def _split(self, word: int) -> tuple[int, int, int]:
        """Type, flags and preempt count of a record's first word."""
        if self.trace.order == "<":
            return word & 0xFFFF, word >> 16 & 255, word >> 24
        return word >> 16, word >> 8 & 255, word & 255

    def _make_kind(self, cpu: int, word: int) -> Kind:
        number, flags, preempt = self._split(word)
        if number not in self._lines:
            self._lines[number] = self._line(number)
        found = self._lines[number]
        if found is None:
            return _nothing, 0, Starts(lambda pid: None), None
        starts = Starts(lambda pid: self._start(cpu, pid, _flags_text(flags, preempt)))
        self._starts.append(starts)
        entries = None if self._options.raw else self.graph.entries(number)
        return found[0], max(found[1], _COMMON_BYTES), starts, entries

    def _line(self, number: int) -> tuple[Line, int] | None:
        """The line function of an event type and the bytes that it needs; None for an event that is not wanted."""
        form = self.trace.formats[number]
        if form is None:
            self.trace.complain(f"events of type {number} are in the trace without their format")
            return _line_of(f"event-{number}", _unknown_text), 0
        if not self._is_wanted(form):
            return None
        if self._options.raw:
            return _line_of(form.name, _with_cpu(fields_text(form, self.trace.context))), form.bytes_needed
        return self._make_line(form), form.bytes_needed

    def _make_line(self, form: EventFormat) -> Line:
        context = self.trace.context
        if (form.system, form.name) in STATEFUL:
            self.need_history()
        try:
            ending = self.graph.exit_line(form.id)
            if ending is not None:
                return ending
            make = RENDERERS.get((form.system, form.name))
            special = make(form, context, self._learner) if make else None
            if special is not None:
                return _line_of(form.name, self._with_arguments(form, special))
            if form.system == "ftrace":  # texts that may end in a newline
                return _line_of(form.name, _with_cpu(compile_print_format(form, context)))
            return compile_line(form, context, _PARAMETERS, f"{{h}}{{t}}{{u}}{braced(_label(form.name))}")
        except PrintFormatError as error:
            self.trace.complain(f"the print format of {form.system}:{form.name} is not understood: {error}")
            fields = fields_text(form, context)
            return _line_of(form.name, lambda page, offset, size, cpu: "[FAILED TO PARSE]" + fields(page, offset, size))

    def _with_arguments(self, form: EventFormat, render: RecordText) -> RecordText:
        """The function tracer's text, with the arguments where they were recorded."""
        args, read = form.field("args"), unpacker(form, self.trace.context, "ip")
        if (form.system, form.name) != ("ftrace", "function") or args is None or read is None:
            return render
        begin, shown = args.offset, ArgumentsText(self.trace, args)

        def text(page: bytes, offset: int, size: int, cpu: int) -> str:
            name = render(page, offset, size, cpu)
            if size <= begin:
                return name
            return f"{name}({shown(page[offset : offset + size], read(page, offset)[0])})"

        return text

    def _is_wanted(self, form: EventFormat) -> bool:
        names = (form.name, f"{form.system}:{form.name}", form.system)
        wanted = self._options.events
        return not wanted or any(fnmatchcase(name, pattern) for name in names for pattern in wanted)

    def trouble(self, word: int, text: str) -> str:
        """What stands behind the time stamp of a record that cannot be shown."""
        form = self.trace.formats[self._split(word)[0]]
        return f"{_label(form.name if form else '?')}[{text}]\n"

    # -- the line's beginning ---------------------------------------------------------------------------------------

    def _start(self, cpu: int, pid: int, columns: str) -> str | None:
        if self._options.pids is not None and pid not in self._options.pids:
            return None
        return f"{self._prefix}{self.trace.comms[pid]:>16}-{pid:<5d} [{cpu:03d}] {columns} "

    def widened(self, start: str, page: bytes, offset: int) -> str:
        """The beginning of a line with the columns that vary from record to record."""
        return f"{start[:-1]}{''.join(read(page, offset) for read in self.columns)} "


def missed_line(cpu: int, count: int) -> str:
    """Tells that events were lost here; -1: some."""
    return f"CPU:{cpu} [{f'{count} ' if count > 0 else ''}EVENTS DROPPED]\n"


def _label(name: str) -> str:
    return f": {name}: " + " " * (_NAME_WIDTH - len(name))


def _line_of(name: str, render: RecordText) -> Line:
    """The line function of a renderer of text."""
    label = _label(name)

    def line(page: bytes, offset: int, size: int, cpu: int, head: str, time: str, rest: str) -> str:
        text = render(page, offset, size, cpu)
        if text.endswith(_NEWLINE):
            text = text[:-1]
        return f"{head}{time}{rest}{label}{text}\n"

    return line


def _nothing(page: bytes, offset: int, size: int, cpu: int, head: str, time: str, rest: str) -> str:
    return ""


def _unknown_text(page: bytes, offset: int, size: int, cpu: int) -> str:
    return f"[unknown event, {size} bytes] {page[offset : offset + size].hex(' ')}"


def _with_cpu(render: Callable[[bytes, int, int], str]) -> RecordText:
    return lambda page, offset, size, cpu: render(page, offset, size)


# Flags of common_flags: include/linux/trace_events.h (enum trace_flag_type).
_IRQS_OFF, _NEED_RESCHED_LAZY, _NEED_RESCHED, _HARDIRQ, _SOFTIRQ = 1, 2, 4, 8, 16


def _flags_text(flags: int, preempt: int) -> str:
    """The columns irqs-off, need-resched, context, preempt depth, migrate disabled."""
    irqs = "d" if flags & _IRQS_OFF else "."
    resched = "N" if flags & _NEED_RESCHED else "L" if flags & _NEED_RESCHED_LAZY else "."
    hard, soft = flags & _HARDIRQ, flags & _SOFTIRQ
    context = "H" if hard and soft else "h" if hard else "s" if soft else "."
    depth = f"{preempt & 15:x}" if preempt & 15 else "."
    migrate = f"{preempt >> 4:x}" if preempt & 0xF0 else "."
    return irqs + resched + context + depth + migrate


def _extra_columns(trace: Trace) -> list[Callable[[bytes, int], str]]:
    """Common fields that only some kernels have, each a column: migrate_disable, lock_depth."""
    form = next((f for f in (trace.formats[number] for number in list(trace.formats.texts)[:1]) if f is not None), None)
    found = []
    for name in ("common_migrate_disable", "common_lock_depth"):
        field = form.field(name) if form is not None else None
        if field is not None:
            found.append(_column(field, trace.order))
    return found


def _column(field: EventField, order: str) -> Callable[[bytes, int], str]:
    byte_order = "little" if order == "<" else "big"

    def read(page: bytes, offset: int) -> str:
        raw = page[offset + field.offset : offset + field.offset + field.size]
        value = int.from_bytes(raw, byte_order, signed=True)  # type: ignore[arg-type]
        return "." if value < 0 else str(value)

    return read
