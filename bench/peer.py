"""Finds the peer, runs commands and prints tables. The peer is `bpftrace` on PATH, or the command in KLOUPE_BENCH_PEER."""

from __future__ import annotations

import compileall
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import kloupe

KLOUPE = [sys.executable, "-m", "kloupe"]


def peer_command() -> list[str] | None:
    """The peer's command, or None when there is none."""
    given = os.environ.get("KLOUPE_BENCH_PEER")
    if given:
        return shlex.split(given)
    found = shutil.which("bpftrace")
    return [found] if found else None


@dataclass
class Run:
    """One run: wall seconds, CPU seconds, peak resident memory in MB, output."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    output: str


def measure(command: list[str], timeout_s: float = 300) -> Run:
    """Run once to the end and account for it and its children."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        output = process.stdout.read()
    finally:
        _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return Run(
        time.perf_counter() - start,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        output.decode(errors="replace"),
    )


def median_run(command: list[str], runs: int) -> Run:
    """The medians of several runs after one that is not counted."""
    measure(command)
    done = [measure(command) for _ in range(runs)]
    return Run(
        statistics.median(r.wall_s for r in done),
        statistics.median(r.cpu_s for r in done),
        statistics.median(r.peak_mb for r in done),
        done[-1].output,
    )


def table(title: str, rows: list[tuple[str, float | None, float | None, str]]) -> None:
    """Rows of (what, kloupe, peer, unit) with the ratio kloupe / peer."""
    print(f"\n{title}")
    print(f"{'':<44}{'kloupe':>12}{'peer':>12}{'ratio':>8}")
    for what, ours, theirs, unit in rows:
        cells = [f"{value:.4g} {unit}" if value is not None else "-" for value in (ours, theirs)]
        ratio = f"{ours / theirs:.2f}" if ours is not None and theirs else ""
        print(f"{what:<44}{cells[0]:>12}{cells[1]:>12}{ratio:>8}", flush=True)


def self_check() -> None:
    """Benchmarks load programs: say so before anything else fails."""
    if os.geteuid() != 0:
        sys.exit("the benchmarks load BPF programs: run them as root")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compileall.compile_dir(os.path.dirname(kloupe.__file__), quiet=1)  # as an install does
