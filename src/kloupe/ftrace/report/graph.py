"""Function graphs as text: entries, exits, and leaf calls, which take one line for both.

Source: kernel/trace/trace_entries.h (funcgraph_entry, funcgraph_exit), and trace-cmd's columns.
"""

from __future__ import annotations

from collections.abc import Callable

from ..decode.eventformat import EventFormat
from ..decode.renderers import unpacker
from ..source import Trace
from .arguments import ArgumentsText

_ENTRIES = ("funcgraph_entry", "fgraph_retaddr_entry")
_EXIT = "funcgraph_exit"
_LEAVE = ("common_type", "common_pid", "func", "calltime", "rettime")
_NESTED = "             |  "
_ERRORS_FROM = (1 << 64) - 4095
_M64 = (1 << 64) - 1
_MOST_KEPT = 100_000
_COMMON_BYTES = 8

Reader = Callable[[bytes, int], tuple[int, ...]]
Line = Callable[[bytes, int, int, int, str, str, str], str]  # see lines.py


def duration_text(duration_ns: int) -> str:
    """The mark of slow calls and the duration, in columns: `! 193.859 us |  `."""
    if duration_ns <= 10_000:
        mark = "  "
    elif duration_ns <= 100_000:
        mark = "+ "
    elif duration_ns <= 1_000_000:
        mark = "! "
    else:
        mark = "# " if duration_ns <= 1_000_000_000 else "$ "
    us, rest = divmod(duration_ns, 1000)
    number = f"{us}.{rest:03d}" if us < 1_000_000 else str(us)
    return f"{mark}{number} us {' ' * (7 - len(number))}|  "


class _Durations(dict[int, str]):
    """Durations repeat: most calls are short. `label` goes before each."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def __missing__(self, duration_ns: int) -> str:
        text = self._label + duration_text(duration_ns & _M64)
        if len(self) < _MOST_KEPT:
            self[duration_ns] = text
        return text


class Entries(dict[bytes, tuple[int, str, str]]):
    """What an entry's record holds behind the common fields -> (function, its text when its exit comes later: `|  f() {`, its text behind
    the duration when its exit is next: `f();`). Calls repeat, so these are kept."""

    def __init__(self, trace: Trace, form: EventFormat, read: Reader, label: str) -> None:
        super().__init__()
        self._trace = trace
        self._form = form
        self._read = read
        self._label = label
        self._caller_of = unpacker(form, trace.context, "retaddr")
        self._plain_bytes = form.bytes_needed + 3 & ~3 if self._caller_of is None else -1

    def __missing__(self, data: bytes) -> tuple[int, str, str]:
        record = bytes(_COMMON_BYTES) + data
        function, depth = self._read(record, 0)
        name = self._trace.context.symbols[function][0]
        indent = _indent(depth)
        where = self._caller(record)
        args = self._args(record, function) if name else ""
        plain = f"{name}({args})" if name else f"{function:x}()" if where else ")"
        found = (
            function,
            f"{self._label}{_NESTED}{indent}{plain}{where} {{\n",
            f"{indent}{name or f'{function:x}'}({args});{where}",
        )
        if len(self) >= _MOST_KEPT:
            self.clear()
        self[data] = found
        return found

    def _caller(self, record: bytes) -> str:
        read = self._caller_of
        name = self._trace.context.symbols[read(record, 0)[0]][0] if read is not None else ""
        return f" /* <-{name} */" if name else ""

    def _args(self, record: bytes, function: int) -> str:
        field = self._form.field("args")
        if len(record) == self._plain_bytes or field is None or len(record) <= field.offset:
            return ""
        return ArgumentsText(self._trace, field)(record, function)


class GraphText:
    """The texts of the graph tracer's events. `label` gives what stands before the text of an event's name.

    `leave` reads type, pid, function, call and return time of an exit, which has the type `leave_id` and at least `leave_bytes`. `leaves`:
    duration -> label and duration of a call in one line. `returned` gives the text of an exit's return value, where there are any.
    """

    def __init__(self, trace: Trace, label: Callable[[str], str]) -> None:
        self._entries: dict[int, Entries] = {}
        formats, context = trace.formats, trace.context
        for name in _ENTRIES:
            form = formats.named("ftrace", name)
            read = unpacker(form, context, "func", "depth") if form is not None else None
            if form is not None and read is not None:
                self._entries[form.id] = Entries(trace, form, read, label(_ENTRIES[0]))
        self.leaves = _Durations(label(_ENTRIES[0]))
        self._ends = _Durations(label(_EXIT))
        self.leave: Reader = _nothing
        self.leave_id, self.leave_bytes = -1, 1 << 30
        self._depth: Reader | None = None
        self._retval: Reader | None = None
        form = formats.named("ftrace", _EXIT)
        leave = unpacker(form, context, *_LEAVE) if form is not None else None
        if form is not None and leave is not None:
            self.leave, self.leave_id, self.leave_bytes = leave, form.id, form.bytes_needed
            self._depth = unpacker(form, context, "depth", "calltime", "rettime")
            self._retval = unpacker(form, context, "retval")
        self.returned = self._return_text if self._retval is not None else None

    def entries(self, number: int) -> Entries | None:
        """The texts of an event type's entries; None when it is none."""
        return self._entries.get(number)

    def exit_line(self, number: int) -> Line | None:
        """The line function of exits whose entries came in earlier lines (`|  }`), when `number` is their type."""
        read, ends, returned = self._depth, self._ends, self.returned
        if number != self.leave_id or read is None:
            return None
        closings: dict[int, str] = {}

        def line(page: bytes, offset: int, size: int, cpu: int, head: str, time: str, rest: str) -> str:
            depth, called, left = read(page, offset)
            closing = closings.get(depth) or closings.setdefault(depth, f"{_indent(depth)}}}")
            if returned is None:
                return f"{head}{time}{rest}{ends[left - called]}{closing}\n"
            return f"{head}{time}{rest}{ends[left - called]}{closing}{returned(page, offset)}\n"

        return line

    def _return_text(self, page: bytes, offset: int) -> str:
        assert self._retval is not None
        value = self._retval(page, offset)[0] & _M64
        return f" (ret={value - (1 << 64)})" if value >= _ERRORS_FROM else f" (ret=0x{value:x})"


def _nothing(page: bytes, offset: int) -> tuple[int, ...]:
    return 0, 0, 0, 0, 0


def _indent(depth: int) -> str:
    return " " * (2 * min(depth & 0x7FFFFFFF, 4096))
