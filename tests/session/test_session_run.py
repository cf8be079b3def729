"""The run loop over a fake engine: framing, order, exit, signals, children, losses. Expected texts are bpftrace's."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time

import pytest
from fake_engine import (
    NAMES,
    FakeEngine,
    MemorySink,
    event,
    hash_map,
    image,
    program,
    record,
    scalar_map,
)

from kloupe.base import ctype as c
from kloupe.base.errors import AttachError, InternalError, UsageError
from kloupe.image import AttachSpec
from kloupe.output.jsonl import JsonOutput
from kloupe.output.sink import Sink
from kloupe.output.textout import TextOutput
from kloupe.session.child import ChildProcess, split_command
from kloupe.session.session import Options, Session

SAY = event(0, "printf", [c.INT64], format="%d\n")
EXIT = event(1, "exit", [c.INT64])
BEGIN, END = program("begin_1", "begin"), program("end_1", "end")
KPROBE = program("k", AttachSpec("kprobe", "kprobe:f"))


def say(*numbers):
    return [record(SAY, n) for n in numbers]


def run(engine, made, *, json=False, options=None):
    """(stdout, stderr, exit status)"""
    out, errors = MemorySink(), MemorySink()
    output = JsonOutput(NAMES, out, errors) if json else TextOutput(NAMES, out, errors)
    status = Session(made, engine, output, NAMES, options or Options()).run()
    return out.text(), errors.text(), status


def test_begin_only_ends_by_itself_and_prints_two_newlines():
    engine = FakeEngine({"begin_1": lambda e: say(1, 2)})
    assert run(engine, image([BEGIN], events=[SAY])) == ("1\n2\n\n\n", "Attached 1 probe\n", 0)
    assert engine.log == ["run begin_1", "attach", "detach"]


def test_exit_drops_all_later_output_but_not_that_of_end():
    second = program("begin_2", "begin")
    engine = FakeEngine(
        {
            "begin_1": lambda e: [*say(1), record(EXIT, 300), *say(2)],
            "begin_2": lambda e: say(3),
            "end_1": lambda e: say(4),
        }
    )
    made = image([BEGIN, second, END], events=[SAY, EXIT])
    assert run(engine, made) == ("1\n4\n\n\n", "Attached 3 probes\n", 300 & 255)
    assert engine.log == ["run begin_1", "run begin_2", "attach", "detach", "run end_1"]


def test_events_still_queued_at_exit_are_dropped_but_end_output_is_not():
    engine = FakeEngine({"end_1": lambda e: [*say(7), record(EXIT, 9), *say(8)]}, [[*say(1), record(EXIT, 0)], say(2)])
    assert run(engine, image([KPROBE, END], events=[SAY, EXIT])) == ("1\n7\n\n\n", "Attached 2 probes\n", 9)


def test_maps_at_exit_and_by_event():
    show = event(0, "print_map", [], map="@x", top=0, div=0)
    specs = [scalar_map("@x", c.INT64), hash_map("@k", c.INT64, c.INT64), hash_map("@empty", c.INT64, c.INT64)]

    def begin(engine):
        engine.maps["@x"].update(bytes(4), struct.pack("<qq", 1, 5))
        engine.maps["@k"].update(struct.pack("<q", 1), struct.pack("<q", 2))
        return [record(show)]

    made = image([BEGIN], specs, [show])
    assert run(FakeEngine({"begin_1": begin}), made)[0] == "@x: 5\n\n\n@k[1]: 2\n@x: 5\n"
    assert run(FakeEngine({"begin_1": begin}), made, json=True)[0] == (
        '{"type": "attached_probes", "count": 1, "data": {"probes": 1}}\n'
        '{"type": "map", "data": {"@x": 5}}\n'
        '{"type": "map", "data": {"@k": {"1": 2}}}\n'
        '{"type": "map", "data": {"@x": 5}}\n'
    )
    silent = image([BEGIN], specs, [show], print_maps_on_exit=False)
    assert run(FakeEngine({"begin_1": begin}), silent)[0] == "@x: 5\n\n\n"


def test_quiet_notify_and_dry_run():
    engine = FakeEngine({"begin_1": lambda e: say(1)})
    read, write = os.pipe()
    options = Options(quiet=True, notify=True, notify_fd=write)
    assert run(engine, image([BEGIN], events=[SAY]), options=options) == ("1\n\n\n", "", 0)
    assert os.read(read, 100) == b"__BPFTRACE_NOTIFY_PROBES_ATTACHED\n"
    os.close(read)
    os.close(write)
    dry = run(FakeEngine({"begin_1": lambda e: say(1)}), image([BEGIN], events=[SAY]), options=Options(mode="dry"))
    assert dry == ("", "", 0)


def test_no_probes():
    assert run(FakeEngine(), image([program("p")])) == ("No probes to attach\n", "", 1)
    with pytest.raises(AttachError, match="use --test to run test probes"):
        run(FakeEngine(), image([program("t", AttachSpec("test", "test:a", {"name": "a"}))]))


def test_probes_that_cannot_be_attached():
    two = image([BEGIN, KPROBE], events=[SAY])
    engine = FakeEngine({"begin_1": lambda e: say(1)}, failures=["kprobe:f"])
    with pytest.raises(AttachError, match=r"Unable to attach probe: kprobe:f\. If this is expected, set the 'missing_"):
        run(engine, two)
    engine = FakeEngine({"begin_1": lambda e: [*say(1), record(EXIT, 0)]}, failures=["kprobe:f"])
    out, errors, _ = run(engine, image([BEGIN, KPROBE], events=[SAY, EXIT], missing_probes="warn"))
    assert out == "1\n\n\n"
    assert errors == (
        "WARNING: no such thing\nWARNING: Unable to attach probe: kprobe:f. Skipping.\nAttached 1 probe\n"
    )


def test_mixed_events_keep_their_order():
    other = event(1, "printf", [c.INT32], format="x%d\n")
    value = event(2, "print_value", [c.INT32])
    stop = event(3, "exit", [c.INT64])
    records = [*say(1), record(other, 2), *say(3, 4), record(value, 5), record(other, 6), record(stop, 0), *say(9)]
    for json in (False, True):
        engine = FakeEngine(batches=[records])
        out = run(engine, image([KPROBE], events=[SAY, other, value, stop]), json=json)[0]
        numbers = [part.strip('x\\n"}') for part in out.replace('{"type": "printf", "data": "', "").split("\n")]
        assert [n.split()[-1] for n in numbers if n][0 if not json else 1 :] == ["1", "2", "3", "4", "5", "6"]


def test_messages_errors_and_actions(tmp_path):
    (tmp_path / "f").write_text("content")
    events = [
        event(0, "errorf", [c.INT64], format="e %d\n"),
        event(1, "warnf", [], format="w\n"),
        event(2, "runtime_error", [c.INT64], message="Divide or modulo by 0 detected."),
        event(3, "helper_error", [c.INT64], helper="probe_read_user"),
        event(4, "helper_error", [c.INT64], helper="map_update_elem", map="@a"),
        event(5, "system", [c.INT64], format="echo %d; echo two >&2"),
        event(6, "cat", [c.String(256)], format="%s"),
        event(7, "join", [c.String(8), c.Buffer(8), c.String(8)], delimiter=","),
        event(8, "time", [], format="%%t\n"),
    ]
    records = [
        record(events[0], 1),
        record(events[1]),
        record(events[2], 0),
        record(events[3], -14),
        record(events[4], -7),
        record(events[5], 1),
        record(events[6], str(tmp_path / "f").encode()),
        record(events[6], b"/nonexistent"),
        record(events[7], b"a", struct.pack("<I1s", 1, b"b"), b""),
        record(events[8]),
    ]
    out, errors, status = run(FakeEngine({"begin_1": lambda e: records}), image([BEGIN], events=events))
    assert out == "1\ntwo\n\ncontenta,b\n%t\n\n\n"
    source = "begin { f(1); }\n        ~~~~~\n"
    full = "Map full; can't update element. Try increasing max_map_keys config or manually setting the max entries in a map"
    assert errors == (
        "Attached 1 probe\n"
        "stdin:1:9-14: ERROR: e 1\n"
        "stdin:1:9-14: WARNING: w\n"
        "stdin:1:9-14: WARNING: Divide or modulo by 0 detected.\n" + source +
        "stdin:1:9-14: WARNING: Bad address\nAdditional Info - helper: probe_read_user, retcode: -14\n" + source +
        f"stdin:1:9-14: WARNING: {full} declaration e.g. `let @a = hash(5000)`\n"
        "Additional Info - helper: map_update_elem, retcode: -7\n" + source +
        "ERROR: failed to open file '/nonexistent' (No such file or directory)\n"
        "WARNING: @a was full: 1 update found no room (raise max_map_keys or declare the map with a size, e.g. "
        "`let @a = hash(100000)`)\n"
    )  # fmt: skip
    assert status == 0
    out, _, _ = run(FakeEngine({"begin_1": lambda e: records[:5]}), image([BEGIN], events=events), json=True)
    assert out.splitlines()[1:] == [
        '{"type": "errorf", "msg": "e 1\\n", "filename": "stdin", "line": 1, "col": 9}',
        '{"type": "warnf", "msg": "w\\n", "filename": "stdin", "line": 1, "col": 9}',
        '{"type": "runtime_error", "msg": "Divide or modulo by 0 detected.", "filename": "stdin", "line": 1, "col": 9}',
        '{"type": "helper_error", "msg": "Bad address", "helper": "probe_read_user", "retcode": -14, '
        '"filename": "stdin", "line": 1, "col": 9}',
        '{"type": "helper_error", "msg": "Argument list too long", "helper": "map_update_elem", "retcode": -7, '
        '"filename": "stdin", "line": 1, "col": 9}',
    ]


def test_print_entry_clear_and_zero():
    entry = event(0, "print_entry", [c.INT64, c.INT64], map="@k")
    zero, clear = event(1, "zero", [], map="@k"), event(2, "clear", [], map="@k")
    show = event(3, "print_map", [], map="@k")

    def begin(engine):
        engine.maps["@k"].update(struct.pack("<q", 1), struct.pack("<q", 2))
        return [record(entry, 1, 2), record(zero), record(show), record(clear), record(show)]

    made = image([BEGIN], [hash_map("@k", c.INT64, c.INT64)], [entry, zero, clear, show])
    assert run(FakeEngine({"begin_1": begin}), made)[0] == "2\n@k[1]: 0\n\n\n"


def test_losses_are_reported():
    def lose(engine):
        engine.lost = 5
        if engine.batches:
            engine.batches.popleft()
            engine.queue.append(record(EXIT, 0))

    engine = FakeEngine(batches=[[]])
    engine.on_poll = lose
    engine.missed = {"kprobe:f": 2, "kprobe:g": 0}
    full = hash_map("@k", c.INT64, c.INT64, entries=1)
    made = image([KPROBE], [full], [SAY, EXIT])
    session_out, errors, _ = run(engine, made)
    assert errors == (
        "Attached 1 probe\nLost 5 events\nWARNING: Total lost event count: 5\nWARNING: kprobe:f: 2 runs missed\n"
    )
    assert session_out == "\n\n"
    engine = FakeEngine({"begin_1": lambda e: e.maps["@k"].update(bytes(8), bytes(8))})
    assert "@k is full (1 entries)" in run(engine, image([BEGIN], [full]))[1]


def test_unknown_or_short_records_are_our_fault():
    with pytest.raises(InternalError):
        run(FakeEngine({"begin_1": lambda e: [struct.pack("<II", 9, 0)]}), image([BEGIN], events=[SAY]))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signals_end_the_session_in_order(name):
    engine = FakeEngine({"end_1": lambda e: say(7)})
    timer = threading.Timer(0.1, os.kill, (os.getpid(), getattr(signal, name)))
    timer.start()
    old = signal.getsignal(signal.SIGINT)
    engine.on_poll = lambda e: time.sleep(0.005)
    assert run(engine, image([KPROBE, END], events=[SAY])) == ("7\n\n\n", "Attached 2 probes\n", 0)
    assert signal.getsignal(signal.SIGINT) is old
    timer.join()


def test_own_signal_probes():
    on_signal = program("self_1", AttachSpec("self", "self:signal:SIGUSR1", {"signal": "SIGUSR1"}))
    engine = FakeEngine({"self_1": lambda e: [*say(5), record(EXIT, 0)]})
    engine.on_poll = lambda e: time.sleep(0.005)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    assert run(engine, image([on_signal], events=[SAY, EXIT])) == ("5\n\n\n", "Attached 1 probe\n", 0)
    timer.join()


def test_child_runs_after_attach_and_ends_the_session(tmp_path):
    path = tmp_path / "ran"
    child = ChildProcess(["sh", "-c", f"echo x > {path}; exit 5"])
    engine = FakeEngine()
    seen = []
    engine.attach = lambda: seen.append(path.exists()) or []  # type: ignore[method-assign]
    engine.on_poll = lambda e: time.sleep(0.005)
    assert run(engine, image([KPROBE]), options=Options(child=child)) == ("\n\n", "Attached 1 probe\n", 0)
    assert seen == [False] and path.exists() and child.status == 5


def test_child_is_ended_by_exit():
    child = ChildProcess(["sleep", "30"])
    start = time.monotonic()
    run(FakeEngine(batches=[[record(EXIT, 0)]]), image([KPROBE], events=[SAY, EXIT]), options=Options(child=child))
    assert child.status == -signal.SIGTERM and time.monotonic() - start < 25  # of 30


def test_child_that_cannot_run(tmp_path):
    with pytest.raises(UsageError, match="Path '/nonexistent' does not exist or is not executable"):
        ChildProcess(["/nonexistent"])
    script = tmp_path / "bad"
    script.write_text("#!/nonexistent/interpreter\n")
    script.chmod(0o755)
    child = ChildProcess([str(script)])
    with pytest.raises(UsageError, match=r"cannot run .*No such file"):
        child.release()
    assert split_command("echo 'a b' c") == ["echo", "a b", "c"]


def test_end_of_a_watched_process_ends_the_session():
    pid = os.posix_spawnp("sleep", ["sleep", "0.1"], os.environ)
    engine = FakeEngine()
    engine.on_poll = lambda e: time.sleep(0.005)
    threading.Timer(0.3, os.waitpid, (pid, 0)).start()
    assert run(engine, image([KPROBE]), options=Options(pid=pid))[2] == 0


def test_reader_gone_ends_quietly():
    read, write = os.pipe()
    os.close(read)
    engine = FakeEngine(batches=[say(1), say(2)])
    out = TextOutput(NAMES, Sink(write), MemorySink())
    assert Session(image([KPROBE], events=[SAY]), engine, out, NAMES).run() == 141
    assert engine.log[-1] == "detach"
    os.close(write)


def test_tests_are_reported():
    programs = [program(f"t_{n}", AttachSpec("test", f"test:{n}", {"name": n})) for n in "abc"]
    bad = event(2, "errorf", [], format="bad")
    engine = FakeEngine({"t_a": lambda e: say(1), "t_b": lambda e: say(2), "t_c": lambda e: [record(bad)]})
    engine.returns["t_b"] = 1
    out, errors, status = run(engine, image(programs, events=[SAY, EXIT, bad]), options=Options(mode="test"))
    green, red, reset = "\033[32m", "\033[31m", "\033[0m"
    import re

    assert re.sub(r"\(\d+ (μs|ns|ms)\)", "(T)", out) == (
        f"{green}[==========]{reset} Running 3 tests.\n"
        f"{green}[ RUN      ]{reset} a\n{green}[       OK ]{reset} a (T)\n"
        f"{green}[ RUN      ]{reset} b\n2\n{red}[  FAILED  ]{reset} b (T)\n"
        f"{green}[ RUN      ]{reset} c\nstdin:1:9-14: ERROR: bad\n{red}[  FAILED  ]{reset} c (T)\n"
        f"{green}[==========]{reset} 3 tests ran.\n{green}[  PASSED  ]{reset} 1 test.\n"
        f"{red}[  FAILED  ]{reset} 2 tests, listed below:\n{red}[  FAILED  ]{reset} b\n{red}[  FAILED  ]{reset} c\n"
        "\n\n"
    )
    assert (errors, status) == ("", 1)


def test_benchmarks_are_reported():
    programs = [program(f"b_{n}", AttachSpec("bench", f"bench:{n}", {"name": n})) for n in "ab"]
    engine = FakeEngine({"b_a": lambda e: [], "b_b": lambda e: []})
    engine.returns["b_b"] = 1
    out, _, status = run(engine, image(programs), options=Options(mode="bench"))
    assert out == (f"{'Benchmark':<41}{'Time(ns)':<15}Iterations\n{'-' * 66}\n{'a':<41}{100:<15}16000\n\n\n")
    assert status == 0
