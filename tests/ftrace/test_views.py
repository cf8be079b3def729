"""Calls, statistics and the files for other viewers."""

import json

import pytest
from made_trace import Maker

from kloupe.ftrace import read
from kloupe.ftrace.events import Call, TraceEvent, trace_items
from kloupe.ftrace.report.options import ReportOptions
from kloupe.ftrace.source import open_trace
from kloupe.ftrace.views.chrome import render_chrome
from kloupe.ftrace.views.jsonl import render_jsonl
from kloupe.ftrace.views.perfetto import render_perfetto
from kloupe.ftrace.views.stacks import render_folded, render_speedscope
from kloupe.ftrace.views.stat import collect, render_diff, render_stat
from kloupe.ftrace.views.tree import render_tree


@pytest.fixture
def items(tmp_path):
    maker = Maker()
    path = maker.write(tmp_path / "a.dat", *maker.sample())
    return list(read(str(path)))


def test_calls_and_events_as_objects(items):
    (call,) = [item for item in items if isinstance(item, Call)]
    assert (call.function, call.duration_ns, call.self_ns, call.pid, call.comm) == (
        "ksys_read",
        24_000,
        2_000,
        10,
        "bash",
    )
    (inner,) = call.children
    assert [c.function for c in call.walk()] == ["ksys_read", "vfs_read", "rw_verify_area"]
    assert inner.self_ns == 21_500
    events = [item for item in items if isinstance(item, TraceEvent)]
    assert [event.name for event in events] == ["wake", "sched_switch", "wake", "wake"]
    assert events[0].fields == {"value": -3, "name": "one", "flags": 5}
    assert events[0].text == "value=-3 name=one flags=A|C" and events[0].comm == "cat"
    assert events[1].fields["next_comm"] == "cat" and events[1].text.startswith("prev_comm=bash prev_pid=10")


def test_calls_that_are_cut(tmp_path):
    """An exit without entry, an entry without exit, and an exit that was lost."""
    maker = Maker()
    records = [
        (1000, maker.leave(10, "vfs_read", 1, 500, 1000)),
        (2000, maker.entry(10, "ksys_read", 0)),
        (2100, maker.entry(10, "vfs_read", 1)),
        (3000, maker.entry(10, "ksys_read", 0)),
        (3500, maker.leave(10, "ksys_read", 0, 3000, 3500)),
        (4000, maker.entry(11, "schedule", 0)),
    ]
    calls = list(read(str(maker.write(tmp_path / "a.dat", records))))
    assert [(c.function, c.entered, c.left, c.duration_ns) for c in calls] == [
        ("vfs_read", False, True, 500), ("ksys_read", True, False, 0), ("ksys_read", True, True, 500), ("schedule", True, False, 0),
    ]  # fmt: skip
    stats = collect(calls)
    assert (stats["ksys_read"].calls, stats["ksys_read"].cut, stats["ksys_read"].total_ns) == (2, 1, 500)
    assert "?" in "".join(render_tree(calls))


def test_statistics(tmp_path):
    maker = Maker()
    records, at = [], 1000
    for number in range(1, 101):
        records += [
            (at, maker.entry(10, "vfs_read", 0)),
            (at + number * 10, maker.leave(10, "vfs_read", 0, at, at + number * 10)),
        ]
        at += 10_000
    records += [(at, maker.entry(10, "schedule", 0)), (at + 10, maker.entry(10, "schedule", 1))]
    records += [
        (at + 50, maker.leave(10, "schedule", 1, at + 10, at + 50)),
        (at + 100, maker.leave(10, "schedule", 0, at, at + 100)),
    ]
    path = str(maker.write(tmp_path / "a.dat", records))
    stat = collect(read(path))["vfs_read"]
    assert (stat.calls, stat.total_ns, stat.min_ns, stat.max_ns, stat.mean_ns) == (100, 50500, 10, 1000, 505.0)
    assert [stat.percentile_ns(p) for p in (50, 90, 99, 100)] == [500, 900, 990, 1000]
    recursive = collect(read(path))["schedule"]
    assert (recursive.calls, recursive.total_ns, recursive.self_ns) == (2, 100, 100)
    head, first, second = render_stat(collect(read(path))).splitlines()
    assert (
        head.split()[0] == "function"
        and first.split()[:3] == ["vfs_read", "100", "50.500"]
        and second.split()[0] == "schedule"
    )
    half = collect(item for item in read(path) if item.start_ns < 500_000)
    table = render_diff(half, collect(read(path))).splitlines()
    assert table[1].split()[0] == "vfs_read" and table[2].split()[-3] == "new"


def test_tree(items):
    text = "".join(render_tree(items))
    lines = [line for line in text.splitlines() if "read" in line or "verify" in line]
    assert [line.split()[1] for line in lines[:3]] == ["24.000", "22.000", "0.500"]
    assert lines[1].endswith("  vfs_read()") and "bash-10 [000]" in text and "demo:wake: value=7" in text


def test_places_of_a_tree(items):
    places = {"ksys_read": "fs/rw.c:7", "vfs_read": "", "rw_verify_area": "fs/rw.c:9"}
    lines = "".join(render_tree(items, places)).splitlines()
    assert [line.split()[-1] for line in lines if "rw.c" in line] == ["fs/rw.c:7", "fs/rw.c:9"]
    assert any(line.endswith("  vfs_read()") for line in lines)
    head, *rows = render_stat(collect(items), "name", places).splitlines()
    assert head.endswith("  defined at")
    assert [row.split()[-1] for row in rows if "rw.c" in row] == ["fs/rw.c:7", "fs/rw.c:9"] and len(rows) == 3


def test_json_lines(items):
    objects = [json.loads(line) for line in "".join(render_jsonl(items)).splitlines()]
    assert [o.get("function") or o["event"] for o in objects] == [
        "demo:wake", "sched:sched_switch", "ksys_read", "vfs_read", "rw_verify_area", "demo:wake", "demo:wake",
    ]  # fmt: skip
    assert objects[0]["fields"]["value"] == -3 and objects[3]["duration_ns"] == 22_000


def test_chrome(items):
    document = json.loads("".join(render_chrome(items, {11: 10})))
    slices = {e["name"]: e for e in document["traceEvents"] if e["ph"] == "X"}
    assert slices["vfs_read"]["ts"] == 1_000_001.0 and slices["vfs_read"]["dur"] == 22.0
    assert {e["args"]["name"] for e in document["traceEvents"] if e["ph"] == "M"} == {"bash", "cat", "<idle>", "<...>"}
    assert next(e for e in document["traceEvents"] if e["name"] == "wake")["pid"] == 10
    assert json.loads("".join(render_chrome([], {})))["traceEvents"] == []


def test_speedscope_opens_and_closes_in_order(items):
    document = json.loads("".join(render_speedscope(items, "t")))
    frames = [frame["name"] for frame in document["shared"]["frames"]]
    (profile,) = document["profiles"]
    stack, last = [], 0
    for event in profile["events"]:
        assert event["at"] >= last
        last = event["at"]
        if event["type"] == "O":
            stack.append(event["frame"])
        else:
            assert stack.pop() == event["frame"]
    assert not stack and frames == ["ksys_read", "vfs_read", "rw_verify_area"] and profile["endValue"] == 24_000


def test_folded(items):
    assert "".join(render_folded(items)).splitlines() == [
        "bash;ksys_read 2000", "bash;ksys_read;vfs_read 21500", "bash;ksys_read;vfs_read;rw_verify_area 500",
    ]  # fmt: skip


def parse_message(data: bytes) -> list[tuple[int, object]]:
    """The fields of a protobuf message: numbers and bytes."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at

    found, at = [], 0
    while at < len(data):
        key, at = varint(at)
        value, at = varint(at)
        assert key & 7 in (0, 2)
        if key & 7 == 2:
            assert at + value <= len(data)
            found.append((key >> 3, data[at : at + value]))
            at += value
        else:
            found.append((key >> 3, value))
    return found


def test_perfetto(items):
    packets = [dict(parse_message(packet)) for _, packet in parse_message(b"".join(render_perfetto(items, {})))]
    tracks = [dict(parse_message(p[60])) for p in packets if 60 in p]
    assert {dict(parse_message(t[4]))[5] for t in tracks} == {b"bash", b"cat", b"<idle>", b"<...>"}
    events = [(p[8], dict(parse_message(p[11]))) for p in packets if 11 in p]
    begun = [(time, e[23]) for time, e in events if e[9] == 1]
    assert begun == [(1_000_000_000, b"ksys_read"), (1_000_001_000, b"vfs_read"), (1_000_002_000, b"rw_verify_area")]
    assert [time for time, e in events if e[9] == 2] == [1_000_002_500, 1_000_023_000, 1_000_024_000]
    assert sum(e[9] == 3 for _, e in events) == 4 and all(p[10] == 1 for p in packets)


def test_choices_apply_to_objects(tmp_path):
    maker = Maker()
    trace = open_trace(str(maker.write(tmp_path / "a.dat", *maker.sample())))
    assert [e.pid for e in trace_items(trace, ReportOptions(events=["wake"], cpus={1}))] == [11, 0, 99]
    assert [e.pid for e in trace_items(trace, ReportOptions(events=["wake"], pids={11}, cpus={1}))] == [11]


def test_a_depth_that_cannot_be(tmp_path):
    maker = Maker()
    records = [(1000, maker.entry(10, "ksys_read", 0)), (2000, maker.entry(10, "vfs_read", 0x7F000000))]
    items = list(read(str(maker.write(tmp_path / "a.dat", records))))
    assert max(call.depth for item in items for call in item.walk()) < 2000
    assert len("".join(render_tree(items))) < 5000
