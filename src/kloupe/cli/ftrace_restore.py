"""`kloupe ftrace restore`: put back what killed sessions left in tracefs, and tell who is tracing; or make a file of a broken recording."""

from __future__ import annotations

import glob
import os
from contextlib import suppress

from ..base.errors import UsageError
from ..ftrace.control.folder import TracingFolder
from ..ftrace.control.holders import obstacles, open_files
from ..ftrace.control.journal import living_sessions, restore_killed
from ..ftrace.live import pages_of_files
from ..ftrace.tracedat import TraceFile
from ..ftrace.tracedat.parts import MOST_CPUS
from ..ftrace.tracedat.tables import tables_of
from ..ftrace.tracedat.write import write_trace
from ..host.tracefs import ensure_tracefs
from .ftrace_options import Words, parse_words
from .ftrace_record import HEAD, RECORD, file_kind


def run(word: str, arguments: list[str]) -> int:
    """Restore, and print what was done; 1 when something could not be put back."""
    words = parse_words(arguments, {key: RECORD[key] for key in ("version", "compression")})
    if len(words.plain) > 1:
        raise UsageError("one recording at a time")
    if words.plain:
        return _restore_recording(words.plain[0], words)
    root = ensure_tracefs()
    done = restore_killed(root)
    for item in done:
        print(f"restored after pid {item.header.pid} ({item.header.command}): {item.steps} steps")
        for text in item.trouble:
            print(f"    {text}")
    if not done:
        print("nothing to restore")
    for session in living_sessions():
        print(f"in use: {session.claims or 'the top level'} by kloupe (pid {session.pid}): {session.command}")
    for text in [*obstacles(TracingFolder(root)), *open_files()]:
        print(f"in use: the top level: {text}")
    return int(any(item.trouble for item in done))


def _restore_recording(path: str, words: Words) -> int:
    """FILE.head and FILE.cpuN, which a recorder that was killed has left, become FILE."""
    version, compression = file_kind(words)
    files = {}
    for name in glob.glob(f"{glob.escape(path)}.cpu*"):
        number = name.rpartition(".cpu")[2]
        if number.isdecimal() and len(number) < 6 and int(number) < MOST_CPUS:
            files[int(number)] = name
    if not files:
        raise UsageError(f"there is no {path}.cpu0: nothing to restore '{path}' from")
    if not os.path.exists(path + HEAD):
        raise UsageError(f"{path}{HEAD} is missing, which says what the pages mean")
    if os.path.exists(path):
        raise UsageError(f"'{path}' is there already", hint="move it away first")
    with TraceFile(path + HEAD) as head:
        tables = tables_of(head)
    tables.cpu_count = max(tables.cpu_count, 1 + max(files))
    write_trace(
        path, tables, [("", pages_of_files(files, tables.page_bytes))], version=version, compression=compression
    )
    for name in [*files.values(), path + HEAD]:
        with suppress(OSError):
            os.unlink(name)
    print(f"{path}: restored from the pages of {len(files)} CPUs")
    return 0
