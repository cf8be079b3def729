"""A whole report: the head and the lines of every instance, merged by time when there are several."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from ..source import Instance, Trace
from .lines import LineMaker
from .options import ReportOptions
from .parallel import worthwhile, write_in_parallel
from .stream import cpu_lines, merged


def write_report(trace: Trace, options: ReportOptions, write: Callable[[str], object], fd: int) -> bool:
    """Write the report: pieces with `write`, or, where that is quicker, from several processes to `fd` (what was written is flushed).

    Gives whether there was anything to show.
    """
    wanted = _wanted(trace, options)
    from_ns: int | None = 0
    any_line = bool(trace.latency_text)
    if len(wanted) == 1 and worthwhile(wanted[0]):
        os.write(fd, _head(trace).encode())
        from_ns, any_line = write_in_parallel(trace, wanted[0], options, fd)
    else:
        write(_head(trace))
    if from_ns is not None:
        for piece in _lines(trace, wanted, options, from_ns):
            any_line = any_line or bool(piece)
            write(piece)
    return any_line


def report_text(trace: Trace, options: ReportOptions) -> Iterator[str]:
    """Pieces of the report's text."""
    yield _head(trace)
    yield from _lines(trace, _wanted(trace, options), options, 0)


def _wanted(trace: Trace, options: ReportOptions) -> list[Instance]:
    return [i for i in trace.instances if not options.instances or i.name in options.instances]


def _head(trace: Trace) -> str:
    return f"cpus={trace.cpu_count}\n" + trace.latency_text.rstrip("\0")


def _lines(trace: Trace, wanted: list[Instance], options: ReportOptions, from_ns: int) -> Iterator[str]:
    width = max((len(instance.name) for instance in wanted), default=0) if len(wanted) > 1 else -2
    out: list[str] = []
    feeds = []
    for number, instance in enumerate(wanted):
        maker = LineMaker(trace, options, _prefix(instance.name, width), part_ns=from_ns)
        for stream in instance.streams_of(options.cpus):
            feeds.append((number, cpu_lines(maker, stream.cpu, stream.pages(), out)))
    return merged(feeds, out)


def _prefix(name: str, width: int) -> str:
    """The column of instances, where there are several."""
    if width < 0:
        return ""
    return f"{name:>{width}}: " if name else " " * (width + 2)
