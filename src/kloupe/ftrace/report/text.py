"""A whole report: the head and the lines of every instance, merged by time when there are several."""

from __future__ import annotations

import heapq
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator

from ..batch import Window
from ..source import Instance, Trace
from .lines import LineMaker
from .options import ReportOptions
from .parallel import worthwhile, write_in_parallel


def write_report(trace: Trace, options: ReportOptions, write: Callable[[str], object], fd: int) -> None:
    """Write the report: pieces with `write`, or, where that is quicker, from several processes to `fd` (what was written is flushed)."""
    wanted = [i for i in trace.instances if not options.instances or i.name in options.instances]
    if len(wanted) != 1 or not worthwhile(wanted[0]):
        for piece in report_text(trace, options):
            write(piece)
        return
    os.write(fd, f"cpus={trace.cpu_count}\n".encode())
    from_ns = write_in_parallel(trace, wanted[0], options, fd)
    if from_ns is not None:
        maker = LineMaker(trace, options)
        for piece in maker.lines(_from(trace.windows(wanted[0], options.cpus), from_ns)):
            write(piece)


def _from(windows: Iterator[Window], from_ns: int) -> Iterator[Window]:
    for window in windows:
        if window.records[-1][0] >= from_ns:
            if window.records[0][0] < from_ns:
                window.records = window.records[bisect_left(window.records, (from_ns,)) :]
            yield window


def report_text(trace: Trace, options: ReportOptions) -> Iterator[str]:
    """Pieces of the report's text."""
    yield f"cpus={trace.cpu_count}\n"
    if trace.latency_text:
        yield trace.latency_text.rstrip("\0")
    wanted = [i for i in trace.instances if not options.instances or i.name in options.instances]
    if len(wanted) == 1:
        yield from LineMaker(trace, options).lines(trace.windows(wanted[0], options.cpus))
        return
    width = max((len(instance.name) for instance in wanted), default=0)
    makers = [LineMaker(trace, options, _prefix(instance.name, width)) for instance in wanted]
    singles = [_single_records(trace, instance, options, index) for index, instance in enumerate(wanted)]
    for _, index, window in heapq.merge(*singles, key=lambda single: single[:2]):
        yield from makers[index].lines([window])


def _prefix(name: str, width: int) -> str:
    return f"{name:>{width}}: " if name else " " * (width + 2)


def _single_records(
    trace: Trace, instance: Instance, options: ReportOptions, index: int
) -> Iterator[tuple[int, int, Window]]:
    """(time, number of the instance, a window of one record): instances interleave."""
    for window in trace.windows(instance, options.cpus):
        for record in window.records:
            yield record[0], index, Window([record], window.pages, window.cpus, window.missed)
