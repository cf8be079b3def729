"""A report by several processes: each makes the text of every Nth slice of time, and they write in turn.

Slices begin where nothing is cut in two: not between the entry and the exit of a leaf call. What depends on all that came before (the
indents of the function tracer, task names that events tell) ends this way of working: the process that meets it stops, and the
caller goes on alone from that slice.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress

from ..batch import Batch, Window, batches, merge_batches, part_of, read_batch
from ..source import Instance, Stream, Trace
from .lines import LineMaker, NeedsHistory
from .options import ReportOptions

_SLICE_BYTES = 1 << 20
_MOST_PROCESSES = 8
_GO, _STOP = b".", b"x"


def worthwhile(instance: Instance) -> bool:
    """Whether the trace is large enough for several processes."""
    return sum(stream.size for stream in instance.streams) > 2 * _SLICE_BYTES and len(os.sched_getaffinity(0)) > 1


def boundaries(trace: Trace, instance: Instance) -> list[int]:
    """Times at which slices begin, but for the first. At each a page begins whose first record ends no call."""
    form = trace.formats.named("ftrace", "funcgraph_exit")
    leave = form.id if form is not None else -1
    order = "little" if trace.order == "<" else "big"
    total = sum(stream.size for stream in instance.streams)
    found = set()
    for stream in instance.streams:
        for page in stream.sample(max(1, total // _SLICE_BYTES)):
            batch = read_batch(page, trace.order, trace.long_bytes)
            if batch.times_ns and not batch.problem:
                at = batch.offsets[0]
                if int.from_bytes(page[at : at + 2], order) != leave:  # type: ignore[arg-type]
                    found.add(batch.times_ns[0])
    times = sorted(found)
    return times[:: max(1, len(instance.streams))]


class _Slices:
    """The records of one CPU by slices of time, which are asked for in order."""

    def __init__(self, trace: Trace, stream: Stream) -> None:
        self._source = batches(self._skimmed(trace, stream), trace.order, trace.long_bytes, trace.complain)
        self._from = 0
        self._held: Batch | None = None
        self._last_ns = 0

    def _skimmed(self, trace: Trace, stream: Stream) -> Iterator[bytes]:
        """The pages, without those that end before the slice that is wanted (their records need not be looked for)."""
        order = "little" if trace.order == "<" else "big"
        held, held_ns = b"", 0
        for page in stream.pages():
            time_ns = int.from_bytes(page[:8], order)  # type: ignore[arg-type]
            if time_ns < held_ns:
                raise NeedsHistory  # clocks may go backwards: then order in the file decides
            if held and time_ns > self._from:
                yield held
            held, held_ns = page, time_ns
        if held:
            yield held

    def between(self, start_ns: int, end_ns: int) -> Iterator[Batch]:
        """The records from `start_ns` on and before `end_ns`."""
        self._from = start_ns
        while True:
            batch = self._held or next(self._source, None)
            self._held = None
            if batch is None:
                return
            times = batch.times_ns
            if times[0] < self._last_ns or not batch.is_ordered:
                raise NeedsHistory
            if times[0] >= end_ns:
                self._held = batch
                return
            first, end = bisect_left(times, start_ns), bisect_left(times, end_ns)
            if end < len(times):
                self._held = batch
            if first < end:
                yield batch if end - first == len(times) else part_of(batch, first, end)
            if end < len(times):
                return
            self._last_ns = times[-1]


def _slice(slices: list[tuple[int, _Slices]], start_ns: int, end_ns: int) -> Iterator[Window]:
    return merge_batches((cpu, source.between(start_ns, end_ns)) for cpu, source in slices)


def write_in_parallel(trace: Trace, instance: Instance, options: ReportOptions, fd: int) -> int | None:
    """Write the lines of an instance to `fd`; None when all are written, else the time from which the caller must go on alone."""
    starts = [0, *boundaries(trace, instance)]
    count = min(_MOST_PROCESSES, len(os.sched_getaffinity(0)), len(starts))
    turns = [os.pipe() for _ in range(count)]
    reports = [os.pipe() for _ in range(count)]
    trace.warm_up()
    children = []
    for index in range(count):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _work(trace, instance, options, fd, starts, index, turns, reports)
                status = 0
            except BrokenPipeError:
                status = 141
            finally:
                os._exit(status)
        children.append(pid)
    os.write(turns[0][1], _GO)
    for pipe in (*turns, *((read, write) for read, write in reports)):
        os.close(pipe[1])
    told = [_read_all(read) for read, _ in reports]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    for read, _ in (*turns, *reports):
        os.close(read)
    if 141 in statuses:
        raise BrokenPipeError
    from_ns = None
    for text in told:
        report = json.loads(text or "{}")
        for problem in report.get("problems", ()):
            trace.complain(problem)
        from_ns = report.get("from_ns", from_ns)
    if any(statuses):
        raise RuntimeError("a process of the report failed")
    return from_ns


def _read_all(fd: int) -> bytes:
    data = b""
    while piece := os.read(fd, 65536):
        data += piece
    return data


def _work(
    trace: Trace, instance: Instance, options: ReportOptions, fd: int, starts: list[int], index: int,
    turns: list[tuple[int, int]], reports: list[tuple[int, int]],
) -> None:  # fmt: skip
    """A child: its slices, each written when its turn comes."""
    count = len(turns)
    mine, following = turns[index][0], turns[(index + 1) % count][1]
    for number, (read, write) in enumerate(turns):
        if write != following:
            os.close(write)
        if number != index:
            os.close(read)
    for number, (_, write) in enumerate(reports):
        if number != index:
            os.close(write)
    maker = LineMaker(trace, options, alone=False)
    slices = [(s.cpu, _Slices(trace, s)) for s in instance.streams if options.cpus is None or s.cpu in options.cpus]
    report: dict[str, object] = {}
    for number in range(index, len(starts), count):
        end_ns = starts[number + 1] if number + 1 < len(starts) else 1 << 80
        try:
            text = "".join(maker.lines(_slice(slices, starts[number], end_ns))).encode("utf-8", "surrogateescape")
        except NeedsHistory:
            text = None
        if os.read(mine, 1) != _GO:
            _pass_on(following, _STOP)
            break
        if text is None:
            report["from_ns"] = starts[number]
            _pass_on(following, _STOP)
            break
        view = memoryview(text)
        while view:
            view = view[os.write(fd, view) :]
        _pass_on(following, _GO)
    report["problems"] = trace.problems
    os.write(reports[index][1], json.dumps(report).encode())


def _pass_on(fd: int, word: bytes) -> None:
    """Give the turn away; the next process may have ended already."""
    with suppress(BrokenPipeError):
        os.write(fd, word)
