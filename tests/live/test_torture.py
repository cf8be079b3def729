"""Programs that interrupt and preempt each other on the same CPUs lose no count and corrupt no record.

Several children make a system call as fast as they can. A tracepoint with large strings (scratch memory) and exact counters runs
for each call, while clock events at a high rate run other programs with large strings in between, also in the middle of it.
"""

import re
import subprocess
import sys
import textwrap

CHILDREN, CALLS = 4, 4000

SCRIPT = """
tracepoint:syscalls:sys_enter_mkdirat /comm == "torture"/ {
    $path = str(args.pathname);
    $copy = $path;
    @by_path[$path] = count();
    @plain++;
    @counted = count();
    @summed = sum(args.mode);
    if ($path != $copy) { @corrupt++; }
    if (args.mode % 100 == 0) { printf("rec %s|%s|%d\\n", $path, $copy, args.mode); }
}
software:cpu-clock:100000 /comm == "torture"/ {
    $a = str(kptr((uint64)curtask), 200);
    $b = $a;
    @ticks = count();
    @keys[$a, $b] = count();
    if ($a != $b) { @corrupt++; }
}
software:task-clock:70000 /comm == "torture"/ { $c = comm; @others[$c, $c] = count(); if ($c != "torture") { @corrupt++; } }
"""

CHILD = f"""
import ctypes
libc = ctypes.CDLL(None)
libc.prctl(15, b"torture", 0, 0, 0)
import os
kinds = [b"/nowhere/" + bytes([97 + k]) * (20 + 300 * k) for k in range(3)]
for _ in range({CHILDREN} - 1):
    if os.fork() == 0:
        break
for i in range({CALLS}):
    libc.mkdirat(-1, kinds[i % 3], i)
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
"""


def test_nested_programs_corrupt_and_lose_nothing(tmp_path) -> None:
    child = tmp_path / "child.py"
    child.write_text(textwrap.dedent(CHILD))
    script = tmp_path / "torture.bt"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-m", "kloupe", "-q", "-c", f"{sys.executable} {child}", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "@corrupt" not in done.stdout
    total = CHILDREN * CALLS
    numbers = dict(re.findall(r"^(@\w+): (\d+)$", done.stdout, re.M))
    lost = int(found[1]) if (found := re.search(r"Total lost event count: (\d+)", done.stderr)) else 0
    assert lost == 0, done.stderr
    assert int(numbers["@plain"]) == int(numbers["@counted"]) == total
    assert int(numbers["@summed"]) == CHILDREN * sum(range(CALLS))
    paths = re.findall(r"^@by_path\[/nowhere/([abc])\1*\]: (\d+)$", done.stdout, re.M)
    assert sum(int(count) for _, count in paths) == total and len(paths) == 3
    records = re.findall(r"^rec (.*)\|(.*)\|(\d+)$", done.stdout, re.M)
    assert len(records) == CHILDREN * len(range(0, CALLS, 100))
    for first, second, mode in records:
        kind = int(mode) % 3
        assert first == second == "/nowhere/" + "abc"[kind] * (20 + 300 * kind)
    assert int(numbers["@ticks"]) > 10
