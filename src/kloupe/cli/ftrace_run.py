"""`kloupe ftrace graph`, `function`, `events` and TRACER: trace, and print what the kernel's `trace` file says."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from ..base.errors import UsageError
from ..base.record import replace
from ..ftrace.control.follow import Followed, Interrupts
from ..ftrace.control.journal import Restored
from ..ftrace.control.request import FUNCTION, GRAPH, NOP, Request, parse_event
from ..ftrace.control.session import Session
from ..host.tracefs import ensure_tracefs
from ..session.child import ChildProcess
from .ftrace_options import TRACE, VIEW, Words, parse_cpus, parse_number, parse_size_kb, parse_time_ns, parse_words

_TRACERS = {"graph": GRAPH, "function": FUNCTION, "events": NOP}
_PIECE_BYTES = 1 << 16


def run(word: str, arguments: list[str]) -> int:
    """Trace and print; gives the exit status of the command, if there was one."""
    words = parse_words(arguments, TRACE | VIEW)
    request = make_request(_TRACERS.get(word, word), words)
    child = ChildProcess(words.command) if words.command else None
    with ExitStack() as stack:
        if child is not None:
            stack.callback(child.close)
            request.pids.append(child.pid)
        out = _open_output(words, stack)
        interrupts = stack.enter_context(Interrupts())
        session = stack.enter_context(Session(ensure_tracefs(), request, clear=words.has("clear")))
        tell_restored(session.restored)
        followed = stack.enter_context(Followed(child, [p for p in request.pids if not child or p != child.pid], for_s(words)))
        if words.has("show_commands"):
            sys.stderr.write("".join(f"{line}\n" for line in session.knobs.log))
        session.start()
        try:
            followed.wait(interrupts)
        finally:
            session.stop()
        _copy_trace(session, out)
        tell_lost(session.lost())
    if interrupts.received and child is None and not words.has("for"):
        return 0
    return exit_status(child, interrupts)


def for_s(words: Words) -> float:
    """--for in seconds; 0 without."""
    return parse_time_ns(words.get("for"), "--for") / 1e9 if words.has("for") else 0.0


def exit_status(child: ChildProcess | None, interrupts: Interrupts) -> int:
    """The command's own, 128 + N for a signal."""
    if child is not None and child.ended() and child.status is not None:
        return child.status if child.status >= 0 else 128 - child.status
    return 128 + interrupts.received if interrupts.received else 0


def _open_output(words: Words, stack: ExitStack) -> int:
    if not words.has("output"):
        return 1
    try:
        fd = os.open(words.get("output"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UsageError(f"cannot write '{words.get('output')}': {error.strerror}") from None
    stack.callback(os.close, fd)
    return fd


def make_request(tracer: str, words: Words) -> Request:
    """The request that the options describe. Raises UsageError."""
    events = [parse_event(text) for text in words.all("events")]
    functions = list(words.all("functions"))
    if tracer == NOP:
        events += [parse_event(text) for text in words.plain]
        if not events:
            raise UsageError("no event is given", hint="as in sched:sched_switch; kloupe ftrace list events")
    else:
        functions += words.plain
    if words.has("event_filter") or words.has("trigger"):
        if not events:
            raise UsageError("--where and --trigger belong to events, and none is given")
        events = [
            replace(event, filter=words.get("event_filter"), triggers=tuple(words.all("trigger"))) for event in events
        ]
    options = dict.fromkeys(words.all("option"), True)
    if words.has("stack"):
        options["func_stack_trace" if tracer == FUNCTION else "stacktrace"] = True
    return Request(
        tracer=tracer,
        functions=functions,
        notrace=words.all("notrace"),
        roots=words.all("root"),
        not_roots=words.all("not_root"),
        depth=parse_number(words.get("depth", "0"), "--depth"),
        events=events,
        pids=[parse_number(text, "-p") for text in words.all("pid")],
        children=not words.has("no_children"),
        cpus=parse_cpus(words.get("cpu")) if words.has("cpu") else [],
        threshold_us=-(-parse_time_ns(words.get("threshold", "0"), "--threshold", "us") // 1000),
        buffer_kb=parse_size_kb(words.get("buffer"), "--buffer") if words.has("buffer") else 0,
        clock=words.get("clock"),
        options=options,
    )


def _copy_trace(session: Session, out: int) -> None:
    """The kernel's own text."""
    fd = os.open(f"{session.folder.path}/trace", os.O_RDONLY | os.O_CLOEXEC)
    try:
        while piece := os.read(fd, _PIECE_BYTES):
            view = memoryview(piece)
            while view:
                view = view[os.write(out, view) :]
    finally:
        os.close(fd)


def tell_restored(restored: list[Restored]) -> None:
    """Say what was put back of sessions that had been killed."""
    for item in restored:
        state = "; ".join(item.trouble) or "everything is as it was before"
        sys.stderr.write(f"WARNING: a session that was killed (pid {item.header.pid}) left its settings: {state}\n")


def tell_lost(lost: int) -> None:
    """Say how many events did not fit."""
    if lost:
        sys.stderr.write(f"WARNING: {lost} events were lost: the buffers were full (-b gives larger ones)\n")
