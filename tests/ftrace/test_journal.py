"""The journal over folders that stand in for tracefs: every change is undone, also when its process was killed."""

import os
import signal
import time
from pathlib import Path

import pytest

from kloupe.base.errors import FormatError, PermissionNeeded
from kloupe.ftrace.control import journal
from kloupe.ftrace.control.folder import TracingFolder
from kloupe.ftrace.control.journal import Journal, Step, living_sessions, restore_killed, undo_all
from kloupe.ftrace.control.knobs import Knobs, undo_step


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KLOUPE_STATE_DIR", str(tmp_path / "state"))
    folder = tmp_path / "tracing"
    (folder / "events/sched/sched_switch").mkdir(parents=True)
    (folder / "instances").mkdir()
    for name, text in {
        "tracing_on": "1\n", "trace_clock": "local [mono] boot\n", "buffer_size_kb": "7 (expanded: 1408)\n",
        "set_ftrace_filter": "vfs_read\next4_sync [ext4]\nschedule:traceoff:unlimited\n", "set_ftrace_pid": "no pid\n",
        "set_graph_function": "#### all functions enabled ####\n", "events/sched/sched_switch/filter": "none\n",
        "events/sched/sched_switch/enable": "1*\n",
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("tracing_on", Step("write", "tracing_on", ("1",))),
        ("trace_clock", Step("write", "trace_clock", ("mono",))),
        ("buffer_size_kb", Step("write", "buffer_size_kb", ("1408",))),
        ("set_ftrace_filter", Step("lines", "set_ftrace_filter", ("vfs_read", "ext4_sync:mod:ext4"))),
        ("set_ftrace_pid", Step("lines", "set_ftrace_pid", ())),
        ("set_graph_function", Step("lines", "set_graph_function", ())),
        ("events/sched/sched_switch/filter", Step("write", "events/sched/sched_switch/filter", ("0",))),
        ("events/sched/sched_switch/enable", Step("write", "events/sched/sched_switch/enable", ("1",))),
    ],
)
def test_what_a_file_says_as_what_to_write(root, name, step):
    assert undo_step(TracingFolder(str(root)), name) == step


def test_changes_are_in_the_journal_before_they_are_made(root, monkeypatch):
    notes = Journal(str(root), "")
    knobs = Knobs(TracingFolder(str(root)), notes, own=False)
    seen = []
    monkeypatch.setattr(
        TracingFolder, "write", lambda self, name, text: seen.append(Path(notes.path).read_text().count("\n"))
    )
    knobs.set("tracing_on", "0")
    knobs.set("trace_clock", "boot")
    assert seen == [2, 3]  # the header and one step for each


def test_restored_newest_first_and_the_journal_is_gone(root):
    notes = Journal(str(root), "")
    knobs = Knobs(TracingFolder(str(root)), notes, own=False)
    knobs.set("tracing_on", "0")
    knobs.set("tracing_on", "2")
    knobs.replace("set_ftrace_pid", ["1", "2"])
    assert (root / "set_ftrace_pid").read_text() == "1\n2\n"
    assert notes.restore() == [] and notes.restore() == []
    assert (root / "tracing_on").read_text().strip() == "1" and (root / "set_ftrace_pid").read_text() == ""
    assert os.listdir(journal.state_folder()) == []


def test_a_killed_process(root):
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        notes = Journal(str(root), "")
        notes.note(Step("rmdir", "instances/kloupe-1-1"))
        os.mkdir(root / "instances/kloupe-1-1")
        Knobs(TracingFolder(str(root)), notes, own=False).set("tracing_on", "0")
        os.write(told, b"x")
        time.sleep(60)
    os.read(ready, 1)
    assert [session.pid for session in living_sessions()] == [pid]
    assert restore_killed(str(root)) == []  # it lives
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    (done,) = restore_killed(str(root))
    assert (done.header.pid, done.steps, done.trouble) == (pid, 2, ())
    assert (root / "tracing_on").read_text().startswith("1") and not (root / "instances/kloupe-1-1").exists()
    assert restore_killed(str(root)) == [] and os.listdir(journal.state_folder()) == []


def write_journal(text: str) -> str:
    folder = journal.prepare_state_folder()
    path = f"{folder}/1-1.journal"
    with open(path, "w") as file:
        file.write(text)
    return path


def header(boot: str | None = None) -> str:
    real = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f'{{"boot": "{boot or real}", "pid": 1, "command": "x", "claims": ""}}\n'


def test_a_journal_of_another_boot_is_dropped(root):
    path = write_journal(header("another") + '["write", "tracing_on", ["0"]]\n')
    assert restore_killed(str(root)) == [] and not os.path.exists(path)
    assert (root / "tracing_on").read_text() == "1\n"


def test_an_unfinished_line_is_no_step(root):
    write_journal(header() + '["write", "tracing_on", ["0"]]\n["write", "trace_cl')
    (done,) = restore_killed(str(root))
    assert done.steps == 1 and (root / "trace_clock").read_text() == "local [mono] boot\n"


@pytest.mark.parametrize(
    "line", ['["write", "../passwd", ["0"]]', '["write", "/etc/passwd", ["x"]]', '["run", "x", []]', "nonsense", "[1]"]
)
def test_steps_that_kloupe_does_not_make(root, line):
    write_journal(header() + line + "\n")
    with pytest.raises(FormatError):
        restore_killed(str(root))


def test_a_folder_that_others_can_write_to_is_refused(root):
    folder = journal.prepare_state_folder()
    os.chmod(folder, 0o777)
    with pytest.raises(PermissionNeeded, match="written by others"):
        Journal(str(root), "")


def test_what_cannot_be_undone_is_told_and_kept(root):
    notes = Journal(str(root), "")
    notes.note(Step("rmdir", "tracing_on"))
    (message,) = notes.restore()
    assert "tracing_on" in message and os.path.exists(notes.path)
    assert undo_all(str(root), [Step("write", "not/there", ("1",))]) == []
