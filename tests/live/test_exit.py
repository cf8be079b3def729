"""exit() in probes that the kernel runs."""

import os
import subprocess
import sys


def kloupe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kloupe", "-q", *arguments], capture_output=True, text=True, timeout=100, check=False
    )


def test_exit_in_an_iterator_waits_for_all_objects() -> None:
    program = "iter:task /ctx.task.pid == $1 || ctx.task.pid == $2/ { print(ctx.task.pid); exit(5); }"
    done = kloupe("-e", program, str(os.getpid()), str(os.getppid()))
    assert sorted(done.stdout.split()) == sorted([str(os.getpid()), str(os.getppid())])
    assert done.returncode == 5


def test_a_timer_does_not_fire_again() -> None:
    assert kloupe("-e", "interval:us:100 { @ = count(); exit(); }").stdout == "\n\n@: 1\n"
