"""Nanoseconds of a program's run per hit, from the kernel's BPF statistics, beside the peer.

A child makes the same system call many times; the probe filters on its comm. The statistics of the peer's programs are read
while it runs, by walking the ids of loaded programs and keeping those that were not there before.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from peer import KLOUPE, peer_command, self_check, table

from kloupe.host import bpf

CALLS = 300_000
CHILD = """
#include <unistd.h>
#include <sys/syscall.h>
int main(void) {
    char text[64] = "some text of forty-two characters, or so..";
    usleep(300000);
    for (int i = 0; i < CALLS; i++) syscall(SYS_mkdirat, -1, text, 0);
    usleep(400000);
    return 0;
}
"""
ENTER = "tracepoint:syscalls:sys_enter_mkdirat"
EXIT = "tracepoint:syscalls:sys_exit_mkdirat"
SUBJECTS = {
    "count": f"{ENTER} /pid == cpid/ {{ @ = count(); }}",
    "count by comm": f"{ENTER} /pid == cpid/ {{ @[comm] = count(); }}",
    "hist": f"{ENTER} /pid == cpid/ {{ @ = hist(args.mode); }}",
    "latency by thread": f"{ENTER} /pid == cpid/ {{ @s[tid] = nsecs; }} "
    f"{EXIT} /pid == cpid/ {{ @l = hist(nsecs - @s[tid]); delete(@s, tid); }}",
    "str()": f"{ENTER} /pid == cpid/ {{ @[str(args.pathname)] = count(); }}",
    "kstack": f"{ENTER} /pid == cpid/ {{ @[kstack] = count(); }}",
    "printf": f'{ENTER} /pid == cpid/ {{ printf("%d %s\\n", pid, comm); }}',
}


def build_child(folder: str) -> str:
    """Compile the child; its path."""
    source = Path(folder) / "calls.c"
    source.write_text(CHILD)
    program = str(Path(folder) / "calls")
    subprocess.run(["gcc", "-O2", f"-DCALLS={CALLS}", "-o", program, source], check=True)
    return program


def program_ids() -> set[int]:
    """The ids of all programs that are loaded."""
    return set(bpf.program_ids())


def ns_per_hit(command: list[str]) -> float | None:
    """Nanoseconds per call of the child, summed over the command's programs; None when nothing ran."""
    before = program_ids()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    best: dict[int, tuple[int, int]] = {}
    while process.poll() is None:
        for number in program_ids() - before:
            found = bpf.program_times(number)
            if found is not None:
                best[number] = found
        time.sleep(0.02)
    hits = {number: value for number, value in best.items() if value[0] >= CALLS * 0.9}
    return sum(ns / count for count, ns in hits.values()) if hits else None


def main() -> None:
    """Print the table; medians of five runs that alternate."""
    self_check()
    if shutil.which("gcc") is None:
        sys.exit("gcc is needed to build the child")
    stats = bpf.enable_stats()
    peer = peer_command()
    rows: list[tuple[str, float | None, float | None, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        child = build_child(folder)
        for name, program in SUBJECTS.items():
            ours, theirs = [], []
            for _ in range(int(os.environ.get("KLOUPE_BENCH_RUNS", "5"))):
                ours.append(ns_per_hit([*KLOUPE, "-c", child, "-e", program]))
                if peer:
                    theirs.append(ns_per_hit([*peer, "-c", child, "-e", program]))
            rows.append((name, _median(ours), _median(theirs), "ns"))
    os.close(stats)
    table("nanoseconds per hit", rows)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


if __name__ == "__main__":
    main()
