"""--record and --replay from outside: with the engines that work here, and after a kill."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kloupe.recording.read import Recording

KILLS = 8 if os.environ.get("CI") == "true" else 2
COMMAND = [sys.executable, "-m", "kloupe", "-q"]
OPENED = 'tracepoint:syscalls:sys_enter_openat /comm == "cat"/ { printf("%s %s\\n", comm, str(args.filename)); @[ustack(3)] = count(); }'


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def engines() -> list[str]:
    return ["kernel", "ptrace"] if os.geteuid() == 0 and os.path.exists("/sys/kernel/btf/vmlinux") else ["ptrace"]


@pytest.mark.parametrize("engine", engines())
def test_what_a_command_opened_is_the_same_again(tmp_path, engine):
    path = str(tmp_path / "r.klr")
    live = run(
        "--engine", engine, "--record", path, "-c", "cat /etc/hostname", "-o", str(tmp_path / "out"), "-e", OPENED
    )
    assert live.returncode == 0, live.stderr
    printed = (tmp_path / "out").read_text()
    assert "cat /etc/hostname" in printed
    again = run("--replay", path)
    assert (again.returncode, again.stdout) == (0, printed)
    other = run("--replay", path, "-e", "tracepoint:syscalls:sys_enter_open* { @[probe, comm] = count(); }")
    assert "@[tracepoint:syscalls:sys_enter_openat, cat]: " in other.stdout


def test_many_system_calls_are_recorded_under_their_own_names(tmp_path):
    path = str(tmp_path / "r.klr")
    script = 'tracepoint:syscalls:sys_enter_* /comm == "cat"/ { @[probe] = count(); }'
    live = run(
        "--engine", engines()[0], "--record", path, "-c", "cat /etc/hostname", "-o", str(tmp_path / "out"), "-e", script
    )
    assert live.returncode == 0, live.stderr
    assert "sys_enter_openat]: " in (tmp_path / "out").read_text()
    assert run("--replay", path).stdout == (tmp_path / "out").read_text()


def test_functions_of_a_library_are_found_by_any_of_its_names_and_without_its_file(tmp_path):
    import shutil

    path, library = str(tmp_path / "r.klr"), str(tmp_path / "libcopied.so")
    found = next(
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "/libc.so" in line or "/libc-" in line
    )
    shutil.copy(found, library)
    code = f"import ctypes; lib = ctypes.CDLL('{library}'); [lib.labs(n) for n in (1, 2, 3)]"
    script = f"uprobe:{library}:labs {{ @ = sum(arg0); }} uretprobe:{library}:labs {{ @r = sum(retval); }}"
    command = f'{sys.executable} -c "{code}"'
    live = run("--engine", "ptrace", "--record", path, "-c", command, "-e", script)
    assert (live.returncode, live.stdout.split()) == (0, ["@:", "6", "@r:", "6"]), live.stderr
    os.remove(library)
    for name in (library, "libcopied", f"{tmp_path}/lib*"):
        again = run("--replay", path, "-e", f"uprobe:{name}:labs {{ @[probe] = sum(arg0); }}")
        assert again.stdout.split() == [f"@[uprobe:{library}:labs]:", "6"], again.stderr
    assert run("--replay", path, "-e", f"uprobe:{library}:abs {{ }}").returncode


@pytest.mark.parametrize("engine", ["machine", *engines()])
def test_killed_at_any_moment_it_is_read_to_its_last_block(tmp_path, engine):
    """Whatever was written before the kill is there, and a replay of it gives the same counts as reading it."""
    dice = random.Random(engine)
    script = "interval:ms:5 { @ = count(); }"
    follow = [] if engine == "machine" else ["-c", "sleep 100"]
    seen = []
    for number in range(KILLS):
        path = str(tmp_path / f"{number}.klr")
        process = subprocess.Popen(
            [*COMMAND, "--engine", engine, "--record", path, *follow, "-e", script], start_new_session=True
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and (not os.path.exists(path) or os.path.getsize(path) < 9):
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 2.5) if number else 2.5)
        kill_all(process)
        runs = len(list(Recording(path).runs()))
        done = run("--replay", path)
        assert "cut off" in done.stderr
        assert re.findall(r"^@: (\d+)$", done.stdout, re.MULTILINE) == ([str(runs)] if runs else [])
        seen.append(runs)
    assert seen[0] > 100


def kill_all(process: "subprocess.Popen[bytes]") -> None:
    """Kill it with its children. All are stopped before, so that nobody sees another's end and ends the recording well."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in (process.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
    process.wait()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--record", "/nonexistent/x", "-e", "begin { }"], "cannot write the recording"),
        (["--replay", "/nonexistent/x"], "cannot read the recording"),
        (["--replay", "x", "-p", "1", "-e", "begin { }"], "--replay cannot be used with --pid"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    done = run("--engine", "machine", *arguments) if "--record" in arguments else run(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
