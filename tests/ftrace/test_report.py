"""Reports: lines as trace-cmd prints them, for every kind of machine; damage is told, and what is whole is shown."""

import io
import random
from pathlib import Path

import pytest
from made_trace import Maker

from kloupe.base.errors import FormatError, KloupeError, NotSupported
from kloupe.ftrace.report.options import ReportOptions
from kloupe.ftrace.report.text import report_text
from kloupe.ftrace.source import open_trace
from kloupe.ftrace.split import split_pages
from kloupe.ftrace.tracedat.compress import has_zstd
from kloupe.ftrace.tracedat.write import write_trace

LINES = """cpus=2
            bash-10    [000] .....     1.000000: funcgraph_entry:                   |  ksys_read() {
            bash-10    [000] .....     1.000001: funcgraph_entry:                   |    vfs_read() {
             cat-11    [001] .....     1.000002: wake:                 value=-3 name=one flags=A|C
            bash-10    [000] .....     1.000002: funcgraph_entry:        0.500 us   |      rw_verify_area();
            bash-10    [000] d..2.     1.000003: sched_switch:         bash:10 [120] S ==> cat:11 [120]
            bash-10    [000] .....     1.000023: funcgraph_exit:       + 22.000 us  |    }
            bash-10    [000] .....     1.000024: funcgraph_exit:       + 24.000 us  |  }
          <idle>-0     [001] .....     1.000030: wake:                 value=7 name=two flags=0x8
           <...>-99    [001] .....     9.000000: wake:                 value=8 name= flags=
"""
MACHINES = [("<", 8), (">", 8), ("<", 4), (">", 4)]
KINDS = [(6, "none"), (7, "none"), (7, "zlib"), *([(7, "zstd")] if has_zstd() else [])]


def text(path: Path, **options: object) -> str:
    trace = open_trace(str(path))
    return "".join(report_text(trace, ReportOptions(**options)))  # type: ignore[arg-type]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", KINDS)
def test_lines(tmp_path, machine, kind):
    maker = Maker(*machine)
    path = maker.write(tmp_path / "a.dat", *maker.sample(), version=kind[0], compression=kind[1])
    assert text(path) == LINES


def test_choices(tmp_path):
    maker = Maker()
    path = maker.write(tmp_path / "a.dat", *maker.sample())
    assert text(path, cpus={1}).count("\n") == 4
    assert text(path, pids={11}).splitlines()[1:] == [LINES.splitlines()[3]]
    assert text(path, events=["demo"]).count("wake:") == text(path, events=["demo"]).count("\n") - 1 == 3
    assert text(path, start_ns=1_000_024_000, end_ns=1_000_030_000).splitlines()[1:] == LINES.splitlines()[7:9]
    assert " value=-3 name=one flags=5\n" in text(path, raw=True)
    assert "1.000001500: wake" in text(path, nanoseconds=True)


def test_a_leaf_whose_end_is_on_the_next_page(tmp_path):
    maker = Maker()
    one = maker.pages([(1000, maker.entry(10, "vfs_read", 0))])
    two = maker.pages([(2000, maker.leave(10, "vfs_read", 0, 1000, 2000)), (3000, maker.wake(10, 1, "x"))])
    write_trace(str(tmp_path / "a.dat"), maker.tables(), [("", [(0, [*one, *two])])])
    lines = text(tmp_path / "a.dat").splitlines()
    assert lines[1].endswith("  1.000 us   |  vfs_read();") and "wake" in lines[2] and len(lines) == 3


def test_lost_events_are_told_where_they_were_lost(tmp_path):
    maker = Maker()
    one, two = maker.pages([(1000, maker.wake(10, 1, "a"))]), maker.pages([(2000, maker.wake(10, 2, "b"))])
    used = int.from_bytes(two[0][8:16], "little")
    counted = two[0][:8] + (used | 3 << 30).to_bytes(8, "little") + two[0][16 : 16 + used] + (17).to_bytes(8, "little")
    uncounted = two[0][:8] + (used | 1 << 31).to_bytes(8, "little") + two[0][16:]
    pages = [*one, counted.ljust(4096, b"\0"), uncounted]
    write_trace(str(tmp_path / "a.dat"), maker.tables(), [("", [(1, pages)])])
    lines = text(tmp_path / "a.dat").splitlines()
    assert lines[2] == "CPU:1 [17 EVENTS DROPPED]" and lines[4] == "CPU:1 [EVENTS DROPPED]"


def test_an_event_without_format(tmp_path):
    maker = Maker()
    path = maker.write(tmp_path / "a.dat", [(1000, maker.common(999, 10) + b"abcd"), (2000, maker.wake(10, 1, "a"))])
    trace = open_trace(str(path))
    lines = "".join(report_text(trace, ReportOptions())).splitlines()
    assert "event-999: " in lines[1] and "[unknown event, 12 bytes]" in lines[1] and "name=a" in lines[2]
    assert trace.problems == ["events of type 999 are in the trace without their format"]


def test_a_record_that_is_too_short(tmp_path):
    maker = Maker()
    path = maker.write(tmp_path / "a.dat", [(1000, maker.wake(10, 1, "a")[:12]), (2000, b"\x01\x00\x00\x00")])
    lines = text(path).splitlines()
    assert lines[1].endswith("wake:                 [the record has 12 of 20 bytes]") and len(lines) == 2


@pytest.mark.parametrize("kind", [(6, "none"), (7, "zlib"), (7, "none")])
def test_cut_at_any_byte(tmp_path, kind):
    """Either a clear error or what the rest holds, with a problem told when pages are missing."""
    maker = Maker()
    whole = maker.write(tmp_path / "a.dat", *maker.sample(), version=kind[0], compression=kind[1]).read_bytes()
    shown = 0
    for end in [*range(0, len(whole), 97), *range(len(whole) - 300, len(whole))]:
        path = tmp_path / "cut.dat"
        path.write_bytes(whole[:end])
        try:
            trace = open_trace(str(path))
            lines = "".join(report_text(trace, ReportOptions()))
        except (FormatError, NotSupported):
            continue
        shown += 1
        assert trace.problems or lines == LINES
    assert shown > 20 or kind[0] == 7  # version 7 has its table of contents at the end


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("machine", [("<", 8), (">", 4)])
def test_damaged_bytes(tmp_path, kind, machine):
    """Any damage gives text or one of our errors, never another exception and no endless work."""
    maker, chance = Maker(*machine), random.Random(5)
    whole = maker.write(tmp_path / "a.dat", *maker.sample(), version=kind[0], compression=kind[1]).read_bytes()
    for number in range(250):
        data = bytearray(whole)
        start = max(0, len(data) - 12000) if number % 2 else 0
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(start, len(data))] = chance.randrange(256)
        path = tmp_path / "b.dat"
        path.write_bytes(data)
        try:
            trace = open_trace(str(path))
            out = io.StringIO()
            for piece in report_text(trace, ReportOptions()):
                out.write(piece)
        except KloupeError as error:
            assert str(error)


def test_parts_are_packed_anew(tmp_path):
    maker = Maker()
    records = [
        (1000 + number * 10**9 * (number % 3), maker.wake(10, number, "x" * (number % 150))) for number in range(300)
    ]
    records.sort(key=lambda record: record[0])
    path = maker.write(tmp_path / "a.dat", records)
    trace = open_trace(str(path))
    whole = "".join(report_text(trace, ReportOptions()))
    stream = trace.instances[0].streams[0]
    write_trace(str(tmp_path / "b.dat"), maker.tables(), [("", [(0, split_pages(trace, stream, ReportOptions()))])])
    assert text(tmp_path / "b.dat").splitlines()[1:] == whole.splitlines()[1:]
