"""Function graphs as text: entries, exits, and leaf calls, which take one line for both.

Source: kernel/trace/trace_entries.h (funcgraph_entry, funcgraph_exit), and trace-cmd's columns.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from ..decode.eventformat import EventFormat
from ..decode.renderers import RecordText, unpacker
from ..decode.signatures import show_arguments
from ..source import Trace

_ENTRIES = ("funcgraph_entry", "fgraph_retaddr_entry")
_NESTED = "             |  "
_ERRORS_FROM = (1 << 64) - 4095
_M64 = (1 << 64) - 1
DEEPEST = 512
_MOST_KEPT = 100_000
_CODES = {2: "H", 4: "I", 8: "Q"}

Reader = Callable[[bytes, int], tuple[int, ...]]


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
    """Durations repeat: most calls are short."""

    def __missing__(self, duration_ns: int) -> str:
        text = duration_text(duration_ns & _M64)
        if len(self) < _MOST_KEPT:
            self[duration_ns] = text
        return text


class _Leaves(dict[int, str]):
    """function -> `  name();`, indented for one depth."""

    def __init__(self, trace: Trace, indent: str) -> None:
        super().__init__()
        self._symbols = trace.context.symbols
        self._indent = indent

    def __missing__(self, function: int) -> str:
        name = self._symbols[function][0] or f"{function:x}"
        text = self[function] = f"{self._indent}{name}();"
        return text


class GraphText:
    """The texts of the graph tracer's events."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.durations = _Durations()
        self.leaves = [_Leaves(trace, " " * (2 * depth)) for depth in range(DEEPEST)]
        self._entries: dict[int, EventFormat] = {}
        self._plain_bytes: dict[int, int] = {}  # entries of this size have no arguments
        self._readers: dict[int, Reader] = {}
        self._retaddr: dict[int, Reader] = {}
        self._pairs: dict[int, Reader] = {}
        self._return: Reader | None = None
        self.return_id = -1
        self.return_bytes = 0
        self._retval: Reader | None = None
        self._find_formats()

    def _find_formats(self) -> None:
        formats, context = self._trace.formats, self._trace.context
        for name in _ENTRIES:
            form = formats.named("ftrace", name)
            read = unpacker(form, context, "func", "depth") if form is not None else None
            if form is None or read is None:
                continue
            self._entries[form.id] = form
            self._readers[form.id] = read
            retaddr = unpacker(form, context, "retaddr")
            if retaddr is not None:
                self._retaddr[form.id] = retaddr
            self._plain_bytes[form.id] = form.bytes_needed + 3 & ~3 if retaddr is None else -1
        form = formats.named("ftrace", "funcgraph_exit")
        if form is not None:
            names = ("common_type", "common_pid", "func", "depth", "calltime", "rettime")
            self._return = unpacker(form, context, *names)
            self._retval = unpacker(form, context, "retval")
            self.return_id = form.id if self._return is not None else -1
            self.return_bytes = form.bytes_needed
            self._make_pairs(form)

    def _make_pairs(self, leave: EventFormat) -> None:
        """For each entry type one struct that reads an entry and, four bytes behind it, an exit."""
        for number, enter in self._entries.items():
            size = self._plain_bytes[number]
            wanted = [(0, enter, n) for n in ("common_pid", "func", "depth")]
            wanted += [(size + 4, leave, n) for n in ("common_type", "common_pid", "func", "calltime", "rettime")]
            at, code = 0, self._trace.order
            for base, form, name in wanted:
                field = form.field(name)
                if field is None or field.size not in _CODES or base + field.offset < at:
                    break
                code += f"{base + field.offset - at}x{_CODES[field.size]}"
                at = base + field.offset + field.size
            else:
                if self._retval is None and size > 0:
                    self._pairs[number] = Struct(code).unpack_from

    def is_entry(self, number: int) -> bool:
        """Whether an event type is the entry of a call."""
        return number in self._entries

    def exit_text(self, number: int) -> RecordText | None:
        """The renderer of exits, when `number` is their type."""
        return self._exit if number == self.return_id else None

    @staticmethod
    def _indent(depth: int) -> str:
        return " " * (2 * min(depth & 0x7FFFFFFF, 4096))

    def _number(self, page: bytes, offset: int) -> int:
        return int.from_bytes(page[offset : offset + 2], "little" if self._trace.order == "<" else "big")

    def pair(self, number: int) -> tuple[Reader | None, int]:
        """(reader, size): reads pid, function and depth of an entry of this size, and type, pid, function, call and return time of the exit that
        follows at once in the same page."""
        return self._pairs.get(number), self._plain_bytes[number]

    def nested(self, number: int, page: bytes, offset: int, size: int) -> str:
        """A call whose exit comes later: `|  f() {`."""
        function, depth = self._readers[number](page, offset)
        known = self._trace.context.symbols[function][0]
        where = self._caller(number, page, offset)
        if known:
            return (
                f"{_NESTED}{self._indent(depth)}{known}({self._args(number, page, offset, size, function)}){where} {{"
            )
        name = f"{function:x}()" if where else ")"
        return f"{_NESTED}{self._indent(depth)}{name}{where} {{"

    def _caller(self, number: int, page: bytes, offset: int) -> str:
        read = self._retaddr.get(number)
        name = self._trace.context.symbols[read(page, offset)[0]][0] if read is not None else ""
        return f" /* <-{name} */" if name else ""

    def _args(self, number: int, page: bytes, offset: int, size: int, function: int) -> str:
        if size == self._plain_bytes[number]:
            return ""
        field = self._entries[number].field("args")
        if field is None or size <= field.offset:
            return ""
        width = self._trace.long_bytes
        order = "little" if self._trace.order == "<" else "big"
        values = [
            int.from_bytes(page[at : at + width], order)  # type: ignore[arg-type]
            for at in range(offset + field.offset, offset + size - width + 1, width)
        ]
        return show_arguments(self._trace.arguments(function, values))

    def leaf(
        self, page: bytes, offset: int, size: int, next_page: bytes, next_offset: int, next_size: int
    ) -> str | None:
        """The text of a call that the next record ends; None when it does not."""
        number = self._number(page, offset)
        if self._return is None or next_size < self.return_bytes:
            return None
        other, _, function, _, called, returned = self._return(next_page, next_offset)
        own, depth = self._readers[number](page, offset)
        if other != self.return_id or own != function:
            return None
        if page[offset + 4 : offset + 8] != next_page[next_offset + 4 : next_offset + 8]:
            return None
        known = self._trace.context.symbols[function][0]
        args = self._args(number, page, offset, size, function) if known else ""
        text = f"{self.durations[returned - called]}{self._indent(depth)}{known or f'{function:x}'}({args});"
        text += self._caller(number, page, offset)
        return text + self._retval_text(next_page, next_offset) if self._retval is not None else text

    def _retval_text(self, page: bytes, offset: int) -> str:
        assert self._retval is not None
        value = self._retval(page, offset)[0] & _M64
        return f" (ret={value - (1 << 64)})" if value >= _ERRORS_FROM else f" (ret=0x{value:x})"

    def _exit(self, page: bytes, offset: int, size: int, cpu: int) -> str:
        """The end of a call that began in an earlier line: `|  }`."""
        assert self._return is not None
        _, _, _, depth, called, returned = self._return(page, offset)
        text = f"{self.durations[returned - called]}{self._indent(depth)}}}"
        return text + self._retval_text(page, offset) if self._retval is not None else text
