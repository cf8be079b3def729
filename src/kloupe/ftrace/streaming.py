"""A session whose events are read while it runs: pages of all CPUs, put in order of time, as objects."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from ..host.tracefs import ensure_tracefs
from ..session.child import ChildProcess
from .batch import Batch, Window, merge_batches, part_of, read_batch
from .control.folder import TracingFolder
from .control.follow import Followed
from .control.request import Request
from .control.session import Session
from .events import Call, TraceEvent, items_of_windows
from .live import events_of, parse_comms, read_btf
from .pages import PageReader, open_pages
from .report.options import ReportOptions
from .source import Comms, Trace
from .tracedat.tables import read_tables

_PAUSE_S = 0.02
_COMMS_EVERY_S = 0.5


class LiveComms(Comms):
    """Names of tasks, asked of the kernel's own list when a new one turns up, at most twice a second; then of /proc."""

    def __init__(self, folder: TracingFolder) -> None:
        super().__init__({})
        self._folder = folder
        self._asked_s = -1.0

    def __missing__(self, pid: int) -> str:
        if pid and time.monotonic() - self._asked_s > _COMMS_EVERY_S:
            self._asked_s = time.monotonic()
            for number, name in parse_comms(self._folder.get("saved_cmdlines").encode()).items():
                self.setdefault(number, name)
            if pid in self:
                return self[pid]
        return super().__missing__(pid)


class LiveSession:
    """See kloupe.ftrace.session. `trace` has the tables, `lost` counts events that were overwritten before they were read."""

    def __init__(self, request: Request, command: Sequence[str] = (), duration_s: float = 0.0) -> None:
        self._request = request
        self._command = list(command)
        self._duration_s = duration_s
        self._stack = ExitStack()
        self._stopping = False
        self.lost = 0

    def __enter__(self) -> LiveSession:
        with ExitStack() as stack:
            root = ensure_tracefs()
            child = ChildProcess(self._command) if self._command else None
            pids = list(self._request.pids)
            if child is not None:
                stack.callback(child.close)
                self._request.pids.append(child.pid)
            self._session = stack.enter_context(Session(root, self._request))
            self._followed = stack.enter_context(Followed(child, pids, self._duration_s))
            folder = self._session.folder
            tables = read_tables(folder, events_of(self._session.top, self._request))
            self.trace = Trace(
                tables.order, tables.long_bytes, tables.by_id(), {}, lambda: tables.kallsyms, tables.printk_formats
            )
            self.trace.comms = LiveComms(self._session.top)
            self.trace.btf = read_btf
            self._readers = [(cpu, open_pages(folder, cpu, tables.page_bytes)) for cpu in folder.cpus()]
            for _, reader in self._readers:
                stack.callback(reader.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def stop(self) -> None:
        """End the trace: the iteration goes on to the last event and ends."""
        self._stopping = True

    def __iter__(self) -> Iterator[TraceEvent | Call]:
        self._session.start()
        try:
            self._followed.begin()
            yield from items_of_windows(self.trace, ReportOptions(), self._windows())
        finally:
            self._session.stop()

    def _windows(self) -> Iterator[Window]:
        """What has been read, once no CPU can have anything earlier: up to the newest event of the round before."""
        held: dict[int, list[Batch]] = {cpu: [] for cpu, _ in self._readers}
        until_ns = 0
        ended = False
        while True:
            newest_ns = until_ns
            for cpu, reader in self._readers:
                newest_ns = max(newest_ns, _take(self.trace, reader, held[cpu]))
            if ended:
                until_ns = 1 << 80
            yield from merge_batches((cpu, iter(_released(batches, until_ns))) for cpu, batches in held.items())
            if ended:
                self.lost = self._session.lost()
                return
            if newest_ns == until_ns:
                time.sleep(_PAUSE_S)
            until_ns = newest_ns
            if self._stopping or self._followed.over():
                self._session.stop()
                ended = True


def _take(trace: Trace, reader: PageReader, into: list[Batch]) -> int:
    """Read what there is; gives the time of the newest event."""
    newest_ns = 0
    for page, begin in reader.read():
        batch = read_batch(page, trace.order, trace.long_bytes)
        if batch.problem:
            trace.complain(batch.problem)
        if begin:
            batch = part_of(batch, bisect_left(batch.offsets, begin), len(batch.offsets))
        if batch.times_ns:
            into.append(batch)
            newest_ns = batch.times_ns[-1]
    return newest_ns


def _released(batches: list[Batch], until_ns: int) -> list[Batch]:
    """Take the records up to a time out of the list."""
    out = []
    while batches and batches[0].times_ns[0] <= until_ns:
        batch = batches.pop(0)
        end = bisect_right(batch.times_ns, until_ns)
        if end < len(batch.times_ns):
            batches.insert(0, part_of(batch, end, len(batch.times_ns)))
            out.append(part_of(batch, 0, end))
            break
        out.append(batch)
    return out
