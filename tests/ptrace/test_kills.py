"""SIGKILL at random moments: processes go on as if nothing had been.

The dice have a seed. KLOUPE_KILLS says how many kills there are: a few every day, 200 on CI.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from following import STEADY, build, changed_code, kloupe_words

KILLS = int(os.environ.get("KLOUPE_KILLS", "200" if os.environ.get("CI") == "true" else "10"))
LANES = 4  # for several processors
LIVES = 10  # kills that one process has to bear
WHOLE = "wrong 0 0 0 failed 0\n"
WAIT_S = 20


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("steady"), STEADY, "-O1", "-fno-ipa-cp", "-fno-ipa-pure-const")


def scripts(program: str) -> list[str]:
    """Breakpoints, system calls, and both."""
    places = f"uprobe:{program}:leaf {{ @ = count(); }} uretprobe:{program}:fact {{ @r = count(); }}"
    calls = "tracepoint:syscalls:sys_enter_clock_nanosleep,tracepoint:syscalls:sys_exit_wait4 { @c = count(); }"
    return [places, calls, places + calls, places + "profile:hz:99 { @p = count(); }"]


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def moments(limit_s: float) -> Iterator[float]:
    """Gives the time every few milliseconds, until it is too late."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        yield time.monotonic()
        time.sleep(0.003)


def threads(pid: int) -> list[int]:
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def is_followed(pid: int) -> bool:
    """Whether any of its threads has a tracer."""
    return any(status_of(tid)["TracerPid"] != "0" for tid in threads(pid))


def start(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def end(child: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = child.communicate("x", timeout=WAIT_S)
    return child.returncode, out


def kill_one(program: str, child: subprocess.Popen[str], dice: random.Random) -> bool:
    """Trace the process and kill the tracer, alone or with its group; gives whether it was tracing."""
    words = kloupe_words("-p", str(child.pid), "-e", dice.choice(scripts(program)))
    tracer = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
    if dice.random() < 0.8:  # from the attach on; else anywhere
        for _ in moments(WAIT_S):
            if status_of(child.pid)["TracerPid"] != "0" or child.poll() is not None:
                break
    time.sleep(dice.uniform(0, 0.2))
    traced = status_of(child.pid)["TracerPid"] != "0"
    (os.killpg if dice.random() < 0.5 else os.kill)(tracer.pid, signal.SIGKILL)
    tracer.wait()
    for _ in moments(WAIT_S):
        if not is_followed(child.pid):
            break
    return traced


@pytest.mark.parametrize("lane", range(LANES))
def test_a_process_that_was_attached_to(program: str, lane: int) -> None:
    dice = random.Random(lane)
    kills = len(range(lane, KILLS, LANES))
    traced = 0
    for left in range(kills, 0, -LIVES):
        child = start(program)
        time.sleep(0.05)
        for _ in range(min(LIVES, left)):
            traced += kill_one(program, child, dice)
            assert child.poll() is None
            assert not is_followed(child.pid)
            assert {status_of(tid)["State"][0] for tid in threads(child.pid)} <= {"R", "S", "D"}
            assert changed_code(child.pid, program) == []
        assert end(child) == (7, WHOLE)
    assert traced > kills // 3


def test_a_command_lives_on(program: str, tmp_path: Path) -> None:
    dice = random.Random(6)
    out = tmp_path / "out"
    for _ in range(max(2, KILLS // 10)):
        out.write_text("")
        command = f"sh -c 'echo started >> {out}; {program} >> {out}; echo $? >> {out}'"
        words = kloupe_words("-c", command, "-e", dice.choice(scripts(program)))
        tracer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert tracer.stdin is not None
        for _ in moments(WAIT_S):
            if out.read_text():
                break
        time.sleep(dice.uniform(0, 0.3))
        tracer.kill()
        tracer.wait()
        time.sleep(0.02)
        tracer.stdin.close()  # what the program waits for
        for _ in moments(WAIT_S):
            if out.read_text().endswith("7\n"):
                break
        assert out.read_text() == f"started\n{WHOLE}7\n"


def test_the_first_process_puts_the_code_back_when_the_tracer_is_killed(program: str) -> None:
    """As far as ptrace allows: a thread that stands at a breakpoint just then cannot be helped, so here nobody calls the function."""
    child = start(program)
    time.sleep(0.05)
    words = kloupe_words("-p", str(child.pid), "-e", f"uprobe:{program}:main {{ @ = count(); }}")
    first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for _ in moments(WAIT_S):
        if changed_code(child.pid, program):
            break
    assert len(changed_code(child.pid, program)) == 1
    os.kill(int(status_of(child.pid)["TracerPid"]), signal.SIGKILL)
    _, messages = first.communicate(timeout=WAIT_S)
    assert (first.returncode, "ended by SIGKILL" in messages) == (137, True)
    assert changed_code(child.pid, program) == []
    assert end(child) == (7, WHOLE)
