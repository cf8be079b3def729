"""Scripts over what trace-cmd recorded.

The files in data/ were made by trace-cmd in a guest with Debian's kernel 6.1 (`record -F -e syscalls:sys_enter_openat -e
syscalls:sys_exit_openat -e sched:sched_process_exec -e sched:sched_process_exit cat /tmp/file`, with the first symbols only, to keep them small);
what is expected here is what its `report` says of them.
"""

import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
SCRIPT = """
tracepoint:syscalls:sys_enter_openat { @entered = count(); @flags[args.flags, args.mode, (int32)args.dfd] = count(); }
tracepoint:syscalls:sys_exit_openat { @results[comm, args.ret] = count(); @cpus[cpu] = count(); }
tracepoint:sched:sched_process_exec { printf("exec %s %d %d %d\\n", str(args.filename), args.pid, pid, (nsecs + 500) / 1000); }
tracepoint:sched:sched_process_exit { printf("exit %s %d %d %d\\n", args.comm, args.pid, args.prio, (nsecs + 500) / 1000); }
"""
TIMES = {"v6": (145, 12646710, 12700642), "v7": (150, 17475230, 17531759)}


def replay(name: str, script: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "kloupe", "-q", "--replay", str(DATA / f"trace-{name}.dat"), "-e", script]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", TIMES)
def test_fields_times_and_tasks(name: str) -> None:
    pid, start, end = TIMES[name]
    done = replay(name, SCRIPT)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(line for line in done.stdout.splitlines() if line) == sorted(
        [
            *(f"exec /usr/bin/cat {pid} {pid} {start}", f"exit cat {pid} 120 {end}", "@entered: 33"),
            *(
                "@results[cat, 3]: 16",
                "@results[cat, -2]: 17",
                "@flags[524288, 0, -100]: 32",
                "@flags[0, 0, -100]: 1",
                "@cpus[1]: 33",
            ),
        ]
    )


def test_memory_was_not_recorded_and_that_is_said() -> None:
    done = replay("v7", "tracepoint:syscalls:sys_enter_openat { @[str(args.filename)] = count(); }")
    assert "@[]: 33" in done.stdout
    assert done.stderr.startswith("WARNING: 33 reads of memory that the recording does not have")


def test_events_that_were_not_recorded_are_refused() -> None:
    done = replay("v6", "tracepoint:sched:sched_switch { }")
    assert (done.returncode, "No matches for tracepoint" in done.stderr or "sched_switch" in done.stderr) == (1, True)


def test_zstd_is_read_or_the_message_says_what_is_missing() -> None:
    done = replay("zstd", 'tracepoint:sched:sched_process_exec { printf("exec %s\\n", str(args.filename)); }')
    if done.returncode:
        assert (done.returncode, "zstandard" in done.stderr) == (255, True)
    else:
        assert done.stdout.strip() == "exec /usr/bin/cat"
