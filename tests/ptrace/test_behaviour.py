"""Followed programs behave as if nobody followed them."""

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from following import follow, kloupe_words, run


@pytest.mark.parametrize(
    "command",
    [
        "bash -c 'trap \"echo usr1\" USR1; kill -USR1 $$; (exit 3); echo $?; kill -9 $BASHPID' ",
        "bash -c 'sleep 0.05 & wait $!; echo $?; (kill -SEGV $BASHPID); echo $?'",
        "bash -c 'set -m; sleep 0.3 & kill -STOP $!; sleep 0.05; jobs; kill -CONT $!; sleep 0.1; wait; echo done'",
        "sh -c 'yes | head -c 100000 | wc -c; ls /nonexistent; echo $?'",
        f"{sys.executable} -c 'import signal, time; signal.alarm(1); signal.pause()'",
    ],
)
def test_output_and_signals_are_those_of_an_untraced_run(command: str) -> None:
    plain = run(["sh", "-c", f"exec {command}"])
    script = "tracepoint:raw_syscalls:sys_enter { @ = count(); } tracepoint:signal:signal_deliver { @s = count(); } end { clear(@); clear(@s); }"
    done = run(kloupe_words("-c", command, "-e", script))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == plain.stdout.strip()
    assert re.sub(r"\d+", "N", done.stderr.strip()) == re.sub(r"\d+", "N", plain.stderr.strip())


def test_descendants_that_live_on_keep_their_system_calls(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    inner = f"(sleep 0.4; cat /etc/hostname > {mark}; echo end >> {mark}) >/dev/null 2>&1 & sleep 0.05"
    start = time.monotonic()
    out = follow(
        f'sh -c "{inner}"', "tracepoint:syscalls:sys_enter_openat,tracepoint:syscalls:sys_enter_read { @ = count(); }"
    )
    assert "@: " in out
    assert time.monotonic() - start < 30
    for _ in range(100):
        if mark.exists() and mark.read_text().endswith("end\n"):
            break
        time.sleep(0.05)
    assert mark.read_text().endswith("end\n") and len(mark.read_text()) > 4


def test_the_first_process_passes_signals_on() -> None:
    words = kloupe_words("-c", "sleep 30", "-e", 'begin { printf("ready\\n"); } end { printf("ended\\n"); }')
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(0.3)
    child.send_signal(2)
    assert "ended" in child.communicate(timeout=20)[0]
    assert child.returncode == 0


def test_a_failing_program_leaves_the_process_running(monkeypatch: pytest.MonkeyPatch) -> None:
    from kloupe.base.errors import MachineFault
    from kloupe.cli.following import packaged_target
    from kloupe.engine.machine.engine import MachineEngine
    from kloupe.engine.ptrace.engine import PtraceEngine
    from kloupe.engine.ptrace.facts import Facts
    from kloupe.image import AttachSpec, Image, ProgramSpec

    target = packaged_target()

    def fields(category: str, event: str) -> object:
        found = target.tracepoint(category, event)
        assert found is not None
        return found.fields

    def fail(*arguments: object, **options: object) -> int:
        raise MachineFault("on purpose")

    spec = AttachSpec("tracepoint", "t", {"category": "syscalls", "event": "sys_enter_getppid"})
    exit_0 = bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
    image = Image(
        "i", target.arch.name, (ProgramSpec("p", "tracepoint", "", exit_0, (), (), (), (), (spec,)),), (), (), (), {}
    )
    monkeypatch.setattr(MachineEngine, "fire", fail)
    code = "import os; input(); os.getppid(); print('still here')"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    with PtraceEngine(Facts(target.arch, target.call_numbers, fields), pid=child.pid) as engine:  # type: ignore[arg-type]
        engine.load(image)
        assert engine.attach() == []
        child.stdin.write("\n")
        child.stdin.flush()
        with pytest.raises(MachineFault):
            for _ in range(100):
                engine.poll(50)
    assert child.communicate(timeout=10)[0] == "still here\n"
    assert child.returncode == 0


def test_keys_of_the_terminal_reach_the_command_and_the_tracer() -> None:
    """Ctrl-C ends both; the command may read from the terminal, since it is in the foreground."""
    script = 'begin { printf("ready\\n"); } tracepoint:signal:signal_deliver { printf("delivered %d\\n", args.sig); } end { printf("ended\\n"); }'
    words = kloupe_words("-c", "cat", "-e", script)
    pid, terminal = pty.fork()
    if not pid:
        os.execv(words[0], words)
    seen = b""
    for answer, wanted in ((b"hello\n", b"ready"), (b"\x03", b"hello\r\nhello\r\n"), (b"", b"ended")):
        while wanted not in seen:
            seen += os.read(terminal, 4096)
        os.write(terminal, answer)
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # nobody has it open any more
            break
        if not data:
            break
        seen += data
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert seen.count(b"delivered 2") <= 1 and b"ERROR" not in seen
