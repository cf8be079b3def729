"""Reports: lines as trace-cmd prints them, for every kind of machine; damage is told, and what is whole is shown."""

import io
import random
import subprocess
import sys
from pathlib import Path

import pytest
from made_trace import Maker

from kloupe.base.errors import FormatError, KloupeError, NotSupported
from kloupe.ftrace import read
from kloupe.ftrace.report.options import ReportOptions
from kloupe.ftrace.report.text import report_text
from kloupe.ftrace.source import open_trace
from kloupe.ftrace.split import PageMaker, split_pages
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


def run(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "kloupe", "ftrace", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("word", ["report", "split", "hist"])
def test_the_file_itself_is_never_written_over(tmp_path, word):
    maker = Maker()
    path = maker.write(tmp_path / "a.dat", *maker.sample())
    before = path.read_bytes()
    (tmp_path / "b.dat").symlink_to(path)
    source = ["demo:wake", "-i", path] if word == "hist" else [path]
    done = run(word, *source, "-o", tmp_path / "b.dat")
    assert done.returncode == 1 and "is read from" in done.stderr and path.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said", "status"),
    [
        (["--from", "5", "--to", "3"], "--to is before --from", 1),
        (["-e", "wke"], "Did you mean 'wake'", 1),
        (["-e", "nothing*"], "no event of the file matches 'nothing*'", 1),
        (["--from", "99"], "NOTE: no event of the file passes", 0),
        (["-p", "12345"], "NOTE: no event of the file passes", 0),
        (["--cpu", "7"], "NOTE: no event of the file passes", 0),
        (["-R", "--json"], "--raw is about the text, not about --json", 1),
        (["--", "ls"], "no command to run here", 1),
        (["--stat", "--sort", "size"], "no column", 1),
    ],
)
def test_choices_that_choose_nothing(tmp_path, words, said, status):
    maker = Maker()
    path = maker.write(tmp_path / "a.dat", *maker.sample())
    done = run("report", path, *words)
    assert done.returncode == status and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ("" if status else "cpus=2\n")


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


def test_lost_events_keep_their_place_in_a_part(tmp_path):
    """In the text, in a part, and as an item among the others."""
    maker = Maker()
    pages = PageMaker("<", 8)
    made = [pages.add(1000, maker.wake(10, 1, "a")), pages.lose(7), pages.add(5000, maker.wake(10, 2, "b"))]
    made += [pages.lose(-1), pages.add(9000, maker.wake(10, 3, "c")), pages.take()]
    path = tmp_path / "a.dat"
    write_trace(str(path), maker.tables(), [("", [(0, [page for page in made if page])])])
    assert [line for line in text(path).splitlines() if "DROPPED" in line] == [
        "CPU:0 [7 EVENTS DROPPED]", "CPU:0 [EVENTS DROPPED]",
    ]  # fmt: skip
    lost = [(item.time_ns, item.fields["count"]) for item in read(str(path)) if item.name == "lost_events"]
    assert lost == [(5000, 7), (9000, -1)]
    part = tmp_path / "b.dat"
    assert run("split", path, "-o", part).returncode == 0 and text(part) == text(path)
    assert run("split", path, "--from", "0.000009", "-o", part).returncode == 0
    assert text(part).splitlines()[1:] == text(path).splitlines()[-2:]


def test_instances_are_merged_by_time(tmp_path):
    maker = Maker()
    odd, even = ([(1000 * n, maker.wake(10, n, "x")) for n in range(first, 40, 2)] for first in (1, 2))
    buffers = [("", [(0, maker.pages(odd))]), ("other", [(0, maker.pages(even))])]
    write_trace(str(tmp_path / "a.dat"), maker.tables(), buffers)
    assert [item.fields["value"] for item in read(str(tmp_path / "a.dat"))] == list(range(1, 40))
