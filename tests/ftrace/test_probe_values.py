"""Arguments and return values that probes tell are given to the right call, whether they come before or after the tracer's own events."""

import itertools

import pytest
from made_trace import Maker, event_format, field

from kloupe.ftrace.events import trace_items
from kloupe.ftrace.report.options import ReportOptions
from kloupe.ftrace.source import open_trace
from kloupe.ftrace.tracedat.write import write_trace

IN, OUT = 400, 401


@pytest.mark.parametrize(("entry_first", "exit_first"), [*itertools.product([True, False], repeat=2)])
def test_values_find_their_call(tmp_path, entry_first, exit_first):
    maker = Maker()
    tables = maker.tables()
    fields = field("unsigned long __probe_ip", 8, 8) + field("s64 count", 16, 8, 1)
    tables.formats.append(("kloupe_1", event_format("vfs_read__entry", IN, fields, '"count=%Ld", REC->count')))
    fields = field("unsigned long __probe_func", 8, 8) + field("s64 retval", 16, 8, 1)
    tables.formats.append(("kloupe_1", event_format("vfs_read__return", OUT, fields, '"%Ld", REC->retval')))
    records, at = [], 1000
    for number in range(1, 4):
        told = maker.common(IN, 10) + bytes(8) + number.to_bytes(8, "little")
        gave = maker.common(OUT, 10) + bytes(8) + (number * 10).to_bytes(8, "little")
        begin, end = maker.entry(10, "vfs_read", 1), maker.leave(10, "vfs_read", 1, at, at + 50)
        order = [maker.entry(10, "ksys_read", 0)]
        order += [told, begin] if entry_first else [begin, told]
        order += [gave, end] if exit_first else [end, gave]
        order.append(maker.leave(10, "ksys_read", 0, at, at + 90))
        records += [(at + 10 * index, data) for index, data in enumerate(order)]
        at += 1000
    path = tmp_path / "a.dat"
    write_trace(str(path), tables, [("", [(0, maker.pages(records))])])
    trace = open_trace(str(path))
    trace.probes = {"vfs_read__entry": ("vfs_read", False), "vfs_read__return": ("vfs_read", True)}
    calls = [call.children[0] for call in trace_items(trace, ReportOptions())]
    assert [(call.args, call.retval) for call in calls] == [({"count": n}, n * 10) for n in (1, 2, 3)]
