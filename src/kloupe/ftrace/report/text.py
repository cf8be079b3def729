"""A whole report: the head and the lines of every instance, merged by time when there are several."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from ..batch import Run
from ..source import Instance, Trace
from .lines import LineMaker
from .options import ReportOptions


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
