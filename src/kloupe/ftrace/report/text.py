"""A whole report: the head and the lines of every instance, merged by time when there are several."""

from __future__ import annotations

import heapq
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator

from ..batch import Run
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
        for piece in maker.lines(_from(trace.runs(wanted[0], options.cpus), from_ns)):
            write(piece)


def _from(runs: Iterator[Run], from_ns: int) -> Iterator[Run]:
    for run in runs:
        times = run.batch.times_ns
        if times[run.end - 1] >= from_ns:
            if times[run.first] < from_ns:
                run.first = bisect_left(times, from_ns, run.first, run.end)
            yield run


def report_text(trace: Trace, options: ReportOptions) -> Iterator[str]:
    """Pieces of the report's text."""
    yield f"cpus={trace.cpu_count}\n"
    wanted = [i for i in trace.instances if not options.instances or i.name in options.instances]
    if len(wanted) == 1:
        maker = LineMaker(trace, options)
        yield from maker.lines(trace.runs(wanted[0], options.cpus))
        return
    width = max((len(instance.name) for instance in wanted), default=0)
    makers = [LineMaker(trace, options, _prefix(instance.name, width)) for instance in wanted]
    for index, run in _interleaved([_cut_runs(trace, instance, options) for instance in wanted]):
        yield from makers[index].lines([run])


def _prefix(name: str, width: int) -> str:
    return f"{name:>{width}}: " if name else " " * (width + 2)


def _cut_runs(trace: Trace, instance: Instance, options: ReportOptions) -> Iterator[Run]:
    """Runs of one record each: instances interleave."""
    for run in trace.runs(instance, options.cpus):
        for at in range(run.first, run.end):
            yield Run(run.cpu, run.batch, at, at + 1)


def _interleaved(sources: list[Iterator[Run]]) -> Iterator[tuple[int, Run]]:
    heap = []
    for index, source in enumerate(sources):
        run = next(source, None)
        if run is not None:
            heap.append((run.batch.times_ns[run.first], index, run))
    heapq.heapify(heap)
    while heap:
        _, index, run = heap[0]
        yield index, run
        following = next(sources[index], None)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (following.batch.times_ns[following.first], index, following))
