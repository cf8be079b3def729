"""Writes trace.dat files, versions 6 and 7, that trace-cmd and KernelShark open. Source: see parts.py.

Pages are copied a chunk at a time, so that the memory needed does not grow with the trace.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import BinaryIO

from ...base.errors import UsageError
from . import parts
from .compress import compressor
from .tables import Tables

_CHUNK_PAGES = 64
Pages = tuple[int, Iterable[bytes]]  # a CPU and its pages
_TITLES = {
    parts.HEADERS: "headers", parts.FTRACE_EVENTS: "ftrace events", parts.EVENT_FORMATS: "events format",
    parts.KALLSYMS: "kallsyms", parts.PRINTK: "printk", parts.CMDLINES: "command lines", parts.BTF: "BTF",
    parts.BUFFER: "buffer flyrecord", parts.DONE: "options", parts.STRINGS: "metadata strings",
}  # fmt: skip


class _Bytes:
    """Numbers and strings in the file's byte order."""

    def __init__(self, order: str) -> None:
        self._structs = {size: Struct(f"{order}{code}") for size, code in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))}

    def number(self, value: int, size: int) -> bytes:
        """An integer of `size` bytes."""
        return self._structs[size].pack(value)

    def sized(self, data: bytes, size: int) -> bytes:
        """A length and the data."""
        return self.number(len(data), size) + data


def write_trace(
    path: str,
    tables: Tables,
    buffers: Sequence[tuple[str, Sequence[Pages]]],
    *,
    version: int = 7,
    compression: str = "none",
) -> None:
    """Write a trace.dat with these instances ((name, pages of each CPU); the main one first, named "").

    Raises UsageError when the file cannot be written or version 6 cannot hold all instances (nothing is written then),
    NotSupported for a compression that is not there.
    """
    if version == 6 and len(buffers) > 1:
        names = ", ".join(name or "the main one" for name, _ in buffers)
        raise UsageError(
            f"a file of version 6 holds one instance, and these are {len(buffers)}: {names}",
            hint="--file-version 7 keeps all, --instance NAME chooses one",
        )
    try:
        with open(path, "wb") as file:
            if version == 6:
                _Writer6(file, tables).write(buffers)
            else:
                _Writer7(file, tables, compression).write(buffers)
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}") from None


class _Writer:
    version = 0

    def __init__(self, file: BinaryIO, tables: Tables) -> None:
        self.file = file
        self.tables = tables
        self.bytes = _Bytes(tables.order)

    def _head(self) -> bytes:
        tables, number = self.tables, self.bytes.number
        endian = 0 if tables.order == "<" else 1
        return (
            parts.MAGIC
            + b"%d\0" % self.version
            + number(endian, 1)
            + number(tables.long_bytes, 1)
            + number(tables.page_bytes, 4)
        )

    def _tables(self) -> dict[int, bytes]:
        tables, sized, number = self.tables, self.bytes.sized, self.bytes.number
        own = [text for system, text in tables.formats if system == "ftrace"]
        systems: dict[str, list[bytes]] = {}
        for system, text in tables.formats:
            if system != "ftrace":
                systems.setdefault(system, []).append(text)
        formats = b"".join(
            name.encode() + b"\0" + number(len(texts), 4) + b"".join(sized(text, 8) for text in texts)
            for name, texts in systems.items()
        )
        found = {
            parts.HEADERS: b"header_page\0"
            + sized(tables.header_page, 8)
            + b"header_event\0"
            + sized(tables.header_event, 8),
            parts.FTRACE_EVENTS: number(len(own), 4) + b"".join(sized(text, 8) for text in own),
            parts.EVENT_FORMATS: number(len(systems), 4) + formats,
            parts.KALLSYMS: sized(tables.kallsyms, 4),
            parts.PRINTK: sized(tables.printk_formats, 4),
            parts.CMDLINES: sized(tables.comms, 8),
        }
        if tables.btf:
            found[parts.BTF] = tables.btf
        return found

    def _options(self) -> list[tuple[int, bytes]]:
        from ... import __version__

        tables = self.tables
        found = [(parts.CPUSTAT, text.encode() + b"\0") for text in tables.cpu_stats]
        found += [
            (parts.CPUCOUNT, self.bytes.number(tables.cpu_count, 4)),
            (parts.CLOCK, (tables.clocks or f"[{tables.clock}]").encode() + b"\0"),
            (parts.UNAME, tables.uname.encode() + b"\0"),
            (parts.VERSION, f"kloupe {__version__}".encode() + b"\0"),
        ]
        return found

    def _option(self, number: int, data: bytes) -> bytes:
        return self.bytes.number(number, 2) + self.bytes.sized(data, 4)

    def _align(self) -> int:
        """Fill up to a page; gives the place."""
        at = self.file.tell()
        self.file.write(bytes(-at % self.tables.page_bytes))
        return self.file.tell()


class _Writer6(_Writer):
    version = 6

    def write(self, buffers: Sequence[tuple[str, Sequence[Pages]]]) -> None:
        """The whole file. Of version 6 there is one buffer."""
        tables = self._tables()
        order = (parts.HEADERS, parts.FTRACE_EVENTS, parts.EVENT_FORMATS, parts.KALLSYMS, parts.PRINTK, parts.CMDLINES)
        cpus = list(buffers[0][1]) if buffers else []
        count = max([self.tables.cpu_count, *(cpu + 1 for cpu, _ in cpus)])
        self.file.write(self._head() + b"".join(tables[kind] for kind in order) + self.bytes.number(count, 4))
        options = b"".join(self._option(number, data) for number, data in self._options())
        self.file.write(parts.OPTIONS_WORD + options + self.bytes.number(parts.DONE, 2) + parts.RECORD_WORD)
        places_at = self.file.tell()
        self.file.write(bytes(16 * count))
        places = [(0, 0)] * count
        for cpu, pages in cpus:
            start = self._align()
            for page in pages:
                self.file.write(page)
            places[cpu] = (start, self.file.tell() - start)
        end = self._align()
        self.file.seek(places_at)
        for start, size in places:
            self.file.write(self.bytes.number(start or end, 8) + self.bytes.number(size, 8))


class _Writer7(_Writer):
    version = 7

    def __init__(self, file: BinaryIO, tables: Tables, compression: str) -> None:
        super().__init__(file, tables)
        self._compression = compression
        self._pack, self._pack_version = compressor(compression)
        self._strings = b""

    def write(self, buffers: Sequence[tuple[str, Sequence[Pages]]]) -> None:
        """The whole file: head, tables, buffers, strings, and the table of contents, whose place the head gets last."""
        number = self.bytes.number
        self.file.write(self._head() + self._compression.encode() + b"\0" + self._pack_version.encode() + b"\0")
        contents_at = self.file.tell()
        self.file.write(number(0, 8))
        options = self._options()
        for kind, content in self._tables().items():
            options.append((kind, number(self._section(kind, content), 8)))
        for name, cpus in buffers:
            options.append((parts.BUFFER, self._buffer(name, cpus)))
        strings_at = self._section(parts.STRINGS, b"", titles=True)
        options.append((parts.STRINGS, number(strings_at, 8)))
        body = b"".join(self._option(kind, data) for kind, data in options) + self._option(parts.DONE, number(0, 8))
        contents = self._header(parts.DONE, len(body), compressed=False)
        self.file.write(body)
        self.file.seek(contents_at)
        self.file.write(number(contents, 8))

    def _title(self, kind: int) -> int:
        """The id of a section's name: its place among the strings."""
        at = len(self._strings)
        self._strings += _TITLES[kind].encode() + b"\0"
        return at

    def _header(self, kind: int, size: int, *, compressed: bool) -> int:
        """A section's header; gives its place."""
        number, at = self.bytes.number, self.file.tell()
        flags = parts.COMPRESSED if compressed else 0
        self.file.write(number(kind, 2) + number(flags, 2) + number(self._title(kind), 4) + number(size, 8))
        return at

    def _section(self, kind: int, content: bytes, *, titles: bool = False) -> int:
        compress = self._compression != "none" and not titles
        if titles:
            self._title(parts.DONE)
            content = self._strings + _TITLES[kind].encode() + b"\0"
        if compress:
            stored = self._pack(content)
            content = self.bytes.number(len(stored), 4) + self.bytes.number(len(content), 4) + stored
        at = self._header(kind, len(content), compressed=compress)
        self.file.write(content)
        return at

    def _buffer(self, name: str, cpus: Sequence[Pages]) -> bytes:
        """Write the section of an instance; gives the option that describes it."""
        number, tables = self.bytes.number, self.tables
        compress = self._compression != "none"
        start = self._header(parts.BUFFER, 0, compressed=compress)
        places = b""
        for cpu, pages in cpus:
            at = self._align()
            size = self._write_compressed(pages) if compress else self._write_plain(pages)
            places += number(cpu, 4) + number(at, 8) + number(size, 8)
        end = self._align()
        self.file.seek(start + 8)
        self.file.write(number(end - start - 16, 8))
        self.file.seek(end)
        head = number(start, 8) + name.encode() + b"\0" + tables.clock.encode() + b"\0"
        return head + number(tables.page_bytes, 4) + number(len(cpus), 4) + places

    def _write_plain(self, pages: Iterable[bytes]) -> int:
        at = self.file.tell()
        for page in pages:
            self.file.write(page)
        return self.file.tell() - at

    def _write_compressed(self, pages: Iterable[bytes]) -> int:
        at, count = self.file.tell(), 0
        self.file.write(self.bytes.number(0, 4))
        for chunk in _chunks(pages):
            stored = self._pack(chunk)
            self.file.write(self.bytes.number(len(stored), 4) + self.bytes.number(len(chunk), 4) + stored)
            count += 1
        end = self.file.tell()
        self.file.seek(at)
        self.file.write(self.bytes.number(count, 4))
        self.file.seek(end)
        return end - at if count else 0


def _chunks(pages: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    for page in pages:
        held.append(page)
        if len(held) == _CHUNK_PAGES:
            yield b"".join(held)
            held.clear()
    if held:
        yield b"".join(held)


def file_pages(path: str, page_bytes: int) -> Iterator[bytes]:
    """The pages of a file of pages; a last one that is cut is filled with zeros."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while data := os.read(fd, page_bytes * _CHUNK_PAGES):
            for at in range(0, len(data), page_bytes):
                yield data[at : at + page_bytes].ljust(page_bytes, b"\0")
    finally:
        os.close(fd)


def sample_pages(path: str, page_bytes: int, count: int) -> Iterator[bytes]:
    """About `count` pages from all over a file of pages."""
    pages = os.path.getsize(path) // page_bytes
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for index in range(0, pages, max(1, pages // max(1, count))):
            yield os.pread(fd, page_bytes, index * page_bytes)
    finally:
        os.close(fd)
