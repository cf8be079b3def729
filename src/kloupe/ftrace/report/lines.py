"""The lines of a report: task, CPU, flags, time, event and its text, a batch at a time.

The fast path of `kloupe ftrace report`: per record one unpacking of the common fields, one look-up of everything that repeats
(task, flags, names), one `%`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from struct import Struct

from ..batch import Run
from ..decode.compile import compile_print_format
from ..decode.eventformat import EventField, EventFormat
from ..decode.printfmt import PrintFormatError
from ..decode.renderers import RENDERERS, RecordText
from ..source import Trace
from .fields import fields_text
from .graph import GraphText
from .options import ReportOptions

_NAME_WIDTH = 20
_PIECE_LINES = 4096


class _Kind:
    """How to show one event type: the label with its padding, the renderer, and how long a record must be."""

    __slots__ = ("entry", "label", "needed", "render")

    def __init__(self, label: str, render: RecordText, needed: int, entry: bool = False) -> None:
        self.label = label
        self.render = render
        self.needed = needed
        self.entry = entry


class LineMaker:
    """Makes the lines of one instance's records. `prefix` goes before each line (the instance's name, where there are several)."""

    def __init__(self, trace: Trace, options: ReportOptions, prefix: str = "") -> None:
        self._trace = trace
        self._options = options
        self._prefix = prefix
        self._kinds: dict[int, _Kind | None] = {}
        self._heads: dict[int, dict[int, str]] = {}  # CPU -> task and flags -> the line's beginning
        self._graph = GraphText(trace)
        self._common = Struct(trace.order + "HHi").unpack_from  # type, flags and preempt count, pid
        self._extra = _extra_columns(trace)
        self._flag_texts: dict[tuple[int, ...], str] = {}

    # -- one event type ---------------------------------------------------------------------------------------------

    def _make_kind(self, number: int) -> _Kind | None:
        """None for an event that is not wanted."""
        form = self._trace.formats[number]
        if form is None:
            self._trace.complain(f"events of type {number} are in the trace without their format")
            return _Kind(f" event-{number}: ".ljust(_NAME_WIDTH + 2), lambda p, o, n, c: f"[unknown event, {n} bytes] {p[o : o + n].hex(' ')}", 0)
        if not self._is_wanted(form):
            return None
        label = f" {form.name}: " + " " * (_NAME_WIDTH - len(form.name))
        if self._options.raw:
            return _Kind(label, _with_cpu(fields_text(form, self._trace.context)), form.bytes_needed)
        if self._graph.is_entry(number):
            return _Kind(label, self._graph.nested, form.bytes_needed, entry=True)
        return _Kind(label, self._graph.exit_text(number) or self._renderer(form), form.bytes_needed)

    def _is_wanted(self, form: EventFormat) -> bool:
        names = (form.name, f"{form.system}:{form.name}", form.system)
        wanted = self._options.events
        return not wanted or any(fnmatchcase(name, pattern) for name in names for pattern in wanted)

    def _renderer(self, form: EventFormat) -> RecordText:
        context = self._trace.context
        make = RENDERERS.get((form.system, form.name))
        try:
            special = make(form, context, self._learn) if make else None
            return special or _with_cpu(compile_print_format(form, context))
        except PrintFormatError as error:
            self._trace.complain(f"the print format of {form.system}:{form.name} is not understood: {error}")
            fields = fields_text(form, context)
            return lambda page, offset, size, cpu: "[FAILED TO PARSE]" + fields(page, offset, size)

    def _learn(self, pid: int, comm: str) -> None:
        """A task's name that an event told. The first one that is known stays."""
        comms = self._trace.comms
        if pid and pid not in comms:
            comms[pid] = comm
            for heads in self._heads.values():
                for key in [key for key in heads if key >> 16 == pid]:
                    del heads[key]

    # -- the line's beginning ---------------------------------------------------------------------------------------

    def _make_head(self, cpu: int, pid: int, flags: int, page: bytes, offset: int) -> str:
        columns = _flags_text(flags & 255, flags >> 8 & 255) if self._trace.order == "<" else _flags_text(flags >> 8, flags & 255)
        for read in self._extra:
            columns += read(page, offset)
        return f"{self._prefix}{self._trace.comms[pid]:>16}-{pid:<5d} [{cpu:03d}] {columns} "

    # -- records ----------------------------------------------------------------------------------------------------

    def lines(self, runs: Iterable[Run]) -> Iterator[str]:
        """Pieces of text of many lines, in order of the runs."""
        options, common, kinds, extra = self._options, self._common, self._kinds, bool(self._extra)
        after, before = options.start_ns, options.end_ns or 1 << 80
        offset_ns = self._trace.offset_ns
        half, unit, scale = (500, 1000, 10**6) if not options.nanoseconds else (0, 1, 10**9)
        form = "%s%5d.%06d:%s%s\n" if not options.nanoseconds else "%s%5d.%09d:%s%s\n"
        half += offset_ns
        last_second, second_ns = -1, 0
        plain = not options.start_ns and not options.end_ns and options.pids is None
        out: list[str] = []
        add = out.append
        skip: tuple[object, int] | None = None
        for run, following in _with_next(runs):
            batch, cpu, end = run.batch, run.cpu, run.end
            page, times, offsets, sizes = batch.page, batch.times_ns, batch.offsets, batch.sizes
            heads = self._heads.setdefault(cpu, {})
            at = run.first
            if at == 0 and batch.missed:
                add(f"CPU:{cpu} [{f'{batch.missed} ' if batch.missed > 0 else ''}EVENTS DROPPED]\n")
            if skip is not None:
                if skip == (batch, at):
                    at += 1
                skip = None
            while at < end:
                offset = offsets[at]
                size = sizes[at]
                if size < 8:
                    self._trace.complain("a record is shorter than the fields that all have")
                    at += 1
                    continue
                number, flags, pid = common(page, offset)
                kind = kinds.get(number, 0)
                if kind == 0:
                    kind = kinds[number] = self._make_kind(number)
                time_ns = times[at]
                at += 1
                if kind is None or not (plain or self._passes(time_ns + offset_ns, pid, after, before)):
                    continue
                key = pid << 16 | flags
                head = heads.get(key)
                if head is None or extra:
                    head = heads[key] = self._make_head(cpu, pid, flags, page, offset)
                text: str
                if size < kind.needed:
                    text = f"[the record has {size} of {kind.needed} bytes]"
                elif kind.entry:
                    leaf = None
                    if at < end:
                        leaf = self._graph.leaf(page, offset, size, page, offsets[at], sizes[at])
                    elif following is not None and following.cpu == cpu:
                        other, first = following.batch, following.first
                        leaf = self._graph.leaf(page, offset, size, other.page, other.offsets[first], other.sizes[first])
                    if leaf is None:
                        text = self._graph.nested(page, offset, size, cpu)
                    else:
                        text = leaf
                        if at < end:
                            at += 1
                        else:
                            assert following is not None
                            skip = (following.batch, following.first)
                else:
                    try:
                        text = kind.render(page, offset, size, cpu)
                    except (ArithmeticError, ValueError, LookupError, TypeError) as error:
                        text = f"[cannot be shown: {error}]"
                    if text.endswith("\n"):
                        text = text[:-1]
                value = (time_ns + half) // unit
                second = value - second_ns
                if second < 0 or second >= scale:
                    last_second, second = divmod(value, scale)
                    second_ns = last_second * scale
                add(form % (head, last_second, second, kind.label, text))
            if len(out) >= _PIECE_LINES:
                yield "".join(out)
                out.clear()
        if out:
            yield "".join(out)

    def _passes(self, time_ns: int, pid: int, after: int, before: int) -> bool:
        pids = self._options.pids
        return after <= time_ns <= before and (pids is None or pid in pids)


def _with_next(runs: Iterable[Run]) -> Iterator[tuple[Run, Run | None]]:
    source = iter(runs)
    run = next(source, None)
    while run is not None:
        following = next(source, None)
        yield run, following
        run = following


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
