"""Traces of this machine: tables from tracefs and files of pages, or another trace's tables with other files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial

from .control.folder import TracingFolder
from .control.request import Request
from .control.setup import matching_events
from .source import Instance, Stream, Trace
from .tracedat.tables import Tables
from .tracedat.write import file_pages, sample_pages


def events_of(top: TracingFolder, request: Request) -> list[tuple[str, str]]:
    """The events that a request switches on."""
    found = [pair for choice in request.events for pair in matching_events(top, choice)]
    return sorted(set(found))


def trace_of_files(tables: Tables, files: Mapping[int, str]) -> Trace:
    """A trace from files of pages, one for each CPU."""
    trace = Trace(
        tables.order,
        tables.long_bytes,
        tables.by_id(),
        parse_comms(tables.comms),
        lambda: tables.kallsyms,
        tables.printk_formats,
    )
    trace.uname = tables.uname
    trace.cpu_count = tables.cpu_count
    trace.btf = read_btf
    streams = [
        Stream(
            cpu,
            partial(file_pages, path, tables.page_bytes),
            os.path.getsize(path),
            partial(sample_pages, path, tables.page_bytes),
        )
        for cpu, path in sorted(files.items())
    ]
    trace.instances = [Instance("", tables.clock, streams)]
    return trace


def parse_comms(data: bytes) -> dict[int, str]:
    """The text of saved_cmdlines."""
    found: dict[int, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        number, _, name = line.strip().partition(" ")
        if number.isdecimal():
            found[int(number)] = name
    return found


def read_btf() -> bytes:
    """The types of this machine's kernel; nothing where it has none."""
    try:
        with open("/sys/kernel/btf/vmlinux", "rb") as file:
            return file.read()
    except OSError:
        return b""


def pages_of_files(files: Mapping[int, str], page_bytes: int) -> list[tuple[int, Iterator[bytes]]]:
    """(CPU, its pages), for a writer."""
    return [(cpu, file_pages(path, page_bytes)) for cpu, path in sorted(files.items())]
