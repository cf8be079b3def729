"""`kloupe ftrace record`: raw pages of every CPU into a trace.dat."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from ..base.errors import UsageError
from ..ftrace.live import events_of, pages_of_files, read_btf
from ..ftrace.recorder import Recorder
from ..ftrace.tracedat.compress import COMPRESSIONS, has_zstd
from ..ftrace.tracedat.tables import Tables, add_ending, read_tables
from ..ftrace.tracedat.write import write_trace
from .ftrace_options import TRACE, VIEW, Words, parse_words
from .ftrace_tracing import TRACERS, Probes, Tracing, make_request, probe_events, tell_lost, tracing, with_values
from .ftrace_views import require_place
from .options import Option

RECORD: dict[str, Option] = {
    "output": VIEW["output"],
    "tracer": Option(("-t", "--tracer"), "TRACER", "graph, function, or any tracer of this kernel; none: only events"),
    "version": Option(("--file-version",), "6|7", "the version of the file (7)"),
    "compression": Option(("--compression",), "NAME", "none, zlib or zstd (zstd where it is there)"),
}
HEAD = ".head"  # the tables, kept beside the pages until the file is whole


def run(word: str, arguments: list[str]) -> int:
    """Record; gives the exit status of the command, if there was one."""
    words = parse_words(arguments, TRACE | RECORD, takes_command=True)
    version, compression = file_kind(words)
    tracer = words.get("tracer", "events")
    path = words.get("output", "trace.dat")
    require_place(path)
    request = make_request(TRACERS.get(tracer, tracer), words)
    with tracing(request, words) as it:
        probes = with_values(it.session, words)
        tables, recorder = _record(it, path, probes, read_btf() if words.has("args") else b"")
        lost = it.session.lost()
        it.session.close()
    count = sum(os.path.getsize(name) for name in recorder.files.values())
    write_trace(
        path,
        tables,
        [("", pages_of_files(recorder.files, tables.page_bytes))],
        version=version,
        compression=compression,
    )
    recorder.remove()
    with suppress(OSError):
        os.unlink(path + HEAD)
    tell_lost(lost)
    if sys.stderr.isatty():
        sys.stderr.write(f"{path}: {count >> 10} kB of events\n")
    return it.exit_status()


def file_kind(words: Words) -> tuple[int, str]:
    """(version, compression) that the options ask for. Raises UsageError, NotSupported."""
    version = words.get("version", "7")
    default = "none" if version == "6" else "zstd" if has_zstd() else "zlib"
    compression = words.get("compression", default)
    if version not in ("6", "7"):
        raise UsageError(f"--file-version {version!r}: there are 6 and 7")
    if compression not in COMPRESSIONS:
        raise UsageError(f"--compression {compression!r}: there are {', '.join(COMPRESSIONS)}")
    if version == "6" and compression != "none":
        raise UsageError("a file of version 6 cannot be compressed")
    return int(version), compression


def _record(it: Tracing, path: str, probes: Probes, btf: bytes) -> tuple[Tables, Recorder]:
    folder = it.session.folder
    tables = read_tables(folder, events_of(it.session.top, it.session.request) + probe_events(probes))
    tables.btf = btf  # what the arguments of functions are called
    write_trace(path + HEAD, tables, [])
    recorder = Recorder(folder, path, tables.page_bytes)
    try:
        recorder.start()
        it.run()
    finally:
        recorder.finish()
    add_ending(tables, folder)
    return tables, recorder
