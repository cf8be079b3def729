"""The same script gives the same output; another one sees what was recorded, and never a wrong value."""

import pytest
from scripted import READ, read_call, record, replay, with_stacks

SAME = {
    "arguments and text": f'{READ} {{ printf("%s %d %s %d\\n", comm, args.fd, str(args.buf), args.count); @[pid, tid] = count(); }}',
    "times": f'{READ} {{ printf("%d %d %d\\n", nsecs, nsecs(monotonic), elapsed); @d = nsecs - nsecs; }}',
    "chance": f'{READ} {{ printf("%d %d\\n", rand, rand); }}',
    "the task": f'{READ} {{ printf("%p %d %d %s\\n", curtask, cgroup, uid, username); }}',
    "stacks": f"{READ} {{ @[kstack(2)] = count(); @u[ustack] = count(); print(kstack(1)); }}",
    "memory": f'{READ} {{ printf("%d %r\\n", *(uint32*)args.buf, buf(args.buf, 6)); }}',
    "failed reads": f"{READ} {{ @[str((uint64)0x9999)] = count(); @n = *(uint64*)0x123; }}",
    "state": f"{READ} /@seen[tid] < 2/ {{ @seen[tid]++; @l = lhist(args.count, 0, 100, 10); }}",
    "predicates with effects": f"{READ} /@++ > 1/ {{ @late = count(); }}",
    "loops": f"{READ} {{ $i = 0; while ($i < 5) {{ @[$i] = (nsecs, rand); $i++; }} unroll(2) {{ @t = sum(args.fd); }} }}",
    "begin and end": f'begin {{ @start = nsecs; printf("%d\\n", pid); }} {READ} {{ @ = count(); }} end {{ printf("%d\\n", nsecs); }}',
    "intervals": f'interval:ms:25 {{ printf("tick %d\\n", nsecs); print(@); clear(@); }} {READ} {{ @ = count(); }}',
    "outside": f'{READ} {{ time("%S\\n"); system("echo hi"); cat("/proc/self/comm"); strftime("%H:%M", nsecs); }}',
    "exit": f'{READ} {{ @ = count(); printf("x\\n"); if (@ == 2) {{ exit(); }} }}',
    "several probes": f"{READ} {{ @a = count(); }} {READ} /args.fd == 3/ {{ @b = count(); }}",
}
EVENTS = [
    with_stacks(fd=3),
    with_stacks(fd=-1, address=0x2000, count=55),
    read_call(fd=4, address=0x5000),
    with_stacks(fd=3, count=99),
]


@pytest.mark.parametrize("name", SAME)
def test_the_same_script_prints_the_same(tmp_path, name):
    path = str(tmp_path / "r.klr")
    live = record(path, SAME[name], EVENTS)
    again, _ = replay(path)
    assert again == live
    assert live.strip()


def test_another_script_sees_the_recorded_fields(tmp_path):
    path = str(tmp_path / "r.klr")
    record(path, f"{READ} {{ @ = count(); }}", EVENTS)
    text, messages = replay(
        path, f'{READ} {{ printf("%s %d %d\\n", comm, args.fd, args.count); @[pid, uid] = count(); }}'
    )
    assert text == "cat 3 10\ncat -1 55\ncat 4 10\ncat 3 99\n\n\n@[7, 1000]: 4\n"
    assert not messages


def test_memory_that_was_not_recorded_fails_and_is_counted(tmp_path):
    path = str(tmp_path / "r.klr")
    record(path, f"{READ} {{ @ = str(args.buf, 4); }}", [read_call()])
    text, messages = replay(
        path, f'{READ} {{ printf("%s|%s|%d\\n", str(args.buf, 3), str(args.buf), *(uint64*)args.buf); }}'
    )
    assert text.strip() == "he||0"
    assert [line for line in messages if line.startswith("WARNING: 2 reads of memory that the recording does not have")]


def test_a_deeper_stack_than_recorded_is_missing(tmp_path):
    path = str(tmp_path / "r.klr")
    record(path, f"{READ} {{ @[ustack(2)] = count(); }}", [with_stacks()])
    text, messages = replay(path, f"{READ} {{ @[ustack(3)] = count(); }}")
    assert "main" not in text
    assert messages[-1].startswith("WARNING: 1 read of memory")
    text, messages = replay(path, f"{READ} {{ @[ustack(1)] = count(); }}")
    assert text.count("main") == 1
    assert not messages


def test_intervals_of_another_script_run_on_the_recordings_clock(tmp_path):
    path = str(tmp_path / "r.klr")
    record(path, f"{READ} {{ @ = nsecs(monotonic); }}", [read_call() for _ in range(10)])
    text, _ = replay(path, f"{READ} {{ @ = count(); }} interval:ms:50 {{ print(@); }}")
    assert next(line for line in text.splitlines() if line.startswith("@: ")) in ("@: 4", "@: 5")


def test_only_runs_whose_predicate_held_are_recorded(tmp_path):
    path = str(tmp_path / "r.klr")
    record(path, f"{READ} /args.fd == 3/ {{ @ = count(); }}", EVENTS)
    assert replay(path, f"{READ} {{ @[args.fd] = count(); }}")[0] == "@[3]: 2\n"


def test_probes_that_were_not_recorded_are_refused(tmp_path):
    from kloupe.base.errors import AttachError, ScriptError

    path = str(tmp_path / "r.klr")
    record(path, f"{READ} {{ @ = count(); }}", EVENTS)
    with pytest.raises(ScriptError, match="No matches for tracepoint"):
        replay(path, "tracepoint:syscalls:sys_enter_write { @ = count(); }")
    with pytest.raises(AttachError):
        replay(path, "profile:hz:99 { @ = count(); }")


def test_long_reads_fill_the_journal_and_this_is_told(tmp_path):
    path = str(tmp_path / "r.klr")
    record(path, f"{READ} {{ $i = 0; while ($i < 500) {{ @ = str(args.buf); $i++; }} @n = count(); }}", [read_call()])
    text, messages = replay(path)
    assert "@n: 1" in text
    assert any("1 recorded runs there was no room" in line for line in messages)
