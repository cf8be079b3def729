"""Sessions on this machine's own kernel: its events, in instances of our own, seen only by a private mount of tracefs."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from layers import cannot_run

KLOUPE = [sys.executable, "-m", "kloupe", "ftrace"]
MOUNT = 'mount --make-rprivate / && mount -t tracefs nodev /sys/kernel/tracing && exec "$@"'
PRIVATE = ["unshare", "-m", "sh", "-c", MOUNT, "--"]
LIST = "ls -A /sys/kernel/tracing/instances; cat /sys/kernel/tracing/dynamic_events; cat /sys/kernel/tracing/current_tracer"


@pytest.fixture(scope="module", autouse=True)
def tracefs():
    done = subprocess.run(
        [*PRIVATE, "sh", "-c", "cat /sys/kernel/tracing/available_tracers"], capture_output=True, check=False
    )
    if done.returncode:
        cannot_run("mounting tracefs in a private namespace needs root")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("KLOUPE_STATE_DIR", str(tmp_path / "state"))


def kloupe(*words: str, status: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [*PRIVATE, *KLOUPE, *words], capture_output=True, text=True, errors="replace", timeout=100, check=False
    )
    assert done.returncode == status, (done.returncode, done.stdout[-1000:], done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    return done


def left() -> list[str]:
    """What ended sessions have left: instances and events named after a process that is no more. Other tests kill sessions at the same
    time, and restore them a moment later."""
    deadline = time.monotonic() + 10
    while True:
        text = subprocess.run([*PRIVATE, "sh", "-c", LIST], capture_output=True, text=True, check=True).stdout
        found = [pid for pid in re.findall(r"kloupe[-_](?:lat_)?(\d+)", text) if not os.path.exists(f"/proc/{pid}")]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def test_events_of_a_command():
    done = kloupe("events", "sched:sched_process_exec", "sched_process_exit", "--", "true")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert (
        len(lines) == 2 and "sched_process_exec: filename=" in lines[0] and "sched_process_exit: comm=true" in lines[1]
    )
    assert done.stdout.startswith("# tracer: nop\n") and not left()


def test_the_commands_status_and_signals():
    assert kloupe("events", "sched:sched_process_exit", "--", "sh", "-c", "exit 7", status=7)
    assert kloupe("events", "sched:sched_process_exit", "--", "sh", "-c", "kill -TERM $$", status=143)
    process = subprocess.Popen(
        [*PRIVATE, *KLOUPE, "events", "sched:sched_process_exit", "--", "sleep", "30"],
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    out = process.communicate(timeout=20)[0]
    assert process.returncode == 143 and "sched_process_exit: comm=sleep" in out and not left()


def test_filters_and_triggers():
    done = kloupe(
        "events",
        "syscalls:sys_enter_openat",
        "--where",
        "flags == 0x80000",
        "--show-commands",
        "--",
        "cat",
        "/etc/hostname",
    )
    flags = {int(text, 16) for text in re.findall(r"flags: (0x[0-9a-f]+|0)", done.stdout)}
    assert flags == {0x80000}, done.stdout
    assert "echo 'flags == 0x80000' > instances/kloupe-" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["events", "sched:sched_swich", "--", "true"], "Did you mean 'sched:sched_switch'"),
        (["events", "sched:sched_switch", "--where", "prev_pidd > 0", "--", "true"], "its fields are: prev_comm"),
        (["events", "sched:sched_switch", "--where", "prev_pid >", "--", "true"], "cannot be filtered by"),
        (["events", "sched:sched_switch", "-C", "sundial", "--", "true"], "this kernel has: local"),
        (["events", "sched:sched_switch", "-O", "nothing-such", "--", "true"], "no tracing option"),
        (["events", "sched:sched_switch", "-p", "999999999", "--", "true"], "no process 999999999"),
        (["nonsense", "--", "true"], "no tracer 'nonsense'"),
        (["events", "sched:sched_switch", "--", "/no/such/program"], "does not exist"),
        (["events", "--", "true"], "no event is given"),
        (["events", "sched", "--cpu", "x", "--", "true"], "no list of CPUs"),
        (["events", "sched", "-b", "much", "--", "true"], "is no size"),
        (["events", "sched", "--for", "soon"], "is no time"),
        (["events", "sched", "--wher", "x"], "Did you mean '--where'?"),
        (["events", "sched", "--json", "--tree", "--", "true"], "choose one"),
        (["events", ""], "needs a name"),
        (["events", "sched", "--for", "0", "--", "true"], "no time to trace"),
        (["events", "sched", "--"], "the command behind -- is missing"),
        (["events", "sched", "--clock", "", "--", "true"], "not empty"),
        (["events", "sched", "--cpu", "999", "--", "true"], "there is no CPU 999"),
        (["events", "sched", "-O", "../tracing_on", "--", "true"], "no tracing option '../tracing_on'"),
        (["events", "sched", "--depth", "3", "--", "true"], "is about graphs of functions, not about events"),
        (["events", "sched", "--args", "--", "true"], "is about functions"),
        (["events", "sched", "true"], "comes behind --"),
        (["events", "sched:sched_process_exec", "--trigger", "nothing", "--", "true"], "cannot have the trigger"),
        (["events", "sched", "--trigger", "!stacktrace", "--", "true"], "take it away"),
        (["events", "sched", "--stat", "--sort", "size", "--", "true"], "no column"),
        (["events", "sched", "--json", "-o", "/no/such/place", "--", "echo", "ran"], "there is no folder"),
        (["record", "-e", "sched", "-o", "/", "--", "echo", "ran"], "it is a folder"),
        (["evnts", "sched"], "Did you mean 'events'"),
        (["hist", "sched:sched_switch", "--match", "a=b", "--for", "1s"], "belongs to --until"),
        (["list", "things"], "list what?"),
        (["list", "events", "sched:sched_swich"], "Did you mean 'sched:sched_switch'"),
        (["report"], "one trace.dat is needed"),
        (["report", "/no/such/file"], "cannot read"),
        (["restore", "/no/such/file"], "nothing to restore"),
    ],
)
def test_clear_messages(words, said):
    done = subprocess.run([*PRIVATE, *KLOUPE, *words], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and done.stdout == "" and said in done.stderr and "Traceback" not in done.stderr, (
        done.stderr
    )
    assert not left()


def test_without_privilege():
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *KLOUPE, "events", "sched", "--", "true"],
        capture_output=True, text=True, check=False, env={**os.environ, "KLOUPE_STATE_DIR": "/tmp/none-such"},
    )  # fmt: skip
    assert done.returncode == 1 and "HINT" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_views_of_a_command():
    objects = [
        json.loads(line)
        for line in kloupe(
            "events", "syscalls:sys_enter_openat", "--json", "--", "cat", "/etc/hostname"
        ).stdout.splitlines()
        if line.startswith("{")
    ]
    assert objects and all(o["event"] == "syscalls:sys_enter_openat" and o["comm"] == "cat" for o in objects)
    assert [o["time_ns"] for o in objects] == sorted(o["time_ns"] for o in objects)


def test_stacks_in_every_view(tmp_path):
    """Their records are shorter than the format says, up to the very end of a page."""
    command = ["events", "syscalls:sys_enter_*", "-T"]
    rows = kloupe(*command, "--json", "--", "cat", "/etc/hostname").stdout.splitlines()
    stacks = [json.loads(row) for row in rows if '"event":"ftrace:kernel_stack"' in row]
    assert stacks and all(len(one["fields"]["caller"]) == one["fields"]["size"] for one in stacks), stacks[:2]
    assert all(one["text"].startswith("<stack trace >\n=> ") for one in stacks)
    tree = kloupe(*command, "--tree", "--", "true").stdout
    assert "ftrace:kernel_stack: <stack trace >\n" + " " * 48 + "=> " in tree


@pytest.mark.parametrize("kind", [["--file-version", "6"], ["--compression", "zlib"], []])
def test_recordings(tmp_path, kind):
    path = tmp_path / "a.dat"
    kloupe("record", "-o", str(path), "-e", "sched:sched_process_exec", "-e", "syscalls", *kind, "--", "true")
    text = kloupe("report", str(path)).stdout
    assert "sched_process_exec:   filename=" in text and "sys_enter_exit_group: " in text
    assert sorted(os.listdir(tmp_path)) == ["a.dat", "state"]
    facts = kloupe("info", str(path)).stdout
    assert "sched:sched_process_exec" in facts and f"version {6 if '6' in kind else 7}" in facts


def test_a_recorder_that_was_killed(tmp_path):
    path = tmp_path / "a.dat"
    process = subprocess.Popen(
        [
            *PRIVATE,
            *KLOUPE,
            "record",
            "-o",
            str(path),
            "-e",
            "syscalls",
            "--",
            "sh",
            "-c",
            "while :; do :; done < /dev/null & ls / > /dev/null; sleep 20",
        ],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not any(part.stat().st_size for part in tmp_path.glob("a.dat.cpu*")) and time.monotonic() < deadline:
        subprocess.run(["true"], check=True)
        time.sleep(0.1)
        if time.monotonic() > deadline - 20:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = kloupe("restore", str(path))
    assert "restored from the pages" in done.stdout and path.exists() and not list(tmp_path.glob("a.dat.*"))
    kloupe("report", str(path))
    assert "restored after pid" in kloupe("restore").stdout and not left()


def test_killed_at_random_moments():
    chance = random.Random(11)
    for _ in range(int(os.environ.get("KLOUPE_KILLS", "6"))):
        process = subprocess.Popen(
            [*PRIVATE, *KLOUPE, "events", "sched", "irq", "--where", "common_pid > 0", "-b", "100k", "--", "sleep", "9"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(chance.uniform(0.05, 0.8))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kloupe("restore")
    assert not left() and "nothing to restore" in kloupe("restore").stdout


def test_two_sessions_at_once():
    first = subprocess.Popen(
        [*PRIVATE, *KLOUPE, "events", "sched:sched_process_exit", "--", "sleep", "1.5"],
        stdout=subprocess.PIPE,
        text=True,
    )
    second = kloupe("events", "sched:sched_process_exec", "--", "true").stdout
    out = first.communicate(timeout=30)[0]
    assert "comm=sleep" in out and "sched_process_exec" not in out
    assert "sched_process_exec" in second and "sched_process_exit" not in second and not left()


def test_from_python(tmp_path):
    program = """
import kloupe.ftrace as ftrace
with ftrace.session(events=["syscalls:sys_enter_openat", "sched:sched_process_exit"], command=["cat", "/etc/hostname"]) as trace:
    found = list(trace)
print([event.name for event in found][-1], {event.comm for event in found}, trace.lost, len(found) > 3, trace.trace.problems)
assert [event.time_ns for event in found] == sorted(event.time_ns for event in found)
with ftrace.session(events=["sched:sched_process_exit"], duration_s=0.3) as trace:
    list(trace)
"""
    path = tmp_path / "program.py"
    path.write_text(program)
    done = subprocess.run([*PRIVATE, sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.stdout.splitlines()[-1] == "sched_process_exit {'cat'} 0 True []" and not left()


def test_where_given_twice_is_both():
    words = ["events", "sched:sched_process_exit", "--where", "pid > 0", "--where", "pid < 0", "--", "true"]
    assert "sched_process_exit:" not in kloupe(*words).stdout


def test_help_and_listing():
    assert kloupe("events", "-h").stdout == kloupe("--help").stdout
    assert "kloupe ftrace graph [FUNC...] [-- CMD]" in kloupe("--help").stdout
    names = kloupe("list", "events", "sched:*").stdout.split()
    assert "sched:sched_switch" in names and all(name.startswith("sched:") for name in names)
    assert "mono" in kloupe("list", "clocks").stdout.split() and "nop" in kloupe("list", "tracers").stdout.split()
