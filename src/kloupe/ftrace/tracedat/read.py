"""trace.dat files, versions 6 and 7, as trace-cmd writes them: formats, names, symbols, and the pages of each CPU.

Only the tables are kept in memory; pages are read when they are asked for. What a damaged file still holds can be read:
`problems` says what is missing. Source: see parts.py. Pages: see ringpage.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from heapq import merge
from typing import NamedTuple

from ...base.errors import FormatError, NotSupported
from ...base.record import field, record
from ..ringpage import read_page
from . import parts
from .compress import decompressor
from .cursor import Cursor, FileCursor, open_file

_LARGEST = 1 << 31
_BTF_MAGIC = (b"\x9f\xeb", b"\xeb\x9f")


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


@record
class Buffer:
    """The pages of one tracing instance. The main one has the name ""."""

    name: str
    clock: str
    page_bytes: int
    cpus: list[CpuData] = field(default_factory=list)


class TraceFile:
    """A trace.dat. Raises UsageError when it cannot be read, FormatError for another or damaged file, NotSupported for a compression.

    `formats`: event id -> (system, event, text of its format file); `comms`: thread -> name; `tgids`: thread -> process, where
    that was recorded; `uname`: system, host, release and machine; `clock`: the trace clock ("local", "mono", "boot", ...);
    `order` and `long_bytes` are those of the kernel that was traced.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.formats: dict[int, tuple[str, str, str]] = {}
        self.comms: dict[int, str] = {}
        self.tgids: dict[int, int] = {}
        self.clock = "local"
        self.uname = ""
        self.writer = ""
        self.cpu_count = 0
        self.cpu_stats: list[str] = []
        self.offset_ns = 0
        self.latency_text = ""
        self.all_buffers: list[Buffer] = []
        self.problems: list[str] = []
        self.page_header = self.event_header = ""
        self.printk_formats = b""
        self.compression = "none"
        self._places: dict[int, list[int]] = {}
        self._kallsyms: tuple[int, int] | None = None
        self._fd, self._size = open_file(path)
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()

    def __enter__(self) -> TraceFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def buffers(self) -> list[CpuData]:
        """The CPUs of the main buffer."""
        return self.all_buffers[0].cpus if self.all_buffers else []

    def _cursor(self, at: int) -> FileCursor:
        return FileCursor(self._fd, self._size, self.path, self.order, at)

    def _read(self) -> None:
        self.order = "<"
        head = self._cursor(0)
        if os.pread(self._fd, len(parts.MAGIC), 0) != parts.MAGIC:
            raise FormatError(self.path, 0, "not a trace.dat file")
        head.at = len(parts.MAGIC)
        version = head.text()
        if version not in ("6", "7"):
            raise NotSupported(f"{self.path}: trace.dat version {version}", hint="versions 6 and 7 can be read")
        self.version = int(version)
        self.order = head.order = "<" if head.number(1) == 0 else ">"
        self.long_bytes = head.number(1)
        self.page_bytes = head.number(4)
        if self.long_bytes not in (4, 8) or not 1024 <= self.page_bytes <= 1 << 24:
            raise FormatError(self.path, head.at, "impossible sizes")
        if self.version == 6:
            self._read_6(head)
        else:
            self._read_7(head)
        self._cut_buffers()

    def _cut_buffers(self) -> None:
        """Keep of each CPU's pages what the file has."""
        for buffer in self.all_buffers:
            for index, place in enumerate(buffer.cpus):
                missing = place.offset + place.size - self._size
                if place.size and missing > 0:
                    self.problems.append(f"the file ends {missing} bytes before the data of CPU {place.cpu} does")
                    buffer.cpus[index] = place._replace(size=max(0, place.size - missing))

    # -- version 6 ------------------------------------------------------------------------------------------------

    def _read_6(self, c: FileCursor) -> None:
        self._read_headers(c)
        self._read_ftrace_events(c)
        self._read_event_formats(c)
        size = c.number(4)
        self._kallsyms = (c.at, size)
        c.at += size
        self.printk_formats = c.take(c.number(4))
        self._read_comms(c)
        cpus = c.number(4)
        word = c.take(10)
        extra: list[tuple[str, int]] = []
        if word == parts.OPTIONS_WORD:
            while (option := c.number(2)) != parts.DONE:
                data = Cursor(c.take(c.number(4)), self.path, self.order, c.at)
                if option == parts.BUFFER:
                    offset = data.number(8)
                    extra.append((data.text(), offset))
                else:
                    self._take_option(option, data)
            word = c.take(10)
        if word == parts.LATENCY_WORD:
            self.latency_text = c.take(self._size - c.at).decode("utf-8", "replace")
            return
        if word != parts.RECORD_WORD:
            raise FormatError(self.path, c.at - 10, "neither options nor data")
        self._add_buffer_6("", c, cpus)
        for name, offset in extra:
            self._add_buffer_6(name, self._cursor(offset), 0)

    def _add_buffer_6(self, name: str, c: FileCursor, cpus: int) -> None:
        """The places of a buffer's CPUs; a further buffer has the word `flyrecord` and a count of its own."""
        if name:
            if c.take(10) == parts.OPTIONS_WORD or not cpus:
                c.at -= 10
            if c.take(10) != parts.RECORD_WORD:
                raise FormatError(self.path, c.at - 10, f"the data of instance {name} is not where it should be")
            cpus = self.cpu_count or len(self.buffers)
        places = [CpuData(cpu, c.number(8), c.number(8)) for cpu in range(min(cpus, parts.MOST_CPUS))]
        self.all_buffers.append(Buffer(name, self.clock, self.page_bytes, places))

    def _take_option(self, option: int, c: Cursor) -> None:
        text = c.data.partition(b"\0")[0].decode("utf-8", "replace")
        if option == parts.CLOCK:
            self.clock = text.partition("[")[2].partition("]")[0] or self.clock
        elif option == parts.UNAME:
            self.uname = text
        elif option == parts.VERSION:
            self.writer = text
        elif option == parts.CPUSTAT:
            self.cpu_stats.append(text)
        elif option == parts.CPUCOUNT:
            self._take_cpu_count(c.number(4))
        elif option == parts.OFFSET:
            self.offset_ns = _offset_ns(text)
        elif option == parts.BTF and self.version == 6:
            self._read_tgids(c.data)

    def _take_cpu_count(self, count: int) -> None:
        """Tables as large as a damaged number says would not fit into memory."""
        if count <= parts.MOST_CPUS:
            self.cpu_count = count
        else:
            self.problems.append(f"{self.path}: it says that there are {count} CPUs, which cannot be")

    # -- version 7 ------------------------------------------------------------------------------------------------

    def _read_7(self, c: FileCursor) -> None:
        self.compression = c.text()
        c.text()  # its version
        at = c.number(8)
        if at >= self._size:
            raise FormatError(self.path, self._size, "the file ends before its table of contents: its end is missing")
        seen: set[int] = set()
        while at and at not in seen:
            seen.add(at)
            at = self._read_options(at)
        readers: tuple[tuple[int, Callable[[Cursor], None]], ...] = (
            (parts.HEADERS, self._read_headers),
            (parts.EVENT_FORMATS, self._read_event_formats),
            (parts.FTRACE_EVENTS, self._read_ftrace_events),
            (parts.CMDLINES, self._read_comms),
            (parts.PRINTK, self._read_printk),
            (parts.BTF, lambda part: self._read_tgids(_unsized(part))),
        )
        for kind, read in readers:
            for offset in self._places.get(kind, ()):
                if kind != parts.BTF or not self._is_large(offset):
                    read(self._section(offset, kind))

    def _is_large(self, offset: int) -> bool:
        """Whether a section is the kernel's BTF and no list of threads: both have had this number."""
        c = self._cursor(offset + 8)
        return c.number(8) > 1 << 18

    def _read_options(self, at: int) -> int:
        """Read one section of options; gives where the next one is (0: nowhere)."""
        c = self._section(at, parts.DONE)
        while c.at < len(c.data):
            option, size = c.number(2), c.number(4)
            value = Cursor(c.take(size), self.path, self.order, c.base + c.at - size)
            if option == parts.DONE:
                return value.number(8)
            if option == parts.BUFFER:
                self._read_buffer(value)
            elif option == parts.BUFFER_TEXT:
                text = self._section(value.number(8), parts.BUFFER_TEXT)
                self.latency_text = text.data[text.at :].decode("utf-8", "replace")
            elif parts.HEADERS <= option <= parts.CMDLINES or option in (parts.BTF, parts.MODULES):
                self._places.setdefault(option, []).append(value.number(8))
            else:
                self._take_option(option, value)
        return 0

    def _section(self, offset: int, kind: int) -> Cursor:
        """The content of a section: u16 kind, u16 flags, u32 description, u64 size, content."""
        c = self._cursor(offset)
        found, flags = c.number(2), c.number(2)
        c.number(4)
        size = c.number(8)
        if found != kind:
            raise FormatError(self.path, offset, f"a section of kind {found} where {kind} was expected")
        content = c.take(size)
        if flags & parts.COMPRESSED:
            content = self._chunk(Cursor(content, self.path, self.order, offset))
        return Cursor(content, self.path, self.order, offset)

    def _chunk(self, c: Cursor) -> bytes:
        stored, raw = c.number(4), c.number(4)
        if raw > _LARGEST:
            raise FormatError(self.path, c.base + c.at, f"a chunk of {raw} bytes")
        content = decompressor(self.compression)(c.take(stored), raw, self.path)
        if len(content) != raw:
            raise FormatError(self.path, c.base + c.at, "a compressed chunk has the wrong length")
        return content

    def _read_buffer(self, c: Cursor) -> None:
        """u64 section, name, clock, u32 page size, u32 CPUs, and each {u32 CPU, u64 offset, u64 size}."""
        c.number(8)
        name, clock, page_bytes = c.text(), c.text(), c.number(4)
        places = [CpuData(c.number(4), c.number(8), c.number(8)) for _ in range(min(c.number(4), parts.MOST_CPUS))]
        buffer = Buffer(name, clock or self.clock, page_bytes or self.page_bytes, places)
        if buffer.page_bytes < 64 or buffer.page_bytes > 1 << 24:
            raise FormatError(self.path, c.base, f"pages of {buffer.page_bytes} bytes")
        if not self.all_buffers:
            self.page_bytes, self.clock = buffer.page_bytes, buffer.clock
        self.all_buffers.append(buffer)

    # -- parts of both --------------------------------------------------------------------------------------------

    def _read_headers(self, c: Cursor) -> None:
        for word in ("header_page", "header_event"):
            if c.text() != word:
                raise FormatError(self.path, c.at, f"no {word}")
            text = c.take(c.number(8)).decode("utf-8", "replace")
            if word == "header_page":
                self._take_page_header(text)
            else:
                self.event_header = text

    def _take_page_header(self, text: str) -> None:
        """The size of the field `commit` is that of the kernel's long (the file's own is that of trace-cmd)."""
        self.page_header = text
        size = text.partition("commit;")[2].partition("size:")[2].partition(";")[0].strip()
        if size in ("4", "8"):
            self.long_bytes = int(size)

    def _add_format(self, system: str, text: str) -> None:
        name = text.partition("name: ")[2].partition("\n")[0].strip()
        number = text.partition("ID: ")[2].partition("\n")[0].strip()
        if name and number.isdecimal() and len(number) < 10:
            self.formats[int(number)] = (system, name, text)

    def _read_ftrace_events(self, c: Cursor) -> None:
        for _ in range(c.number(4)):
            self._add_format("ftrace", c.take(c.number(8)).decode("utf-8", "replace"))

    def _read_event_formats(self, c: Cursor) -> None:
        for _ in range(c.number(4)):
            system = c.text()
            for _ in range(c.number(4)):
                self._add_format(system, c.take(c.number(8)).decode("utf-8", "replace"))

    def _read_printk(self, c: Cursor) -> None:
        self.printk_formats = c.take(c.number(4))

    def _read_comms(self, c: Cursor) -> None:
        for line in c.take(c.number(8)).decode("utf-8", "replace").splitlines():
            number, _, name = line.strip().partition(" ")
            if number.isdecimal():
                self.comms.setdefault(int(number), name)

    def _read_tgids(self, data: bytes) -> None:
        if data[:2] in _BTF_MAGIC:
            return
        for line in data.decode("utf-8", "replace").splitlines():
            words = line.split()
            if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal():
                self.tgids[int(words[0])] = int(words[1])

    def kallsyms(self) -> bytes:
        """The kernel's symbols, as /proc/kallsyms has them; empty when the file has none."""
        if self._kallsyms is not None:
            at, size = self._kallsyms
            return self._cursor(at).take(size)
        for offset in self._places.get(parts.KALLSYMS, ()):
            c = self._section(offset, parts.KALLSYMS)
            return c.take(c.number(4))
        return b""

    def btf(self) -> bytes:
        """The kernel's types, as /sys/kernel/btf/vmlinux has them; empty when the file has none."""
        for offset in self._places.get(parts.BTF, ()):
            data = _unsized(self._section(offset, parts.BTF))
            if data[:2] in _BTF_MAGIC:
                return data
        return b""

    def section_places(self) -> list[tuple[str, int]]:
        """(what it is, offset) of the sections that the table of contents of a version 7 file names."""
        return [(parts.NAMES[kind], at) for kind, places in sorted(self._places.items()) for at in places]

    # -- pages and events -----------------------------------------------------------------------------------------

    def pages(self, buffer: Buffer, place: CpuData) -> Iterator[bytes]:
        """The pages of a CPU, in order; a last one may be cut. Raises FormatError."""
        c = self._cursor(place.offset)
        end = place.offset + place.size
        if not self._is_compressed():
            while c.at < end:
                yield c.take(min(buffer.page_bytes, end - c.at))
            return
        rest = b""
        for _ in range(c.number(4) if place.size >= 4 else 0):
            rest += self._chunk(c)
            whole = len(rest) // buffer.page_bytes * buffer.page_bytes
            for at in range(0, whole, buffer.page_bytes):
                yield rest[at : at + buffer.page_bytes]
            rest = rest[whole:]

    def _is_compressed(self) -> bool:
        return self.version == 7 and self.compression != "none"

    def raw_size(self, place: CpuData) -> int:
        """About how many bytes a CPU's pages are, uncompressed."""
        return place.size * 4 if self._is_compressed() else place.size

    def sample(self, buffer: Buffer, place: CpuData, count: int) -> Iterator[bytes]:
        """About `count` pages of a CPU from all over; damage ends them."""
        size = buffer.page_bytes
        try:
            if not self._is_compressed():
                for index in range(0, place.size // size, max(1, place.size // size // max(1, count))):
                    yield self._cursor(place.offset + index * size).take(size)
                return
            c = self._cursor(place.offset)
            chunks = c.number(4)
            for index in range(chunks):
                stored, _ = c.number(4), c.number(4)
                if index % max(1, chunks // max(1, count)) == 0:
                    c.at -= 8
                    yield self._chunk(c)[:size]
                else:
                    c.at += stored
        except FormatError:
            return

    def events(self) -> Iterator[Event]:
        """All events of the main buffer, oldest first."""
        return merge(*(self.cpu_events(place) for place in self.buffers if place.size), key=lambda event: event.time_ns)

    def cpu_events(self, place: CpuData) -> Iterator[Event]:
        """The events of one CPU of the main buffer, in order."""
        for page in self.pages(self.all_buffers[0], place):
            for time_ns, data in read_page(page, self.order, self.long_bytes, self.path):
                yield Event(time_ns, place.cpu, data)


def _unsized(c: Cursor) -> bytes:
    """A section's content behind its size; trace-cmd writes none before the kernel's types."""
    return c.data[c.at :] if c.data[c.at : c.at + 2] in _BTF_MAGIC else c.take(c.number(8))


def _offset_ns(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return 0
