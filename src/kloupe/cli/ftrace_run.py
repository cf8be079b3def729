"""`kloupe ftrace graph`, `function`, `events` and TRACER: trace, and print what the kernel's `trace` file says, or a view."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack

from ..base.errors import UsageError
from ..ftrace.live import events_of, trace_of_files
from ..ftrace.recorder import Recorder
from ..ftrace.tracedat.tables import add_ending, read_tables
from .ftrace_options import TRACE, VIEW, Words, parse_words
from .ftrace_report import tell_problems
from .ftrace_tracing import TRACERS, Probes, Tracing, make_request, probe_events, tell_lost, tracing, with_values
from .ftrace_views import chosen_view, require_place, show

_PIECE_BYTES = 1 << 16


def run(word: str, arguments: list[str]) -> int:
    """Trace and print; gives the exit status of the command, if there was one."""
    words = parse_words(arguments, TRACE | VIEW, takes_command=True)
    view = chosen_view(words)
    if words.has("output"):
        require_place(words.get("output"))
    request = make_request(TRACERS.get(word, word), words)
    with tracing(request, words) as it:
        probes = with_values(it.session, words)
        if view:
            _show_view(it, words, probes)
        else:
            _show_text(it, words)
    return it.exit_status()


def _show_text(it: Tracing, words: Words) -> None:
    with ExitStack() as stack:
        out = _open_output(words, stack)
        it.run()
        _copy_trace(it, out)
        tell_lost(it.session.lost())


def _show_view(it: Tracing, words: Words, probes: Probes) -> None:
    folder, request = it.session.folder, it.session.request
    tables = read_tables(folder, events_of(it.session.top, request) + probe_events(probes))
    with tempfile.TemporaryDirectory(prefix="kloupe-ftrace-") as place:
        recorder = Recorder(folder, f"{place}/pages", tables.page_bytes)
        try:
            recorder.start()
            it.run()
        finally:
            recorder.finish()
        add_ending(tables, folder)
        lost = it.session.lost()
        it.session.close()  # what follows may take its time
        trace = trace_of_files(tables, recorder.files)
        trace.probes = probes
        show(trace, words)
        tell_problems(trace)
        tell_lost(lost)


def _open_output(words: Words, stack: ExitStack) -> int:
    if not words.has("output"):
        return 1
    try:
        fd = os.open(words.get("output"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write '{words.get('output')}': {error.strerror}") from None
    stack.callback(os.close, fd)
    return fd


def _copy_trace(it: Tracing, out: int) -> None:
    """The kernel's own text."""
    fd = os.open(f"{it.session.folder.path}/trace", os.O_RDONLY | os.O_CLOEXEC)
    try:
        while piece := os.read(fd, _PIECE_BYTES):
            view = memoryview(piece)
            while view:
                view = view[os.write(out, view) :]
    finally:
        os.close(fd)
