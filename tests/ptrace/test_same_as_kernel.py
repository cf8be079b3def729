"""The kernel engine and the ptrace engine give the same: records, counts and values."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from following import CALLS, THREADS, build, run
from lecture import lecture_files

from kloupe.cli.run import missing_privilege
from layers import cannot_run

RECORD = re.compile(
    r"^hello read\((\d+), (.*?), (\d+)\) (\w+)/\d+ \[(.*?)\n?\] \[\n(.*?)\n\]$", re.DOTALL | re.MULTILINE
)
UNNAMED = re.compile(r" *0x[0-9a-f]+")
STEADY_ADDRESSES = (
    "setarch -R "  # no address space randomisation: buffers that hold addresses are the same in every run
)

# One tells the lecture\'s program by its name alone: no other runs meanwhile.
pytestmark = pytest.mark.xdist_group("foo")


@pytest.fixture(autouse=True, scope="module")
def kernel_at_hand() -> None:
    if missing_privilege():
        cannot_run(missing_privilege())
    if not shutil.which("setarch"):
        cannot_run("needs setarch")


def traced(engine: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    done = run([sys.executable, "-m", "kloupe", "-q", "--engine", engine, *arguments], cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


def test_the_lecture_program_prints_the_same_records(tmp_path: Path) -> None:
    program, script = lecture_files(tmp_path)
    arguments = ("-c", STEADY_ADDRESSES + program, script)
    kernel = RECORD.findall(traced("kernel", tmp_path, *arguments).stdout)
    ours = RECORD.findall(traced("ptrace", tmp_path, *arguments).stdout)
    assert [record[:4] for record in ours] == [record[:4] for record in kernel]
    assert len(ours) >= 5 and any("#!/bin/bash" in record[1] for record in ours)
    assert all(record[4] == "" for record in ours)  # no kernel stack
    for mine, theirs in zip(ours, kernel, strict=True):
        here, there = mine[5].split("\n"), theirs[5].split("\n")
        # The place of the call; the kernel goes on by frame pointers, and often stops there.
        # It has no name where the short-lived program was gone before its mappings could be read.
        assert here[0] == there[0] or UNNAMED.fullmatch(there[0])
        assert not UNNAMED.fullmatch(here[0])
        assert len(here) >= len(there)


VALUES = """
tracepoint:syscalls:sys_enter_* /comm == "program"/ { @enter[probe, pid == cpid] = count(); }
tracepoint:syscalls:sys_exit_* /comm == "program"/ { @exit[probe, pid == cpid] = count(); }
tracepoint:syscalls:sys_enter_openat /comm == "program"/ { @opened[str(args.filename), args.flags, args.mode] = count(); }
tracepoint:syscalls:sys_exit_openat /comm == "program"/ { @fds[args.ret] = count(); }
tracepoint:raw_syscalls:sys_enter /comm == "program"/ { @numbers[args.id] = count(); }
tracepoint:raw_syscalls:sys_exit /comm == "program"/ { @results[args.id, args.ret < 0] = count(); }
tracepoint:sched:sched_process_fork /comm == "program"/ { @fork[str(args.parent_comm), args.parent_pid == tid] = count(); }
tracepoint:sched:sched_process_exec /pid == cpid/ { @exec[str(args.filename), args.pid == tid, args.old_pid == tid] = count(); }
tracepoint:sched:sched_process_exit /comm == "program"/ { @ends[str(args.comm), args.prio, comm, uid, gid, username] = count(); }
tracepoint:signal:signal_deliver /comm == "program"/ { @signals[args.sig, args.errno, args.code, comm] = count(); }
"""


@pytest.mark.parametrize("source", [CALLS, THREADS], ids=["forks", "threads"])
def test_values_of_all_events_are_the_kernels(tmp_path: Path, source: str) -> None:
    name = f"same{os.getpid()}"  # the kernel sees the programs of other tests, too
    program = str(Path(build(tmp_path, source, "-O1", "-fno-optimize-sibling-calls")).rename(tmp_path / name))
    (tmp_path / "values.bt").write_text(VALUES.replace("program", name))
    arguments = ("-c", f"{STEADY_ADDRESSES}{program} 2", "values.bt")
    kernel = comparable(traced("kernel", tmp_path, *arguments).stdout)
    assert comparable(traced("ptrace", tmp_path, *arguments).stdout) == kernel
    assert len(kernel) > 40 and any("sys_exit_clone" in line for line in kernel)


def comparable(text: str) -> set[str]:
    """The lines, without what depends on who is faster."""
    return {line for line in text.splitlines() if not re.search("futex|futex.*|\\[202[],]", line)}


def test_functions_and_their_results_are_the_kernels(tmp_path: Path) -> None:
    program = build(tmp_path, CALLS, "-O1", "-fno-optimize-sibling-calls")
    script = (
        f"uprobe:{program}:deep /pid == cpid/ {{ @in[arg0] = count(); @at[probe] = count(); }}"
        f"uretprobe:{program}:deep /pid == cpid/ {{ @out[retval] = count(); @f[func] = count(); }}"
    )
    # with -c the kernel engine sees functions of that process only, like bpftrace; the ptrace engine also those of its descendants
    arguments = ("-c", f"sh -c 'exec {STEADY_ADDRESSES}{program} < /dev/null'", "-e", script)
    kernel = traced("kernel", tmp_path, *arguments).stdout.splitlines()
    # the function has no name where the program was gone before its mappings could be read
    kernel = sorted(re.sub(r"^@f\[0x[0-9a-f]+\]", "@f[deep]", line) for line in kernel)
    assert sorted(traced("ptrace", tmp_path, *arguments).stdout.splitlines()) == kernel
    assert "@in[0]: 1" in kernel and "@out[4]: 1" in kernel
