"""Function graphs as text: entries, exits, and leaf calls, which take one line for both.

Source: kernel/trace/trace_entries.h (funcgraph_entry, funcgraph_exit), and trace-cmd's columns.
"""

from __future__ import annotations

from collections.abc import Callable

from ..decode.eventformat import EventFormat
from ..decode.renderers import RecordText, unpacker
from ..source import Trace

_ENTRIES = ("funcgraph_entry", "fgraph_retaddr_entry")
_NESTED = "             |  "
_ERRORS_FROM = (1 << 64) - 4095
_M64 = (1 << 64) - 1

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


class GraphText:
    """The texts of the graph tracer's events."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._indents = [" " * (2 * depth) for depth in range(256)]
        self._entries: dict[int, EventFormat] = {}
        self._readers: dict[int, Reader] = {}
        self._retaddr: dict[int, Reader] = {}
        self._return: Reader | None = None
        self._return_id = -1
        self._retval: Reader | None = None
        self._names = trace.context.names
        self._words: dict[int, str] = {}
        self._find_formats()
        self._texts: dict[int, dict[int, str]] = {}

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
        form = formats.named("ftrace", "funcgraph_exit")
        if form is not None and form.field("calltime") is not None:
            self._return = self._exit_reader(form)
            self._retval = unpacker(form, context, "retval")
            self._return_id = form.id if self._return is not None else -1
            self._return_needs = form.bytes_needed

    def _exit_reader(self, form: EventFormat) -> Reader | None:
        """Type, pid, func, depth, calltime and rettime of an exit."""
        return unpacker(form, self._trace.context, "common_type", "common_pid", "func", "depth", "calltime", "rettime")

    def is_entry(self, number: int) -> bool:
        """Whether an event type is the entry of a call."""
        return number in self._entries

    def exit_text(self, number: int) -> RecordText | None:
        """The renderer of exits, when `number` is their type."""
        return self._exit if number == self._return_id else None

    def _indent(self, depth: int) -> str:
        depth &= 0x7FFFFFFF
        return self._indents[depth] if depth < 256 else " " * (2 * min(depth, 4096))

    def _number(self, page: bytes, offset: int) -> int:
        return int.from_bytes(page[offset : offset + 2], "little" if self._trace.order == "<" else "big")

    def nested(self, page: bytes, offset: int, size: int, cpu: int) -> str:
        """A call whose exit comes later: `|  f() {`."""
        number = self._number(page, offset)
        function, depth = self._readers[number](page, offset)
        known = self._trace.context.symbols[function][0]
        where = self._caller(number, page, offset)
        args = self._args(number, page, offset, size, function)
        if known:
            return f"{_NESTED}{self._indent(depth)}{known}({args}){where} {{"
        name = f"{function:x}()" if where else ")"
        return f"{_NESTED}{self._indent(depth)}{name}{where} {{"

    def _caller(self, number: int, page: bytes, offset: int) -> str:
        read = self._retaddr.get(number)
        name = self._trace.context.symbols[read(page, offset)[0]][0] if read is not None else ""
        return f" /* <-{name} */" if name else ""

    def _args(self, number: int, page: bytes, offset: int, size: int, function: int) -> str:
        field = self._entries[number].field("args")
        if field is None or size <= field.offset:
            return ""
        width = self._trace.long_bytes
        order = "little" if self._trace.order == "<" else "big"
        values = [
            int.from_bytes(page[at : at + width], order)  # type: ignore[arg-type]
            for at in range(offset + field.offset, offset + size - width + 1, width)
        ]
        return self._trace.argument_text(function, values)

    def leaf(self, page: bytes, offset: int, size: int, next_page: bytes, next_offset: int, next_size: int) -> str | None:
        """The line of a call that the next record ends; None when it does not."""
        if self._return is None or next_size < self._return_needs:
            return None
        number, pid, function, _, called, returned = self._return(next_page, next_offset)
        if number != self._return_id:
            return None
        mine = self._number(page, offset)
        own, depth = self._readers[mine](page, offset)
        if own != function or page[offset + 4 : offset + 8] != next_page[next_offset + 4 : next_offset + 8]:
            return None
        text = duration_text(returned - called & _M64) + self._indent(depth)
        known = self._trace.context.symbols[function][0]
        if known:
            text += f"{known}({self._args(mine, page, offset, size, function)});"
        else:
            text += f"{function:x}();"
        text += self._caller(mine, page, offset)
        return text + self._retval_text(next_page, next_offset) if self._retval is not None else text

    def _retval_text(self, page: bytes, offset: int) -> str:
        assert self._retval is not None
        value = self._retval(page, offset)[0] & _M64
        return f" (ret={value - (1 << 64)})" if value >= _ERRORS_FROM else f" (ret=0x{value:x})"

    def _exit(self, page: bytes, offset: int, size: int, cpu: int) -> str:
        """The end of a call that began in an earlier line: `|  }`."""
        assert self._return is not None
        _, _, _, depth, called, returned = self._return(page, offset)
        text = f"{duration_text(returned - called & _M64)}{self._indent(depth)}}}"
        return text + self._retval_text(page, offset) if self._retval is not None else text
