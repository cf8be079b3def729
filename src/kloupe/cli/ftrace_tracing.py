"""What all parts share that trace: a request from options, a session with a command or processes, pages in files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from glob import glob

from ..base.errors import UsageError
from ..base.record import record, replace
from ..ftrace.control.follow import Followed, Interrupts
from ..ftrace.control.journal import Restored
from ..ftrace.control.probes import add_probes
from ..ftrace.control.request import FUNCTION, GRAPH, NOP, OF_THE_MACHINE, Request, parse_event
from ..ftrace.control.session import Session
from ..host.proc import online_cpus, read_text
from ..host.tracefs import ensure_tracefs
from ..session.child import ChildProcess
from .ftrace_options import TRACE, Words, parse_cpus, parse_number, parse_size_kb, parse_time_ns

TRACERS = {"graph": GRAPH, "function": FUNCTION, "events": NOP}


_NO_GRAPH = (NOP, FUNCTION)
# Options that would silently do nothing with these tracers -> what they are about.
_USELESS: dict[str, tuple[tuple[str, ...], str]] = {
    "functions": ((NOP,), "functions"),
    "notrace": ((NOP,), "functions"),
    "args": ((NOP,), "functions"),
    "retval": ((NOP,), "functions"),
    "root": (_NO_GRAPH, "graphs of functions"),
    "not_root": (_NO_GRAPH, "graphs of functions"),
    "depth": (_NO_GRAPH, "graphs of functions"),
    "threshold": (_NO_GRAPH, "graphs of functions and delays"),
}


def _require_useful(tracer: str, words: Words) -> None:
    for key, (tracers, about) in _USELESS.items():
        if words.has(key) and tracer in tracers:
            traced = "events" if tracer == NOP else "the tracer function"
            hint = "kloupe ftrace graph traces both with -e EVENT" if tracer == NOP else "kloupe ftrace graph"
            raise UsageError(f"{TRACE[key].names[-1]} is about {about}, not about {traced}", hint=hint)


def make_request(tracer: str, words: Words) -> Request:
    """The request that the options describe. Raises UsageError."""
    _require_useful(tracer, words)
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
        where = joined_filter(words)
        triggers = tuple(words.all("trigger"))
        if any(text.startswith("!") for text in triggers):
            raise UsageError("--trigger sets a trigger; one with ! would take it away")
        events = [replace(event, filter=where, triggers=triggers) for event in events]
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
        buffer_kb=parse_size_kb(words.get("buffer"), "--buffer") if words.has("buffer") else _default_buffer_kb(tracer),
        clock=words.get("clock"),
        options=options,
        more_events=words.has("args") or words.has("retval"),
    )


def joined_filter(words: Words) -> str:
    """All of --where: each must hold."""
    given = words.all("event_filter")
    return given[0] if len(given) == 1 else " && ".join(f"({text})" for text in given)


_FUNCTIONS_KB, _MOST_KB = 8 << 10, 256 << 10


def _default_buffer_kb(tracer: str) -> int:
    """Function tracers fill the kernel's usual 1.4 MB within milliseconds: give them more, but not all memory of a machine with many CPUs."""
    return min(_FUNCTIONS_KB, _MOST_KB // len(online_cpus())) if tracer in (FUNCTION, GRAPH) else 0


Probes = dict[str, tuple[str, bool]]
# What gives arguments and return values without probes: tracer -> option.
_OPTIONS = {"args": {GRAPH: "funcgraph-args", FUNCTION: "func-args"}, "retval": {GRAPH: "funcgraph-retval"}}


def with_values(session: Session, words: Words) -> Probes:
    """--args and --retval: by the tracer's own options where it has them, else by probes, which are told.

    Raises UsageError or NotSupported, each with why.
    """
    missing = {}
    for name, options in _OPTIONS.items():
        option = options.get(session.request.tracer, "")
        native = words.has(name) and option != "" and session.folder.has(f"options/{option}")
        missing[name] = words.has(name) and not native
        if native:
            session.knobs.set_option(option, True)
    if not any(missing.values()):
        return {}
    return add_probes(session.knobs, session.request, args=missing["args"], retval=missing["retval"])


def probe_events(probes: Probes) -> list[tuple[str, str]]:
    """(system, event) of the probes."""
    return [(f"kloupe_{os.getpid()}", name) for name in probes]


@record(eq=False)
class Tracing:
    """A session that is set up and not started, and what it lasts for."""

    session: Session
    followed: Followed
    interrupts: Interrupts
    child: ChildProcess | None

    def run(self) -> None:
        """Start, wait for the end, stop."""
        self.session.start()
        try:
            self.followed.wait(self.interrupts)
        finally:
            self.session.stop()

    def exit_status(self) -> int:
        """The command's own, 128 + N for a signal that ended it; 0 when the user ended a trace that had no other end."""
        child = self.child
        if child is not None and child.ended() and child.status is not None:
            return child.status if child.status >= 0 else 128 - child.status
        return 128 + self.interrupts.received if self.interrupts.received and child is not None else 0


@contextmanager
def tracing(request: Request, words: Words, watched: Sequence[int] = ()) -> Iterator[Tracing]:
    """Set a session up for the command behind `--` (held at its gate), for processes, for a time. Everything is put back at the end.

    `watched`: processes whose end is the trace's, besides those of the request.
    """
    with ExitStack() as stack:
        for_s = _duration_s(words)
        pids = [*request.pids, *watched]
        child = ChildProcess(words.command) if words.command else None
        if child is not None:
            stack.callback(child.close)
            request.pids.append(child.pid)
        interrupts = stack.enter_context(Interrupts())
        session = stack.enter_context(Session(ensure_tracefs(), request, clear=words.has("clear")))
        tell_restored(session.restored)
        _tell_scope(request)
        followed = stack.enter_context(Followed(child, pids, for_s))
        yield Tracing(session, followed, interrupts, child)
        if words.has("show_commands"):
            sys.stderr.write("".join(f"{line}\n" for line in session.knobs.log))


def _tell_scope(request: Request) -> None:
    """Say on stderr what a tracer that looks at the whole machine shows."""
    if request.tracer in OF_THE_MACHINE and request.pids:
        sys.stderr.write(f"NOTE: the tracer {request.tracer} knows no processes: it shows what all do meanwhile\n")
    if request.tracer == "blk" and not any(read_text(path) == "1" for path in glob("/sys/block/*/trace/enable")):
        sys.stderr.write("NOTE: the tracer blk shows nothing yet: first echo 1 > /sys/block/DEVICE/trace/enable\n")


def _duration_s(words: Words) -> float:
    if not words.has("for"):
        return 0.0
    for_s = parse_time_ns(words.get("for"), "--for") / 1e9
    if not for_s:
        raise UsageError("--for 0 is no time to trace", hint="as in 2s, 300ms or 50us")
    return for_s


def tell_restored(restored: list[Restored]) -> None:
    """Say what was put back of sessions that had been killed."""
    for item in restored:
        state = "; ".join(item.trouble) or "everything is as it was before"
        sys.stderr.write(f"WARNING: a session that was killed (pid {item.header.pid}) left its settings: {state}\n")


def tell_lost(lost: int) -> None:
    """Say how many events did not fit."""
    if lost:
        sys.stderr.write(f"WARNING: {lost} events were lost: the buffers were full (-b gives larger ones)\n")
