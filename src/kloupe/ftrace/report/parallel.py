"""A report by several processes: each makes the text of every Nth slice of time, and they write in turn.

Slices begin where nothing is cut in two: not between the entry and the exit of a leaf call. What depends on all that came before (the
indents of the function tracer, task names that events tell) ends this way of working: the process that meets it stops, and the
caller goes on alone from that slice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress

from ..batch import read_batch, whole_pages
from ..source import Instance, Stream, Trace
from .lines import LineMaker, NeedsHistory
from .options import ReportOptions
from .stream import cpu_lines, merged

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


class _Pages:
    """The pages of one CPU by slices of time, which are asked for in order."""

    def __init__(self, trace: Trace, stream: Stream) -> None:
        self.cpu = stream.cpu
        self._source = whole_pages(stream.pages(), trace.complain)
        self._order = "little" if trace.order == "<" else "big"
        self._held: list[tuple[int, bytes]] = []  # up to two pages, with the times at which they begin

    def between(self, start_ns: int, end_ns: int) -> Iterator[bytes]:
        """The pages that may have records from `start_ns` on and before `end_ns`. One that lasts longer comes again in the next slice."""
        held = self._held
        while True:
            self._look_ahead()
            if not held or held[0][0] >= end_ns:
                return
            if len(held) == 1 or held[1][0] >= start_ns:
                yield held[0][1]
                if len(held) == 1 or held[1][0] >= end_ns:
                    return
            held.pop(0)

    def _look_ahead(self) -> None:
        while len(self._held) < 2 and (page := next(self._source, None)) is not None:
            time_ns = int.from_bytes(page[:8], self._order)  # type: ignore[arg-type]
            if self._held and time_ns < self._held[0][0]:
                raise NeedsHistory  # clocks may go backwards: then order in the file decides
            self._held.append((time_ns, page))


def write_in_parallel(trace: Trace, instance: Instance, options: ReportOptions, fd: int) -> tuple[int | None, bool]:
    """Write the lines of an instance to `fd`. Gives None when all are written, else the time from which the caller must go on alone; and
    whether there were any."""
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
    from_ns, any_line = None, False
    for text in told:
        report = json.loads(text or "{}")
        for problem in report.get("problems", ()):
            trace.complain(problem)
        from_ns = report.get("from_ns", from_ns)
        any_line = any_line or report.get("any_line", False)
    if any(statuses):
        raise RuntimeError("a process of the report failed")
    return from_ns, any_line


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
    cpus = [_Pages(trace, stream) for stream in instance.streams_of(options.cpus)]
    report: dict[str, object] = {}
    for number in range(index, len(starts), count):
        end_ns = starts[number + 1] if number + 1 < len(starts) else 1 << 80
        try:
            text = _slice(maker, cpus, starts[number], end_ns).encode("utf-8", "surrogateescape")
        except NeedsHistory:
            text = None
        if os.read(mine, 1) != _GO:
            _pass_on(following, _STOP)
            break
        if text is None:
            report["from_ns"] = starts[number]
            _pass_on(following, _STOP)
            break
        report["any_line"] = bool(text) or report.get("any_line", False)
        view = memoryview(text)
        while view:
            view = view[os.write(fd, view) :]
        _pass_on(following, _GO)
    report["problems"] = trace.problems
    os.write(reports[index][1], json.dumps(report).encode())


def _slice(maker: LineMaker, cpus: list[_Pages], start_ns: int, end_ns: int) -> str:
    """The lines from a time on and before another one."""
    maker.set_part(start_ns)
    out: list[str] = []
    feeds = [(0, cpu_lines(maker, pages.cpu, pages.between(start_ns, end_ns), out)) for pages in cpus]
    return "".join(merged(feeds, out, end_ns))


def _pass_on(fd: int, word: bytes) -> None:
    """Give the turn away; the next process may have ended already."""
    with suppress(BrokenPipeError):
        os.write(fd, word)
