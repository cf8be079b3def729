"""`report` of a million function-graph events and of a million events of three kinds, beside trace-cmd; and what recording loses.

The peer is `trace-cmd` on PATH, or the command in KLOUPE_BENCH_TRACE_CMD. The files are made here; both tools must print the same lines.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from peer import KLOUPE, Run, median_run, table

from kloupe.ftrace.split import PageMaker
from kloupe.ftrace.tracedat.tables import Tables
from kloupe.ftrace.tracedat.write import write_trace

EVENTS = 1_000_000
RUNS = 3
FUNCTIONS = 2_000
BASE = 0xFFFFFFFF81000000
_TURN_NS = 100_000  # the CPUs take turns, as tasks that wait for each other do
COMMON = """\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
"""
HEADER = """\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;
"""


def _format(name: str, number: int, fields: list[tuple[str, int, int, int]], print_fmt: str) -> bytes:
    lines = "".join(f"\tfield:{decl};\toffset:{at};\tsize:{size};\tsigned:{sign};\n" for decl, at, size, sign in fields)
    return f"name: {name}\nID: {number}\nformat:\n{COMMON}\n{lines}\nprint fmt: {print_fmt}\n".encode()


FORMATS = [
    ("ftrace", _format("funcgraph_entry", 11, [("unsigned long func", 8, 8, 0), ("int depth", 16, 4, 1)], '"--> %ps (%d)", (void *)REC->func, REC->depth')),
    (
        "ftrace",
        _format(
            "funcgraph_exit",
            10,
            [
                ("unsigned long func", 8, 8, 0), ("int depth", 16, 4, 1), ("unsigned int overrun", 20, 4, 0),
                ("unsigned long long calltime", 24, 8, 0), ("unsigned long long rettime", 32, 8, 0),
            ],
            '"<-- %ps (%d)", (void *)REC->func, REC->depth',
        ),
    ),
    (
        "sched",
        _format(
            "sched_switch",
            300,
            [
                ("char prev_comm[16]", 8, 16, 0), ("pid_t prev_pid", 24, 4, 1), ("int prev_prio", 28, 4, 1), ("long prev_state", 32, 8, 1),
                ("char next_comm[16]", 40, 16, 0), ("pid_t next_pid", 56, 4, 1), ("int next_prio", 60, 4, 1),
            ],
            '"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s ==> next_comm=%s next_pid=%d next_prio=%d", REC->prev_comm, REC->prev_pid, '
            'REC->prev_prio, __print_flags(REC->prev_state & 255, "|", { 0x00000001, "S" }, { 0x00000002, "D" }), REC->next_comm, REC->next_pid, REC->next_prio',
        ),
    ),
    (
        "syscalls",
        _format(
            "sys_enter_read",
            301,
            [("int __syscall_nr", 8, 4, 1), ("unsigned int fd", 16, 8, 0), ("char * buf", 24, 8, 0), ("size_t count", 32, 8, 0)],
            '"fd: 0x%08lx, buf: 0x%08lx, count: 0x%08lx", ((unsigned long)(REC->fd)), ((unsigned long)(REC->buf)), ((unsigned long)(REC->count))',
        ),
    ),
    (
        "kmem",
        _format(
            "kmem_cache_reap",
            302,
            [("unsigned long site", 8, 8, 0), ("const void * ptr", 16, 8, 0), ("size_t size", 24, 8, 0), ("unsigned long gfp", 32, 8, 0)],
            '"site=%pS ptr=%p size=%zu flags=%s", (void *)REC->site, REC->ptr, REC->size, (REC->gfp) ? __print_flags(REC->gfp, "|", {0x40, "IO"}, {0x80, "FS"}, {0x400, "RECLAIM"}) : "none"',
        ),
    ),
]  # fmt: skip


def _tables() -> Tables:
    kallsyms = "".join(f"{BASE + 64 * n:016x} t function_{n}\n" for n in range(FUNCTIONS)).encode()
    comms = "".join(f"{pid} task-{pid}\n" for pid in range(1000, 1040)).encode()
    return Tables(
        "<",
        8,
        4096,
        HEADER.encode(),
        b"# compressed entry header\n",
        FORMATS,
        kallsyms,
        b"",
        comms,
        "mono",
        "[mono]",
        "Linux bench 6.12.0 x86_64",
        2,
    )


def _graph_records(cpu: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Calls three deep, most of them leaves."""
    entry, leave = struct.Struct("<HBBiQi"), struct.Struct("<HBBiQiIQQ")
    at, made, number = 10**9 + cpu * _TURN_NS, 0, cpu
    turn = at

    def function(step: int) -> int:
        return BASE + 64 * ((number * 7 + step * 131) % FUNCTIONS)

    while made < count:
        pid, start = 1000 + number % 20 + 20 * cpu, at
        yield at, entry.pack(11, 0, 1, pid, function(0), 0)
        for step in range(1, 5):
            at += 300 + number % 97
            yield at, entry.pack(11, 0, 1, pid, function(step), 1)
            at += 700 + number % 313
            yield at, leave.pack(10, 0, 1, pid, function(step), 1, 0, at - 700, at)
        at += 200
        yield at, leave.pack(10, 0, 1, pid, function(0), 0, 0, start, at)
        at += 500
        made += 10
        number += 1
        if at - turn > _TURN_NS:
            turn = at = at + _TURN_NS


def _event_records(cpu: int, count: int) -> Iterator[tuple[int, bytes]]:
    switch, read, reap = struct.Struct("<HBBi16siiq16sii"), struct.Struct("<HBBii4xQQQ"), struct.Struct("<HBBiQQQQ")
    turn = at = 10**9 + cpu * _TURN_NS
    for number in range(count):
        at += 900 + number % 211
        if at - turn > _TURN_NS:
            turn = at = at + _TURN_NS
        pid, other = 1000 + number % 20 + 20 * cpu, 1000 + (number + 7) % 20 + 20 * cpu
        if number % 3 == 0:
            yield (
                at,
                switch.pack(300, 1, 2, pid, b"task-%d" % pid, pid, 120, number % 3, b"task-%d" % other, other, 120),
            )
        elif number % 3 == 1:
            yield at, read.pack(301, 0, 0, pid, 0, number % 9, 0x7FFC00000000 + 16 * number, 4096)
        else:
            yield (
                at,
                reap.pack(
                    302,
                    0,
                    1,
                    pid,
                    BASE + 64 * (number % FUNCTIONS) + 12,
                    0xFFFF888000000000 + 64 * number,
                    number % 4096,
                    (0, 0x40, 0xC0, 0x4C0)[number % 4],
                ),
            )


def _pages(records: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    maker = PageMaker("<", 8)
    for time_ns, data in records:
        page = maker.add(time_ns, data)
        if page:
            yield page
    last = maker.take()
    if last:
        yield last


def _peer() -> list[str] | None:
    given = os.environ.get("KLOUPE_BENCH_TRACE_CMD")
    found = shutil.which("trace-cmd")
    return shlex.split(given) if given else [found] if found else None


def _report(command: list[str], path: str, out: str) -> Run:
    return median_run(["sh", "-c", f'exec "$@" > {shlex.quote(out)}', "sh", *command, path], RUNS)


def main() -> None:
    """Print the tables."""
    peer = _peer()
    with tempfile.TemporaryDirectory(dir=os.environ.get("KLOUPE_BENCH_DIR")) as folder:
        rows = []
        for what, records in (("function-graph events", _graph_records), ("events of three kinds", _event_records)):
            path = f"{folder}/trace.dat"
            write_trace(path, _tables(), [("", [(cpu, _pages(records(cpu, EVENTS // 2))) for cpu in range(2)])])
            ours = _report([*KLOUPE, "ftrace", "report"], path, f"{folder}/ours.txt")
            theirs = _report([*peer, "report"], path, f"{folder}/theirs.txt") if peer else None
            if (
                theirs
                and subprocess.run(["cmp", "-s", f"{folder}/ours.txt", f"{folder}/theirs.txt"], check=False).returncode
            ):
                sys.exit(f"the reports of {what} differ")
            rows.append((f"a million {what}: wall", ours.wall_s, theirs.wall_s if theirs else None, "s"))
            rows.append((f"a million {what}: CPU", ours.cpu_s, theirs.cpu_s if theirs else None, "s"))
            rows.append((f"a million {what}: memory", ours.peak_mb, theirs.peak_mb if theirs else None, "MB"))
        table("report of a trace.dat (kloupe uses all CPUs)", rows)
        _recording(folder, peer)


def _recording(folder: str, peer: list[str] | None) -> None:
    """Events that are lost while a busy function graph is recorded with the same small buffers; only where the kernel has that tracer."""
    tracing = "/sys/kernel/tracing"
    try:
        with open(f"{tracing}/available_tracers") as file:
            tracers = file.read().split()
    except OSError:
        tracers = []
    if "function_graph" not in tracers or os.geteuid() != 0:
        print("\nrecording: this kernel has no function_graph tracer, or not for this user")
        return
    load = ["dd", "if=/dev/zero", "of=/dev/null", "bs=512", "count=20000"]
    found = []
    for tool, command in (
        ("kloupe", [*KLOUPE, "ftrace", "record", "-o", f"{folder}/k.dat", "-t", "graph", "-b", "512k", "--", *load]),
        (
            "peer",
            [*peer, "record", "-o", f"{folder}/t.dat", "-p", "function_graph", "-b", "512", "-F", *load]
            if peer
            else None,
        ),
    ):
        if command is None:
            found.append((None, None))
            continue
        subprocess.run(command, check=True, capture_output=True)
        path = f"{folder}/{tool[0]}.dat" if tool == "kloupe" else f"{folder}/t.dat"
        facts = subprocess.run([*KLOUPE, "ftrace", "info", path], capture_output=True, text=True, check=True).stdout
        kept = sum(int(n) for n in re.findall(r"instance: (\d+) events", facts))
        lost = sum(int(n) for n in re.findall(r"overrun: (\d+)", facts))
        found.append((float(kept), float(lost)))
    (kept, lost), (their_kept, their_lost) = found
    table(
        "recording a busy function graph, 512 kB for each CPU",
        [("events kept", kept, their_kept, ""), ("events lost", lost, their_lost, "")],
    )


if __name__ == "__main__":
    main()
