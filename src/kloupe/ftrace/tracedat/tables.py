"""Everything a trace.dat holds besides pages: from tracefs, or from another trace.dat."""

from __future__ import annotations

import os

from ...base.record import field, record
from ..control.folder import TracingFolder
from .read import TraceFile


@record
class Tables:
    """`formats`: (system, text of the format file). Texts and bytes as their files in tracefs and /proc have them."""

    order: str
    long_bytes: int
    page_bytes: int
    header_page: bytes
    header_event: bytes
    formats: list[tuple[str, bytes]]
    kallsyms: bytes = b""
    printk_formats: bytes = b""
    comms: bytes = b""
    clock: str = "local"
    clocks: str = ""  # all of them, the chosen one in brackets
    uname: str = ""
    cpu_count: int = 0
    cpu_stats: list[str] = field(default_factory=list)
    btf: bytes = b""

    def by_id(self) -> dict[int, tuple[str, str, str]]:
        """Event id -> (system, event, text), as decoding wants it."""
        found = {}
        for system, raw in self.formats:
            text = raw.decode("utf-8", "replace")
            name = text.partition("name: ")[2].partition("\n")[0].strip()
            number = text.partition("ID: ")[2].partition("\n")[0].strip()
            if name and number.isdecimal():
                found[int(number)] = (system, name, text)
        return found


def read_tables(folder: TracingFolder, events: list[tuple[str, str]]) -> Tables:
    """The tables for these events and the tracers' own, from a tracing folder of this machine. Raises TargetError."""
    import sys

    top = folder.top
    header = top.read("events/header_page")
    data = header.rpartition("field: char data;")[2]
    offset = int(data.partition("offset:")[2].partition(";")[0])
    size = int(data.partition("size:")[2].partition(";")[0])
    own = sorted(os.listdir(f"{top.path}/events/ftrace")) if top.has("events/ftrace") else []
    names = [("ftrace", name) for name in own if top.has(f"events/ftrace/{name}/format")] + sorted(set(events))
    clocks = folder.get("trace_clock")
    system = os.uname()
    return Tables(
        order="<" if sys.byteorder == "little" else ">",
        long_bytes=offset - 8,
        page_bytes=offset + size,
        header_page=header.encode(),
        header_event=top.read("events/header_event").encode(),
        formats=[(s, top.read(f"events/{s}/{e}/format").encode("utf-8", "surrogateescape")) for s, e in names],
        kallsyms=_bytes_of("/proc/kallsyms"),
        printk_formats=_bytes_of(f"{top.path}/printk_formats"),
        clock=clocks.partition("[")[2].partition("]")[0] or "local",
        clocks=clocks,
        uname=f"{system.sysname} {system.nodename} {system.release} {system.machine}",
        cpu_count=len(folder.cpus()),
    )


def add_ending(tables: Tables, folder: TracingFolder) -> None:
    """What is known only at the end: the names of tasks, the counters of the buffers."""
    tables.comms = _bytes_of(f"{folder.top.path}/saved_cmdlines")
    tables.cpu_stats = [f"CPU: {cpu}\n{folder.read(f'per_cpu/cpu{cpu}/stats')}" for cpu in folder.cpus()]


def _bytes_of(path: str) -> bytes:
    """A file's content; nothing where it cannot be read, as none of these is needed."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def tables_of(file: TraceFile) -> Tables:
    """The tables of a trace.dat."""
    return Tables(
        order=file.order,
        long_bytes=file.long_bytes,
        page_bytes=file.page_bytes,
        header_page=file.page_header.encode(),
        header_event=file.event_header.encode(),
        formats=[(system, text.encode()) for system, _, text in file.formats.values()],
        kallsyms=file.kallsyms(),
        printk_formats=file.printk_formats,
        comms="".join(f"{pid} {name}\n" for pid, name in file.comms.items()).encode(),
        clock=file.clock,
        clocks=f"[{file.clock}]",
        uname=file.uname,
        cpu_count=file.cpu_count or len(file.buffers),
        cpu_stats=file.cpu_stats,
        btf=file.btf(),
    )
