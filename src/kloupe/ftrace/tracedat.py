"""trace.dat files, versions 6 and 7, as trace-cmd writes them: formats of events, names of tasks, and the events in order of time.

Source: trace-cmd's documentation of its file format (trace-cmd.dat.v6(5), trace-cmd.dat.v7(5)). Pages: see ringpage.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from heapq import merge
from importlib import import_module
from typing import NamedTuple

from ..base.errors import FormatError, NotSupported, UsageError
from .ringpage import read_page

MAGIC = b"\x17\x08\x44tracing"
_LARGEST = 1 << 31
_OPTIONS_WORD, _RECORD_WORD, _LATENCY_WORD = b"options  \0", b"flyrecord\0", b"latency  \0"
# Options, and in version 7 sections. Those of one file part are the same in both.
DONE, BUFFER, CLOCK, UNAME = 0, 3, 4, 5
HEADERS, FTRACE_EVENTS, EVENT_FORMATS, CMDLINES, TGIDS = 16, 17, 18, 21, 23
_COMPRESSED = 1  # flag of a section


class Event(NamedTuple):
    """One event: nanoseconds on the file's clock, CPU, and the record as tracepoint programs get it (common fields first)."""

    time_ns: int
    cpu: int
    data: bytes


class CpuData(NamedTuple):
    """Where a CPU's pages are in the file."""

    cpu: int
    offset: int
    size: int


class _Cursor:
    """Reads values from bytes. Raises FormatError at the end."""

    def __init__(self, data: bytes, path: str, order: str, at: int = 0) -> None:
        self.data, self.path, self.order, self.at = data, path, order, at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if not 0 <= size <= len(self.data) - self.at:
            raise FormatError(self.path, self.at, f"the file ends before {size} more bytes")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        """The next integer."""
        return int.from_bytes(self.take(size), "little" if self.order == "<" else "big")

    def text(self) -> str:
        """The next string that ends with NUL."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise FormatError(self.path, self.at, "a string does not end")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8", "replace")


class TraceFile:
    """A trace.dat. Raises UsageError when it cannot be read, FormatError for another or damaged file, NotSupported for a compression.

    `formats`: event id -> (system, event, text of its format file); `comms`: thread -> name; `tgids`: thread -> process, where
    that was recorded; `uname`: system, host, release and machine; `clock`: the trace clock ("local", "mono", "boot", ...).
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.formats: dict[int, tuple[str, str, str]] = {}
        self.comms: dict[int, str] = {}
        self.tgids: dict[int, int] = {}
        self.clock = "local"
        self.uname = ""
        self.buffers: list[CpuData] = []
        try:
            with open(path, "rb") as file:
                self._data = file.read()
        except OSError as error:
            raise UsageError(f"cannot read '{path}': {error.strerror}") from None
        if not self._data.startswith(MAGIC):
            raise FormatError(path, 0, "not a trace.dat file")
        head = _Cursor(self._data, path, "<", len(MAGIC))
        version = head.text()
        if version not in ("6", "7"):
            raise NotSupported(f"{path}: trace.dat version {version}", hint="versions 6 and 7 can be read")
        self.version = int(version)
        self.order = "<" if head.number(1) == 0 else ">"
        head.order = self.order
        self.long_bytes = head.number(1)
        self.page_bytes = head.number(4)
        if self.long_bytes not in (4, 8) or not 1024 <= self.page_bytes <= 1 << 24:
            raise FormatError(path, head.at, "impossible sizes")
        self._compression = "none"
        if self.version == 6:
            self._read_6(head)
        else:
            self._read_7(head)

    # -- version 6 ------------------------------------------------------------------------------------------------

    def _read_6(self, c: _Cursor) -> None:
        self._read_headers(c)
        self._read_ftrace_events(c)
        self._read_event_formats(c)
        c.take(c.number(4))  # kallsyms
        c.take(c.number(4))  # formats of trace_printk
        self._read_comms(c)
        cpus = c.number(4)
        word = c.take(10)
        if word == _OPTIONS_WORD:
            while (option := c.number(2)) != DONE:
                self._take_option(option, _Cursor(c.take(c.number(4)), self.path, self.order))
            word = c.take(10)
        if word == _LATENCY_WORD:
            raise NotSupported(f"{self.path} holds text of a latency tracer, no events")
        if word != _RECORD_WORD:
            raise FormatError(self.path, c.at - 10, "neither options nor data")
        self.buffers = [CpuData(cpu, c.number(8), c.number(8)) for cpu in range(min(cpus, 1 << 16))]

    def _take_option(self, option: int, c: _Cursor) -> None:
        if option == CLOCK:
            text = c.data.partition(b"\0")[0].decode("utf-8", "replace")
            self.clock = text.partition("[")[2].partition("]")[0] or self.clock
        elif option == UNAME:
            self.uname = c.data.partition(b"\0")[0].decode("utf-8", "replace")
        elif option == TGIDS and self.version == 6:
            self._read_tgids(c.data)

    # -- version 7 ------------------------------------------------------------------------------------------------

    def _read_7(self, c: _Cursor) -> None:
        self._compression = c.text()
        c.text()  # its version
        at = c.number(8)
        seen: set[int] = set()
        parts: dict[int, list[int]] = {}
        while at and at not in seen:
            seen.add(at)
            at = self._read_options(at, parts)
        readers: tuple[tuple[int, Callable[[_Cursor], None]], ...] = (
            (HEADERS, self._read_headers),
            (EVENT_FORMATS, self._read_event_formats),
            (FTRACE_EVENTS, self._read_ftrace_events),
            (CMDLINES, self._read_comms),
            (TGIDS, lambda part: self._read_tgids(part.take(part.number(8)))),
        )
        for kind, read in readers:
            for offset in parts.get(kind, ()):
                read(self._section(offset, kind))

    def _read_options(self, at: int, parts: dict[int, list[int]]) -> int:
        """Read one section of options; gives where the next one is (0: nowhere)."""
        c = self._section(at, DONE)
        while c.at < len(c.data):
            option, size = c.number(2), c.number(4)
            value = _Cursor(c.take(size), self.path, self.order)
            if option == DONE:
                return value.number(8)
            if option == BUFFER:
                self._read_buffer(value)
            elif HEADERS <= option <= TGIDS:
                parts.setdefault(option, []).append(value.number(8))
            else:
                self._take_option(option, value)
        return 0

    def _section(self, offset: int, kind: int) -> _Cursor:
        """The content of a section: u16 kind, u16 flags, u32 description, u64 size, content."""
        c = _Cursor(self._data, self.path, self.order, offset)
        found, flags = c.number(2), c.number(2)
        c.number(4)
        content = c.take(c.number(8))
        if found != kind:
            raise FormatError(self.path, offset, f"a section of kind {found} where {kind} was expected")
        if flags & _COMPRESSED:
            content = self._chunk(_Cursor(content, self.path, self.order))
        return _Cursor(content, self.path, self.order)

    def _chunk(self, c: _Cursor) -> bytes:
        stored, raw = c.number(4), c.number(4)
        return self._inflate(c.take(stored), raw)

    def _inflate(self, data: bytes, size: int) -> bytes:
        if size > _LARGEST:
            raise FormatError(self.path, 0, f"a chunk of {size} bytes")
        content = decompressor(self._compression)(data, size, self.path)
        if len(content) != size:
            raise FormatError(self.path, 0, "a compressed chunk has the wrong length")
        return content

    def _read_buffer(self, c: _Cursor) -> None:
        """u64 section, name, clock, u32 page size, u32 CPUs, and each {u32 CPU, u64 offset, u64 size}. The first is the main one."""
        c.number(8)
        c.text()
        clock = c.text()
        page_bytes = c.number(4)
        places = [CpuData(c.number(4), c.number(8), c.number(8)) for _ in range(min(c.number(4), 1 << 16))]
        if not self.buffers:
            self.buffers, self.page_bytes = places, page_bytes or self.page_bytes
            self.clock = clock or self.clock

    # -- parts of both --------------------------------------------------------------------------------------------

    def _read_headers(self, c: _Cursor) -> None:
        for word in ("header_page", "header_event"):
            if c.text() != word:
                raise FormatError(self.path, c.at, f"no {word}")
            c.take(c.number(8))

    def _add_format(self, system: str, text: str) -> None:
        name = text.partition("name: ")[2].partition("\n")[0].strip()
        number = text.partition("ID: ")[2].partition("\n")[0].strip()
        if name and number.isdecimal():
            self.formats[int(number)] = (system, name, text)

    def _read_ftrace_events(self, c: _Cursor) -> None:
        for _ in range(c.number(4)):
            self._add_format("ftrace", c.take(c.number(8)).decode("utf-8", "replace"))

    def _read_event_formats(self, c: _Cursor) -> None:
        for _ in range(c.number(4)):
            system = c.text()
            for _ in range(c.number(4)):
                self._add_format(system, c.take(c.number(8)).decode("utf-8", "replace"))

    def _read_comms(self, c: _Cursor) -> None:
        for line in c.take(c.number(8)).decode("utf-8", "replace").splitlines():
            number, _, name = line.strip().partition(" ")
            if number.isdecimal():
                self.comms[int(number)] = name

    def _read_tgids(self, data: bytes) -> None:
        for line in data.decode("utf-8", "replace").splitlines():
            words = line.split()
            if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal():
                self.tgids[int(words[0])] = int(words[1])

    # -- events ---------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[Event]:
        """All events of the main buffer, oldest first."""
        return merge(*(self.cpu_events(place) for place in self.buffers if place.size), key=lambda event: event.time_ns)

    def cpu_events(self, place: CpuData) -> Iterator[Event]:
        """The events of one CPU, in order."""
        for page in self._pages(place):
            for time_ns, data in read_page(page, self.order, self.long_bytes, self.path):
                yield Event(time_ns, place.cpu, data)

    def _pages(self, place: CpuData) -> Iterator[bytes]:
        c = _Cursor(self._data, self.path, self.order, place.offset)
        if self.version == 6 or self._compression == "none":
            for _ in range(place.size // self.page_bytes):
                yield c.take(self.page_bytes)
            return
        rest = b""
        for _ in range(c.number(4)):
            rest += self._chunk(c)
            whole = len(rest) // self.page_bytes * self.page_bytes
            for at in range(0, whole, self.page_bytes):
                yield rest[at : at + self.page_bytes]
            rest = rest[whole:]


def _inflate_zlib(data: bytes, size: int, path: str) -> bytes:
    inflate = zlib.decompressobj()
    try:
        return inflate.decompress(data, size + 1)
    except zlib.error as error:
        raise FormatError(path, 0, f"a compressed chunk is damaged: {error}") from None


def _inflate_zstd(data: bytes, size: int, path: str) -> bytes:
    """With what there is for zstd: Python has it from 3.14 on, else the package `zstandard`."""
    try:
        module = import_module("compression.zstd")
        decompress, error = module.decompress, module.ZstdError
    except ImportError:
        try:
            module = import_module("zstandard")
        except ImportError:
            raise NotSupported(
                "the file is compressed with zstd, which this Python does not know",
                hint="pip install zstandard, or record with `trace-cmd record --compression zlib`",
            ) from None
        decompress, error = partial(module.ZstdDecompressor().decompress, max_output_size=size), module.ZstdError
    try:
        return bytes(decompress(data))
    except error as problem:
        raise FormatError(path, 0, f"a compressed chunk is damaged: {problem}") from None


_DECOMPRESSORS: dict[str, Callable[[bytes, int, str], bytes]] = {"zlib": _inflate_zlib, "zstd": _inflate_zstd}


def decompressor(name: str) -> Callable[[bytes, int, str], bytes]:
    """(data, size, path) -> content. Raises NotSupported for a compression that is not known here."""
    if name not in _DECOMPRESSORS:
        raise NotSupported(f"compression {name} of a trace.dat", hint="zlib and zstd can be read")
    return _DECOMPRESSORS[name]
