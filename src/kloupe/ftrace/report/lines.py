"""The lines of a report: task, CPU, flags, time, event and its text, a batch at a time.

The fast path of `kloupe ftrace report`: per record one unpacking of the common fields, one look-up of everything that repeats
(task, flags, names), one `%`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from struct import Struct
from struct import error as StructError

from ..batch import Window
from ..decode.compile import braced, compile_line, compile_print_format
from ..decode.eventformat import EventField, EventFormat
from ..decode.printfmt import PrintFormatError
from ..decode.renderers import RENDERERS, STATEFUL, RecordText
from ..source import Trace
from .fields import fields_text
from .graph import DEEPEST, GraphText, Reader
from .options import ReportOptions

_NAME_WIDTH = 20
_PIECE_LINES = 4096
_COMMON_BYTES = 8
_NEWLINE = "\n"
_GRAPH_ENTRY = "funcgraph_entry"
_DEEPEST = DEEPEST


# What is added to a time for rounding, nanoseconds in a unit, units in a second, digits of the rest.
_MICRO, _NANO = (500, 1000, 10**6, 6), (0, 1, 10**9, 9)
_PARAMETERS = "p, o, n, c, h, t, u"  # page, offset, size, CPU; the line's head, the seconds with their point, the rest of the second
Line = Callable[[bytes, int, int, int, str, str, int], str]


class _Kind:
    """How to show one event type: the function that makes its line, how long a record must be; of entries of calls the reader of an entry and
    its exit together, and the size at which that may be used."""

    __slots__ = ("entry", "line", "needed", "pair", "pair_bytes")

    def __init__(
        self, line: Line, needed: int, entry: bool = False, pair: Reader | None = None, pair_bytes: int = -1
    ) -> None:
        self.line = line
        self.needed = max(needed, _COMMON_BYTES)
        self.entry = entry
        self.pair = pair
        self.pair_bytes = pair_bytes


# What is known of all records of a CPU with the same type, flags and task: the kind (None: not wanted) and the line's beginning.
_Known = tuple[_Kind | None, str]


class NeedsHistory(Exception):
    """A line depends on records that came before the part that is at hand."""


class Learner:
    """Takes names of tasks that events tell; the first one that is known stays. `known` can be asked before."""

    def __init__(self, known: dict[int, str], forget: Callable[[int], object], alone: bool) -> None:
        self.known = known
        self._forget = forget
        self._alone = alone

    def __call__(self, pid: int, comm: str) -> None:
        if pid and pid not in self.known:
            if not self._alone:
                raise NeedsHistory
            self.known[pid] = comm
            self._forget(pid)


class LineMaker:
    """Makes the lines of one instance's records. `prefix` goes before each line (the instance's name, where there are several).

    `alone`: it sees all records. Otherwise it sees some, and raises NeedsHistory for one whose line depends on others.
    """

    def __init__(self, trace: Trace, options: ReportOptions, prefix: str = "", *, alone: bool = True) -> None:
        self._trace = trace
        self._alone = alone
        self._options = options
        self._prefix = prefix
        self._kinds: dict[int, _Kind | None] = {}
        self._known: dict[int, dict[int, _Known]] = {}  # CPU -> the common fields as one number -> what is known
        self._learn = Learner(trace.comms, self._forget, alone)
        self._graph = GraphText(trace)
        self._time = _NANO if options.nanoseconds else _MICRO
        self._digits = f"0{self._time[3]}d"
        self._common = Struct(trace.order + "HHi")  # type, flags and preempt count, pid
        self._extra = _extra_columns(trace)

    # -- one event type ---------------------------------------------------------------------------------------------

    def _make_kind(self, number: int) -> _Kind | None:
        """None for an event that is not wanted."""
        form = self._trace.formats[number]
        if form is None:
            self._trace.complain(f"events of type {number} are in the trace without their format")
            return _Kind(self._line_of(f"event-{number}", _unknown_text), 0)
        if not self._is_wanted(form):
            return None
        if self._options.raw:
            return _Kind(self._line_of(form.name, _with_cpu(fields_text(form, self._trace.context))), form.bytes_needed)
        if self._graph.is_entry(number):
            nested = self._graph.nested
            line = self._line_of(form.name, lambda p, o, n, c: nested(number, p, o, n))
            return _Kind(line, form.bytes_needed, True, *self._graph.pair(number))
        return _Kind(self._make_line(form), form.bytes_needed)

    def _label(self, name: str) -> str:
        return f" {name}: " + " " * (_NAME_WIDTH - len(name))

    def _line_of(self, name: str, render: RecordText) -> Line:
        """The line function of a renderer of text."""
        label, digits = f":{self._label(name)}", self._digits

        def line(page: bytes, offset: int, size: int, cpu: int, head: str, seconds: str, rest: int) -> str:
            text = render(page, offset, size, cpu)
            if text.endswith(_NEWLINE):
                text = text[:-1]
            return f"{head}{seconds}{rest:{digits}}{label}{text}\n"

        return line

    def _make_line(self, form: EventFormat) -> Line:
        context = self._trace.context
        make = RENDERERS.get((form.system, form.name))
        try:
            special = self._graph.exit_text(form.id) or (make(form, context, self._learn) if make else None)
            if (form.system, form.name) in STATEFUL and not self._alone:
                raise NeedsHistory
            if special is not None:
                return self._line_of(form.name, special)
            if form.system == "ftrace":  # texts that may end in a newline
                return self._line_of(form.name, _with_cpu(compile_print_format(form, context)))
            head = f"{{h}}{{t}}{{u:{self._digits}}}:{braced(self._label(form.name))}"
            return compile_line(form, context, _PARAMETERS, head)
        except PrintFormatError as error:
            self._trace.complain(f"the print format of {form.system}:{form.name} is not understood: {error}")
            fields = fields_text(form, context)
            return self._line_of(
                form.name, lambda page, offset, size, cpu: "[FAILED TO PARSE]" + fields(page, offset, size)
            )

    def _is_wanted(self, form: EventFormat) -> bool:
        names = (form.name, f"{form.system}:{form.name}", form.system)
        wanted = self._options.events
        return not wanted or any(fnmatchcase(name, pattern) for name in names for pattern in wanted)

    def _forget(self, pid: int) -> None:
        """A task has got a name: lines begin differently."""
        for known in self._known.values():
            for key in [key for key in known if self._common.unpack(self._key_bytes(key))[2] == pid]:
                del known[key]

    def _key_bytes(self, key: int) -> bytes:
        return key.to_bytes(8, "little" if self._trace.order == "<" else "big")

    def _find_out(self, cpu: int, key: int, page: bytes, offset: int) -> _Known:
        """What all records with these common fields share; kept, unless further columns vary."""
        number, flags, pid = self._common.unpack(self._key_bytes(key))
        if number not in self._kinds:
            self._kinds[number] = self._make_kind(number)
        kind = self._kinds[number]
        if kind is None or (self._options.pids is not None and pid not in self._options.pids):
            kind = None
        found = (kind, self._make_head(cpu, pid, flags, page, offset))
        if not self._extra:
            self._known[cpu][key] = found
        return found

    # -- the line's beginning ---------------------------------------------------------------------------------------

    def _make_head(self, cpu: int, pid: int, flags: int, page: bytes, offset: int) -> str:
        columns = (
            _flags_text(flags & 255, flags >> 8 & 255)
            if self._trace.order == "<"
            else _flags_text(flags >> 8, flags & 255)
        )
        for read in self._extra:
            columns += read(page, offset)
        return f"{self._prefix}{self._trace.comms[pid]:>16}-{pid:<5d} [{cpu:03d}] {columns} "

    # -- records ----------------------------------------------------------------------------------------------------

    def lines(self, windows: Iterable[Window]) -> Iterator[str]:
        """Pieces of text of many lines, in order."""
        common = Struct(self._trace.order + "Q").unpack_from
        graph = self._graph
        durations, leaves, leave_id, leave_bytes = graph.durations, graph.leaves, graph.return_id, graph.return_bytes
        half, unit, scale, _ = self._time
        digits, label = self._digits, f":{self._label(_GRAPH_ENTRY)}"
        half += self._trace.offset_ns
        seconds, second_start = "", 1 << 80
        timed = bool(self._options.start_ns or self._options.end_ns)
        out: list[str] = []
        add = out.append
        skip = False
        for window, following in _with_next(windows):
            records, pages, missed = window.records, window.pages, window.missed
            known_of = [self._known.setdefault(cpu, {}) for cpu in window.cpus]
            at, end = int(skip), len(records)
            skip = False
            while at < end:
                _, slot, offset, size, time_ns = records[at]
                at += 1
                page = pages[slot]
                if missed and (slot, offset) in missed:
                    add(_missed_line(window.cpus[slot], missed[slot, offset]))
                if size < _COMMON_BYTES:
                    self._trace.complain("a record is shorter than the fields that all have")
                    continue
                key = common(page, offset)[0]
                try:
                    kind, head = known_of[slot][key]
                except KeyError:
                    kind, head = self._find_out(window.cpus[slot], key, page, offset)
                if kind is None or (timed and not self._passes(time_ns)):
                    continue
                rest = (time_ns + half) // unit - second_start
                if not 0 <= rest < scale:
                    second, rest = divmod((time_ns + half) // unit, scale)
                    seconds, second_start = f"{second:5d}.", second * scale
                if kind.entry and size >= kind.needed:
                    if at < end and size == kind.pair_bytes and kind.pair is not None:
                        _, next_slot, next_offset, next_size, _ = records[at]
                        if next_offset == offset + size + 4 and next_slot == slot and next_size >= leave_bytes:
                            pid, function, depth, other, other_pid, other_function, called, returned = kind.pair(
                                page, offset
                            )
                            if (
                                other == leave_id
                                and function == other_function
                                and pid == other_pid
                                and depth < _DEEPEST
                            ):
                                add(
                                    f"{head}{seconds}{rest:{digits}}{label}{durations[returned - called]}{leaves[depth][function]}\n"
                                )
                                at += 1
                                continue
                    text = None
                    place = (page, offset, size)
                    if at < end:
                        if records[at][1] == slot:
                            text = graph.leaf(*place, page, *records[at][2:4])
                            at += text is not None
                    elif following is not None and following.records[0][1] == slot:
                        text = graph.leaf(*place, following.pages[slot], *following.records[0][2:4])
                        skip = text is not None
                    if text is not None:
                        add(f"{head}{seconds}{rest:{digits}}{label}{text}\n")
                        continue
                try:
                    if size >= kind.needed:
                        add(kind.line(page, offset, size, window.cpus[slot], head, seconds, rest))
                        continue
                    trouble = f"the record has {size} of {kind.needed} bytes"
                except (ArithmeticError, ValueError, LookupError, TypeError, StructError) as error:
                    trouble = f"cannot be shown: {error}"
                add(self._trouble_line(key, f"{head}{seconds}{rest:{digits}}:", trouble))
            if len(out) >= _PIECE_LINES:
                yield "".join(out)
                out.clear()
        if out:
            yield "".join(out)

    def _trouble_line(self, key: int, head: str, trouble: str) -> str:
        form = self._trace.formats[self._common.unpack(self._key_bytes(key))[0]]
        return f"{head}{self._label(form.name if form else '?')}[{trouble}]\n"

    def _passes(self, time_ns: int) -> bool:
        options, time_ns = self._options, time_ns + self._trace.offset_ns
        return options.start_ns <= time_ns and (not options.end_ns or time_ns <= options.end_ns)


def _missed_line(cpu: int, count: int) -> str:
    return f"CPU:{cpu} [{f'{count} ' if count > 0 else ''}EVENTS DROPPED]\n"


def _with_next(windows: Iterable[Window]) -> Iterator[tuple[Window, Window | None]]:
    source = iter(windows)
    window = next(source, None)
    while window is not None:
        following = next(source, None)
        yield window, following
        window = following


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
