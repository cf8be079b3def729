"""kloupe.testing: compile a script, fire its probes, read its maps and output, inject faults."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from kloupe.base.errors import ScriptError, UsageError

READ = "tracepoint:syscalls:sys_enter_read"


def test_arguments_and_the_task_reach_the_script(kloupe):
    run = kloupe(f"{READ} {{ @[comm, args.fd] = sum(args.count); @pid = pid; @u = uid; }}")
    run.fire(READ, {"fd": 3, "count": 10}, comm="cat", pid=7, uid=42)
    run.fire(READ, {"fd": 3, "count": 5}, comm="cat")
    run.fire(READ, {"fd": 0, "count": 1}, comm="sh")
    assert run.maps["@"] == {("cat", 3): 15, ("sh", 0): 1}
    assert (run.maps["pid"], run.maps["u"]) == (1000, 1000)


def test_a_text_for_a_pointer_is_put_into_memory(kloupe):
    run = kloupe('tracepoint:syscalls:sys_enter_openat { printf("%s\\n", str(args.filename)); }')
    run.fire("tracepoint:syscalls:sys_enter_openat", {"filename": "/etc/passwd"})
    run.fire("tracepoint:syscalls:sys_enter_openat", {"filename": 0x1234}, user_memory={0x1234: b"here\0"})
    assert run.lines == ["/etc/passwd", "here"]


def test_declared_tracepoints_have_arrays_and_loose_data(kloupe):
    run = kloupe(
        't:sched:wake { printf("%s %d %s %u\\n", args.comm, args.pid, str(args.name), args.flags); }',
        tracepoints={"sched:wake": "char comm[16]; pid_t pid; __data_loc char[] name; u16 flags"},
    )
    run.fire("tracepoint:sched:wake", {"comm": "bash", "pid": -2, "name": "a longer name", "flags": 65535})
    assert run.lines == ["bash -2 a longer name 65535"]


def test_function_arguments_and_results(kloupe):
    run = kloupe(
        "kprobe:vfs_read { @[arg0, arg2] = count(); } kretprobe:vfs_read { @r = hist(retval); @last = retval; }"
    )
    run.fire("kprobe:vfs_read", [1, 2, 3])
    run.fire("kretprobe:vfs_read", retval=-5)
    assert run.maps["@"] == {(1, 3): 1}
    assert run.maps["@last"] == 2**64 - 5


def test_intervals_run_as_time_passes(kloupe):
    run = kloupe('interval:ms:100 { @ = count(); printf("%d ms\\n", elapsed / 1000000); }')
    run.advance(250_000_000)
    assert run.lines == ["100 ms", "200 ms"]
    assert run.maps["@"] == 2


def test_begin_end_and_the_maps_at_exit(kloupe):
    run = kloupe('begin { printf("hello\\n"); @x = 5; } end { printf("bye\\n"); }')
    assert run.lines == ["hello"]
    assert run.end() == "hello\nbye\n@x: 5\n"


def test_exit_stops_the_output(kloupe):
    run = kloupe(f'{READ} {{ printf("once\\n"); exit(3); }}')
    run.fire(READ)
    run.fire(READ)
    assert run.exited and run.exit_status == 3
    assert run.lines == ["once"]


def test_stacks_with_given_symbols(kloupe):
    run = kloupe(f"{READ} {{ print(kstack(2)); @[ustack] = count(); }}", symbols={0x1000: "vfs_read", 0x2000: "main"})
    run.fire(READ, kstack=[0x1010, 0x5], ustack=[0x2004])
    assert run.output.split() == ["vfs_read+16", "0x5"]
    assert run.maps["@"] == {("main+4",): 1}
    assert "main+4" in run.end()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"args": {"count": 1 << 64}}, "a number of 8 bytes cannot be 18446744073709551616"),
        ({"args": {"count": 1.5}}, "cannot be 1.5"),
        ({"pid": "7"}, "pid is a number"),
        ({"user_memory": {0x1000: "text"}}, "memory at 0x1000 is bytes"),
        ({"after_ns": -1}, "time does not go back"),
    ],
)
def test_impossible_events_are_refused(kloupe, given, message):
    run = kloupe(f"{READ} {{ @ = count(); }}")
    with pytest.raises(UsageError, match=message):
        run.fire(READ, **given)
    assert run.maps["@"] is None


def test_signals_without_a_probe_are_refused(kloupe):
    run = kloupe('self:signal:SIGUSR1 { printf("got it"); }')
    run.signal("SIGUSR1")
    assert run.output == "got it"
    with pytest.raises(UsageError, match="self:signal:SIGUSR2 is none of the script's probes"):
        run.signal("SIGUSR2")


def test_failed_reads_are_seen_and_reported(kloupe):
    run = kloupe(f"{READ} {{ @ = str(args.buf); }}", report_failed_reads=True)
    run.fire(READ, {"buf": "text"})
    assert run.maps["@"] == "text"
    run.fire(READ, {"buf": "text"}, fail_reads=True)
    assert run.maps["@"] == ""
    assert any("probe_read_user_str" in line for line in run.messages)


def test_a_full_map_keeps_what_it_has(kloupe):
    run = kloupe(f"{READ} {{ @[args.fd] = args.count; }}")
    run.fire(READ, {"fd": 1, "count": 1})
    with run.full_map("@"):
        run.fire(READ, {"fd": 2, "count": 1})
        run.fire(READ, {"fd": 1, "count": 9})
    run.fire(READ, {"fd": 3, "count": 1})
    assert run.maps["@"] == {1: 9, 3: 1}
    assert any("Map full" in line for line in run.messages)


def test_a_full_map_of_strings_takes_neither_short_nor_long_keys(kloupe):
    run = kloupe(f"{READ} {{ @[str(args.buf)] = count(); }}")
    run.fire(READ, {"buf": "known"})
    with run.full_map("@"):
        for text in ("short", "long" * 50, "known"):
            run.fire(READ, {"buf": text})
    assert run.maps["@"] == {"known": 2}


def test_lost_events_are_counted(kloupe):
    run = kloupe(f'{READ} {{ printf("%d\\n", args.fd); }}')
    with run.lost():
        run.fire(READ, {"fd": 1})
    run.fire(READ, {"fd": 2})
    assert (run.lines, run.lost_events) == (["2"], 1)


def test_effects_and_commands_touch_nothing(kloupe):
    run = kloupe(f'{READ} {{ signal("SIGKILL"); system("rm -rf %s", comm); }}', commands={"rm -rf x": "gone\n"})
    run.fire(READ, comm="x", pid=55)
    assert [(effect.kind, effect.value, effect.task.pid) for effect in run.effects] == [("signal", 9, 55)]
    assert run.commands == ["rm -rf x"]
    assert "gone" in run.output


def test_several_probes_on_one_point_run_in_order(kloupe):
    run = kloupe(f'{READ} {{ printf("a "); }} {READ} /args.fd == 2/ {{ printf("b "); }}')
    run.fire(READ, {"fd": 1})
    run.fire("*sys_enter_read", {"fd": 2})
    assert run.output == "a a b "


@pytest.mark.parametrize(
    ("probe", "args", "message"),
    [
        ("kprobe:x", {}, "is none of the script's probes"),
        (READ, {"nothing": 1}, "has no args.nothing; it has"),
        (READ, [1], "has no arg0"),
    ],
)
def test_mistakes_of_the_test_are_explained(kloupe, probe, args, message):
    with pytest.raises(UsageError, match=message):
        kloupe(f"{READ} {{ @ = 1; }}").fire(probe, args)


def test_mistakes_of_the_script_are_script_errors(kloupe):
    with pytest.raises(ScriptError):
        kloupe(f"{READ} {{ @ = args.wrong; }}")


def test_positional_parameters(kloupe):
    run = kloupe(f"{READ} {{ @ = sum($1); }}", params=["4"])
    run.fire(READ)
    assert run.maps["@"] == 4


def test_user_functions_get_registers(kloupe):
    run = kloupe('uprobe:/proc/self/exe:0 { @ = arg1; @r = reg("ip"); }', unsafe=True)
    run.fire(run.probes[0], [0, 77], registers={"ip": 0x400})
    assert (run.maps["@"], run.maps["@r"]) == (77, 0x400)


def test_the_plugin_gives_the_fixture(tmp_path):
    test = tmp_path / "test_one.py"
    test.write_text("def test_one(kloupe):\n    assert kloupe('begin { printf(\"hi\"); }').output == 'hi'\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    if not any(point.value == "kloupe.testing" for point in entry_points(group="pytest11")):
        command[3:3] = ["-p", "kloupe.testing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout
