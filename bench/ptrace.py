"""Microseconds that following with ptrace adds to a system call, beside strace. The bound: at most twice `strace -f`.

A child makes the same call many times and measures how long that takes; the cost is what is more than untraced, the median of several
runs in turns. Other calls than the wanted one cost nothing with a filter: the row of another call shows it. With -p nobody can put
the process under a filter, so all its calls stop.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CALLS = 40_000
ROUNDS = int(os.environ.get("KLOUPE_BENCH_ROUNDS", "5"))
BOUND = 2.0
CHILD = """
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static int followed(void) {
    char line[256];
    int found = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status)) if (!strncmp(line, "TracerPid:", 10)) found = atoi(line + 10);
    fclose(status);
    return found;
}
int main(int argc, char **argv) { /* calls, file for the result, whether to wait for a tracer */
    char text[64];
    struct timespec start, end;
    int fd = open("/dev/zero", O_RDONLY), calls = atoi(argv[1]);
    while (argc > 3 && !followed()) usleep(1000);
    if (argc > 3) usleep(100000);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < calls; i++) read(fd, text, sizeof text);
    clock_gettime(CLOCK_MONOTONIC, &end);
    FILE *result = fopen(argv[2], "w");
    fprintf(result, "%.0f", (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec));
    return fclose(result);
}
"""
READ = "tracepoint:syscalls:sys_enter_read"
KLOUPE = (sys.executable, "-m", "kloupe", "-q", "--engine", "ptrace")
COUNT = f"{READ} {{ @ = count(); }}"
SCRIPTS = {
    "printf at the entry": f'{READ} {{ printf("%s/%d read(%d, %d)\\n", comm, tid, args.fd, args.count); }}',
    "printf with the buffer": f'{READ} {{ printf("%s/%d read(%d, %r, %d)\\n", comm, tid, args.fd, buf(args.buf, 16), args.count); }}',
    "count at the entry": COUNT,
    "count at entry and exit": f"{COUNT} tracepoint:syscalls:sys_exit_read {{ @x = count(); }}",
    "count of all calls by name": "tracepoint:syscalls:sys_enter_* { @[probe] = count(); }",
    "another call": "tracepoint:syscalls:sys_enter_getppid { @ = count(); }",
}
STRACE, STRACE_FILTER, STRACE_ATTACHED = "strace -f", "strace -f --seccomp-bpf -e read", "strace -f -p"


def subjects(output: str) -> dict[str, list[str]]:
    """Name -> words; the child's words come in the place of `{}`, or it is started first and its pid comes there (names ending in -p)."""
    found = {"untraced": ["{}"]}
    if shutil.which("strace"):
        found[STRACE] = ["strace", "-f", "-o", output, "{}"]
        found[STRACE_FILTER] = ["strace", "-f", "--seccomp-bpf", "-e", "trace=read", "-o", output, "{}"]
        found[STRACE_ATTACHED] = ["strace", "-f", "-o", output, "-p", "{}"]
    for name, script in SCRIPTS.items():
        found[f"kloupe, {name}"] = [*KLOUPE, "-o", output, "-c", "{}", "-e", script]
    found["kloupe, count at the entry, -p"] = [*KLOUPE, "-o", output, "-e", COUNT, "-p", "{}"]
    return found


def cost_us(name: str, words: list[str], program: str, result: Path) -> float:
    """What one call took."""
    child = [program, str(CALLS), str(result)]
    if name.endswith("-p"):
        followed = subprocess.Popen([*child, "wait"])
        subprocess.run([word.replace("{}", str(followed.pid)) for word in words], check=True, stderr=subprocess.DEVNULL)
        followed.wait()
    else:
        joined = " ".join(child)
        made = [
            part
            for word in words
            for part in ([joined] if word == "{}" and "-c" in words else child if word == "{}" else [word])
        ]
        subprocess.run(made, check=True)
    return float(result.read_text()) / CALLS / 1e3


def main() -> int:
    """Print the table; the status is 1 when the bound is broken."""
    if shutil.which("gcc") is None:
        print("needs gcc")
        return 0
    costs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "calls.c"
        source.write_text(CHILD)
        program = str(Path(folder) / "calls")
        subprocess.run(["gcc", "-O2", "-w", "-o", program, source], check=True)
        for _ in range(ROUNDS):  # in turns: a busy moment of the machine meets all
            for name, words in subjects(str(Path(folder) / "output")).items():
                costs.setdefault(name, []).append(cost_us(name, words, program, Path(folder) / "result"))
    plain = statistics.median(costs["untraced"])
    medians = {name: statistics.median(values) - (plain if name != "untraced" else 0) for name, values in costs.items()}
    print(f"| subject | us a call | of {STRACE} | of {STRACE_FILTER} |\n|---|---:|---:|---:|")
    for name, value in medians.items():
        ratios = [f"{value / medians[base]:.2f}" if base in medians else "-" for base in (STRACE, STRACE_FILTER)]
        print(f"| {name} | {value:.2f} | {ratios[0]} | {ratios[1]} |")
    worst = max(value for name, value in medians.items() if name.startswith("kloupe"))
    return int(STRACE in medians and worst > BOUND * medians[STRACE])


if __name__ == "__main__":
    sys.exit(main())
