"""ftrace, the kernel's own tracer, from Python: `session` traces this machine, `read` reads a trace.dat.

with kloupe.ftrace.session("function_graph", functions=["vfs_*"], command=["cat", "/etc/hostname"]) as trace:
    for item in trace:
        print(item.function if isinstance(item, Call) else item.text)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import Call, TraceEvent
    from .streaming import LiveSession

__all__ = ["Call", "TraceEvent", "read", "session"]


def session(
    tracer: str = "nop",
    *,
    functions: Sequence[str] = (),
    notrace: Sequence[str] = (),
    roots: Sequence[str] = (),
    depth: int = 0,
    events: Sequence[str] = (),
    where: str = "",
    command: Sequence[str] = (),
    pids: Sequence[int] = (),
    children: bool = True,
    cpus: Sequence[int] = (),
    duration_s: float = 0.0,
    buffer_kb: int = 0,
    clock: str = "",
    options: dict[str, bool] | None = None,
) -> LiveSession:
    """A tracing session, to be used as a context manager and iterated: it gives TraceEvent and Call objects as they come.

    The iteration ends with the command or the processes, after `duration_s`, or when `stop()` is called. `tracer` is one of the kernel's
    ("function_graph", "function", "nop" for events only), `events` names like "sched:sched_switch" or "sched", `where` a filter for
    them. Everything in tracefs is put back when the block is left. Raises TargetError (no permission, no such tracer) or
    UsageError (unknown names, somebody else is tracing).
    """
    from ..base.record import replace
    from .control.request import Request, parse_event
    from .streaming import LiveSession

    request = Request(
        tracer=tracer,
        functions=list(functions),
        notrace=list(notrace),
        roots=list(roots),
        depth=depth,
        events=[replace(parse_event(text), filter=where) for text in events],
        pids=list(pids),
        children=children,
        cpus=list(cpus),
        buffer_kb=buffer_kb,
        clock=clock,
        options=options or {},
    )
    return LiveSession(request, command, duration_s)


def read(path: str) -> Iterator[TraceEvent | Call]:
    """The events of a trace.dat in order of time, and its calls (each outermost one when it has ended, with what it called).

    Memory does not grow with the file. Raises UsageError when it cannot be read, FormatError when it is no trace.dat.
    """
    from .events import trace_items
    from .report.options import ReportOptions
    from .source import open_trace

    return trace_items(open_trace(path), ReportOptions())


def __getattr__(name: str) -> object:
    if name in ("Call", "TraceEvent"):
        from . import events

        return getattr(events, name)
    raise AttributeError(name)
