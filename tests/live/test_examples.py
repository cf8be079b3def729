"""The examples: all compile for this kernel and attach; those that need nothing print what they should."""

import subprocess
import sys
from pathlib import Path

import pytest

from kloupe.cli.machine import live_target

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.bt"))


def kloupe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kloupe", *arguments], capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if "self-test" not in path.name], ids=lambda path: path.stem
)
def test_attaches(path: Path) -> None:
    done = kloupe("--dry-run", "-c", "/bin/true", str(path))
    if "kprobe:" in path.read_text() and not live_target().has("kprobe"):
        assert done.returncode == 255 and "this kernel has no kprobes" in done.stderr
    else:
        assert done.returncode == 0, done.stderr


def test_there_are_enough() -> None:
    assert len(EXAMPLES) >= 15


def test_opened_files_of_a_command() -> None:
    done = kloupe("-q", "-c", "/bin/cat /etc/hostname", str(EXAMPLES[4]))
    assert done.returncode == 0 and "/etc/hostname" in done.stdout


def test_calls_by_name() -> None:
    done = kloupe("-q", "-c", "/bin/true", str(EXAMPLES[5]))
    assert "@calls[tracepoint:syscalls:sys_enter_exit_group]: 1\n" in done.stdout


def test_statistics_need_no_privilege() -> None:
    done = kloupe("-q", "--engine", "machine", str(EXAMPLES[16]))
    assert "@stats: { .count = 100, .average = 50, .total = 5050 }\n" in done.stdout


def test_the_script_that_tests_itself() -> None:
    done = kloupe("--engine", "machine", "--test", str(EXAMPLES[17]))
    assert done.returncode == 0 and "3 tests ran." in done.stdout
