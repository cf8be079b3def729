"""Microseconds that following with ptrace adds to a system call, beside strace. The bound: at most twice `strace -f`.

A child makes the same call many times; the cost is the time of a run with calls less that of one without, divided by
their number, the median of several. Other calls than the wanted one cost nothing with a filter: the last row shows it.
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

CALLS = 40_000
ROUNDS = int(os.environ.get("KLOUPE_BENCH_ROUNDS", "5"))
BOUND = 2.0
CHILD = """
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char text[64];
    int fd = open("/dev/zero", O_RDONLY), calls = atoi(argv[1]);
    for (int i = 0; i < calls; i++) read(fd, text, sizeof text);
    return 0;
}
"""
READ = "tracepoint:syscalls:sys_enter_read"
KLOUPE = (sys.executable, "-m", "kloupe", "-q", "--engine", "ptrace")
SCRIPTS = {
    "kloupe, printf at the entry": f'{READ} {{ printf("%s/%d read(%d, %d)\\n", comm, tid, args.fd, args.count); }}',
    "kloupe, count at the entry": f"{READ} {{ @ = count(); }}",
    "kloupe, count at entry and exit": f"{READ} {{ @ = count(); }} tracepoint:syscalls:sys_exit_read {{ @x = count(); }}",
    "kloupe, another call": "tracepoint:syscalls:sys_enter_getppid { @ = count(); }",
}


def commands(program: str, output: str) -> dict[str, list[str]]:
    """The subjects: words to which the number of calls belongs where `{}` stands."""
    found = {"untraced": [program, "{}"]}
    if shutil.which("strace"):
        found["strace -f"] = ["strace", "-f", "-o", output, program, "{}"]
        found["strace -f --seccomp-bpf -e read"] = [
            *("strace", "-f", "--seccomp-bpf", "-e", "trace=read", "-o", output, program, "{}")
        ]
    for name, script in SCRIPTS.items():
        found[name] = [*KLOUPE, "-o", output, "-c", f"{program} {{}}", "-e", script]
    return found


def seconds(words: list[str], calls: int) -> float:
    """The time of one run."""
    start = time.perf_counter()
    subprocess.run([word.replace("{}", str(calls)) if "{}" in word[-3:] else word for word in words], check=True)
    return time.perf_counter() - start


def main() -> int:
    """Print the table; the status is 1 when the bound is broken."""
    if shutil.which("gcc") is None:
        print("needs gcc")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "calls.c"
        source.write_text(CHILD)
        program = str(Path(folder) / "calls")
        subprocess.run(["gcc", "-O2", "-o", program, source], check=True)
        costs: dict[str, list[float]] = {}
        subjects = commands(program, str(Path(folder) / "output"))
        for _ in range(ROUNDS):  # in turns: a busy moment of the machine meets all
            for name, words in subjects.items():
                cost = (seconds(words, CALLS) - seconds(words, 0)) / CALLS * 1e6
                costs.setdefault(name, []).append(cost)
    medians = {name: statistics.median(values) for name, values in costs.items()}
    base = medians.get("strace -f", 0.0)
    print("| subject | µs a call | of strace -f |\n|---|---:|---:|")
    for name, value in medians.items():
        print(f"| {name} | {value:.2f} | {f'{value / base:.2f}' if base else '-'} |")
    worst = max(value for name, value in medians.items() if name.startswith("kloupe"))
    return int(bool(base) and worst > BOUND * base)


if __name__ == "__main__":
    sys.exit(main())
