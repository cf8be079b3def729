"""kloupe ftrace on a kernel with all tracers: what it prints, and that it leaves everything as it was."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from reporting import Skip, limit

TRACING = Path("/sys/kernel/tracing")
KLOUPE = [sys.executable, "-m", "kloupe", "ftrace"]
# What changes by itself, or tells of what has been traced: counters, clocks, names of tasks, and the first use of a buffer.
MOVING = re.compile(
    r"stats$|trace_pipe|trace_pipe_raw$|snapshot_raw$|/id$|saved_cmdlines$|saved_tgids$|touched_functions|README|/format$|/hist(_debug)?$|"
    r"buffer_(size|total_size)_kb$|available_|kprobe_profile|uprobe_profile|printk_formats|timestamp_mode|/trace$|per_cpu/.*/snapshot$|"
    r"error_log|free_buffer|dyn_ftrace_total_info|events/header|hwlat|osnoise|eval_map|/inject$|trace_marker|snapshot$|user_events_status"
)
COLUMNS = re.compile(r"^ +\d+\) .*\|  +[\w.]+\(.*\);$", re.MULTILINE)


def kloupe(*arguments: str, status: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [*KLOUPE, *arguments], capture_output=True, text=True, errors="replace", timeout=110, check=False
    )
    assert done.returncode == status, (done.returncode, done.stdout[-1000:], done.stderr[-3000:])
    return done


WHOLE = (
    os.environ.get("KLOUPE_FTRACE_WHOLE") == "1"
)  # compare every file, not only those that kloupe writes in these checks


def snapshot() -> dict[str, str]:
    """The text of the files below tracefs that are to stay as they were. `set_event` tells which events are on."""
    found = {}
    for folder, folders, files in os.walk(TRACING):
        place = Path(folder).relative_to(TRACING).parts
        if place[:1] == ("events",):
            if not WHOLE and len(place) == 1:
                folders[:] = [name for name in folders if name in ("sched", "irq", "synthetic") or "kloupe" in name]
            files = [name for name in files if name in ("enable", "filter", "trigger") and len(place) > 1]
        for name in files:
            path = os.path.join(folder, name)
            if not MOVING.search(path):
                try:
                    found[path] = Path(path).read_text(errors="replace")
                except OSError:
                    continue
        found[folder] = " ".join(sorted(folders)) if place in (("instances",), ("events",)) else ""
    return found


def require_tracer(name: str) -> None:
    if name not in (TRACING / "available_tracers").read_text().split():
        raise Skip(f"this kernel has no {name} tracer")


def prepared() -> dict[str, str]:
    """The state before, with buffers that have been used once, and nothing in them."""
    (TRACING / "buffer_size_kb").write_text("1408")
    with open(TRACING / "trace", "w"):
        pass
    return snapshot()


def check_the_lectures_graph() -> None:
    """By one command: the columns of `cat trace`, calls of the command only, and tracefs as before."""
    require_tracer("function_graph")
    before = prepared()
    text = kloupe("graph", "-b", "512k", "--", "cat", "/etc/hostname").stdout
    assert "# tracer: function_graph\n" in text, text[:200]
    assert len(COLUMNS.findall(text)) > 100, text[:2000]
    assert_same(before, snapshot())


def assert_same(before: dict[str, str], after: dict[str, str]) -> None:
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert not changed, {name: (before.get(name), after.get(name)) for name in sorted(changed)[:5]}
    held = [line for line in (TRACING / "trace").read_text().splitlines() if not line.startswith("#")]
    assert not held, held[:3]


def check_the_same_as_by_hand() -> None:
    """The steps of the lecture by hand give lines of the same form for the same function."""
    require_tracer("function_graph")
    shown = kloupe(
        "graph", "ksys_read", "vfs_read", "-g", "ksys_read", "--depth", "1", "--", "cat", "/etc/hostname"
    ).stdout
    ours = [re.sub(r"[\d.]+ us|[!+#*$@]", "", line) for line in shown.splitlines() if "ksys_read" in line]
    assert len(ours) >= 2, shown[:2000]
    with open(TRACING / "trace", "w"):
        pass
    (TRACING / "tracing_on").write_text("0")
    (TRACING / "set_ftrace_filter").write_text("ksys_read vfs_read\n")
    (TRACING / "set_graph_function").write_text("ksys_read\n")
    (TRACING / "max_graph_depth").write_text("1")
    (TRACING / "current_tracer").write_text("function_graph")
    (TRACING / "tracing_on").write_text("1")
    subprocess.run(["cat", "/etc/hostname"], check=True, stdout=subprocess.DEVNULL)
    (TRACING / "tracing_on").write_text("0")
    text = (TRACING / "trace").read_text()
    (TRACING / "current_tracer").write_text("nop")
    (TRACING / "set_graph_function").write_text("")
    (TRACING / "set_ftrace_filter").write_text("")
    (TRACING / "max_graph_depth").write_text("0")
    (TRACING / "tracing_on").write_text("1")
    with open(TRACING / "trace", "w"):
        pass
    theirs = {
        re.sub(r"[\d.]+ us|[!+#*$@]|^ +\d+\)", "", line).strip() for line in text.splitlines() if "ksys_read" in line
    }
    assert {re.sub(r"^ +\d+\)", "", line).strip() for line in ours} <= theirs, (ours[:3], list(theirs)[:3])


def check_function_tracer_and_filters() -> None:
    require_tracer("function")
    before = prepared()
    text = kloupe("function", "vfs_*", "-n", "vfs_write*", "--", "cat", "/etc/hostname").stdout
    names = set(re.findall(r": (\w+)(?: \[\w+\])? <-", text))
    assert "vfs_read" in names and all(n.startswith("vfs_") and not n.startswith("vfs_write") for n in names), text[
        :2000
    ]
    wrong = kloupe("function", "vfs_raed", "--", "true", status=1).stderr
    assert "vfs_read" in wrong and "Traceback" not in wrong, wrong
    assert_same(before, snapshot())


def check_options_of_tracers_are_put_back() -> None:
    """Most kernels share them between instances."""
    require_tracer("function")
    before = prepared()
    text = kloupe("function", "vfs_read", "-T", "--", "cat", "/etc/hostname").stdout
    assert "<stack trace>" in text, text[:2000]
    assert_same(before, snapshot())
    rows = kloupe("function", "vfs_*", "-T", "--json", "--", "cat", "/etc/hostname").stdout.splitlines()
    stacks = [json.loads(row) for row in rows if '"ftrace:kernel_stack"' in row]
    assert stacks and all("vfs_" in stack["text"] for stack in stacks), rows[:3]
    assert_same(before, snapshot())
    process = subprocess.Popen([*KLOUPE, "function", "vfs_read", "-T", "--", "sleep", "60"], start_new_session=True)
    deadline = time.monotonic() + 60
    while "1" not in (TRACING / "options/func_stack_trace").read_text() and time.monotonic() < deadline:
        if any("1" in path.read_text() for path in TRACING.glob("instances/kloupe-*/options/func_stack_trace")):
            break  # a kernel where they are each instance's own
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kloupe("restore")
    assert_same(before, snapshot())


def check_senseless_histograms_are_refused() -> None:
    if not (TRACING / "events/sched/sched_switch/hist").exists():
        raise Skip("this kernel has no hist triggers")
    before = prepared()
    for words, said in (
        (["--by", "prev_comm.log2"], "is text"),
        (["--by", "prev_pid.buckets=0"], "how large a bucket"),
        (["--where", "nothing > 3"], "no field 'nothing'"),
        (["--size", "3"], "128 to 131072"),
    ):
        refused = kloupe("hist", "sched:sched_switch", *words, "--", "true", status=1).stderr
        assert said in refused, refused
    assert_same(before, snapshot())


@limit(1500)
def check_killed_sessions_are_undone() -> None:
    """SIGKILL at random moments; the next start restores. KLOUPE_KILLS says how often (100 for the whole test)."""
    require_tracer("function_graph")
    before = prepared()
    chance = random.Random(7)
    commands = [
        ["graph", "ksys_*", "-g", "ksys_read", "--depth", "2", "-e", "sched:sched_switch", "--", "sleep", "5"],
        ["function", "vfs_*", "-b", "64k", "--", "sleep", "5"],
        ["events", "sched", "--where", "common_pid > 1", "-C", "mono", "--", "sleep", "5"],
        ["graph", "vfs_*", "--clear", "-e", "irq", "-O", "funcgraph-proc", "--threshold", "1us", "--", "sleep", "5"],
    ]
    for number in range(int(os.environ.get("KLOUPE_KILLS", "3"))):
        process = subprocess.Popen(
            [*KLOUPE, *commands[number % len(commands)]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(0.2, 3.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    time.sleep(0.3)
    kloupe("restore")
    assert_same(before, snapshot())


def check_two_sessions_at_once() -> None:
    """Events and functions go to instances of their own; a second one that needs the top level is refused and disturbs nothing."""
    require_tracer("function_graph")
    before = prepared()
    first = subprocess.Popen(
        [*KLOUPE, "graph", "ksys_read", "-g", "ksys_read", "--", "sleep", "7"], stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while "function_graph" not in (TRACING / "current_tracer").read_text():
        assert first.poll() is None and time.monotonic() < deadline, "the first session did not start"
        time.sleep(0.05)
    text = kloupe("events", "sched:sched_process_exec", "--", "true").stdout
    assert "sched_process_exec" in text and "ksys_read" not in text, text
    refused = kloupe("graph", "ksys_write", "-g", "ksys_write", "--", "true", status=1).stderr
    assert "in use" in refused and str(first.pid) in refused, refused
    shown = first.communicate(timeout=60)[0]
    assert first.returncode == 0 and "sched_process_exec" not in shown and "ksys_write" not in shown
    assert_same(before, snapshot())


def check_another_tool_is_not_disturbed() -> None:
    require_tracer("function_graph")
    prepared()
    (TRACING / "set_ftrace_filter").write_text("vfs_*\n")
    (TRACING / "current_tracer").write_text("function")
    try:
        time.sleep(0.1)
        before = snapshot()
        refused = kloupe("graph", "ksys_read", "-g", "ksys_read", "--", "true", status=1).stderr
        assert "the tracer function is set" in refused, refused
        assert before == snapshot()
        (TRACING / "tracing_on").write_text("0")
        assert len((TRACING / "trace").read_text()) > 1000
    finally:
        (TRACING / "current_tracer").write_text("nop")
        (TRACING / "set_ftrace_filter").write_text("")
        (TRACING / "tracing_on").write_text("1")
        with open(TRACING / "trace", "w"):
            pass


@limit(240)
def check_recordings_open_in_trace_cmd() -> None:
    """And the other way round, line for line; both versions, both compressions."""
    if shutil.which("trace-cmd") is None:
        raise Skip("there is no trace-cmd (KLOUPE_GUEST_BPFTRACE=1 brings it)")
    events = ("sched", "irq", "timer", "kmem", "syscalls", "workqueue", "signal", "task", "filemap", "ext4")
    wanted = [word for e in events if (TRACING / "events" / e).is_dir() for word in ("-e", e)]
    command = ["--", "sh", "-c", "ls /usr/bin > /dev/null; sleep 0.1"]
    with tempfile.TemporaryDirectory() as folder:
        for name, options in {
            "args": ["-t", "graph", "vfs_*", "ksys_*", "--args"] if (TRACING / "options/funcgraph-args").exists() else ["-t", "graph", "vfs_*"],
            "7": ["-t", "graph", "vfs_*", "ksys_*"], "6": [*wanted, "--file-version", "6"], "zlib": [*wanted, "--compression", "zlib"],
        }.items():  # fmt: skip
            path = f"{folder}/{name}.dat"
            kloupe("record", "-o", path, *options, *command)
            ours = kloupe("report", path).stdout.splitlines()
            done = subprocess.run(
                ["trace-cmd", "report", path], capture_output=True, text=True, errors="replace", check=False
            )
            compare(ours, done.stdout.splitlines())
        path = f"{folder}/theirs.dat"
        subprocess.run(
            ["trace-cmd", "record", "-o", path, *wanted, "-F", *command[1:]], check=True, capture_output=True
        )
        theirs = subprocess.run(
            ["trace-cmd", "report", path], capture_output=True, text=True, errors="replace", check=True
        )
        compare(kloupe("report", path).stdout.splitlines(), theirs.stdout.splitlines())
        for tracer, option in (("function_graph", "funcgraph-args"), ("function", "func-args")):
            if (TRACING / f"options/{option}").exists():  # the file then holds the kernel's types
                words = ["-p", tracer, "-O", option, "-l", "vfs_*", "-l", "ksys_*"]
                subprocess.run(
                    ["trace-cmd", "record", "-o", path, *words, "-F", *command[1:]], check=True, capture_output=True
                )
                theirs = subprocess.run(["trace-cmd", "report", path], capture_output=True, text=True, check=True)
                compare(kloupe("report", path).stdout.splitlines(), theirs.stdout.splitlines())
        subprocess.run(["trace-cmd", "reset"], check=True, capture_output=True)


def compare(ours: list[str], theirs: list[str]) -> None:
    """Line for line. trace-cmd reads `a & (b | c)` as `(a & b) | c`, which shows in timer_start's flags."""
    assert len(ours) == len(theirs) > 20, (len(ours), len(theirs), ours[:3], theirs[:3])
    wrong = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b and "timer_start:" not in a]
    assert not wrong, wrong[:3]


def check_listing() -> None:
    functions = kloupe("list", "functions", "vfs_rea*").stdout.split()
    assert "vfs_read" in functions and all(name.startswith("vfs_rea") for name in functions)
    assert "sched:sched_switch" in kloupe("list", "events", "sched:*").stdout.split()
    assert "function_graph" in kloupe("list", "tracers").stdout


def check_statistics_and_json() -> None:
    require_tracer("function_graph")
    text = kloupe("graph", "ksys_read", "vfs_*", "--stat", "--", "cat", "/etc/hostname").stdout
    row = next(line.split() for line in text.splitlines() if line.split()[:1] == ["ksys_read"])
    assert int(row[1]) >= 2, text
    lines = kloupe("graph", "ksys_read", "vfs_*", "--json", "--", "cat", "/etc/hostname").stdout.splitlines()
    calls = [json.loads(line) for line in lines if line.startswith("{")]
    assert any(call.get("function") == "ksys_read" and (call["duration_ns"] or 0) > 0 for call in calls), lines[:3]


def check_arguments_and_return_values() -> None:
    """By the tracer where it can, else by probes; the probes are gone afterwards."""
    require_tracer("function_graph")
    if not (TRACING / "dynamic_events").exists():
        raise Skip("this kernel has no dynamic events")
    before = prepared()
    lines = kloupe(
        "graph", "vfs_read", "ksys_read", "--args", "--retval", "--json", "--", "cat", "/etc/hostname"
    ).stdout.splitlines()
    calls = [json.loads(line) for line in lines if line.startswith("{")]
    reads = [call for call in calls if call.get("function") == "vfs_read"]
    size = len(Path("/etc/hostname").read_bytes())
    assert any(call.get("retval") == size and call.get("args", {}).get("count", 0) >= size for call in reads), reads[:4]
    assert_same(before, snapshot())


def check_histograms_by_the_kernel() -> None:
    if not (TRACING / "events/sched/sched_switch/hist").exists():
        raise Skip("this kernel has no hist triggers")
    before = prepared()
    shell = ["sh", "-c", "for i in 1 2 3 4 5; do sleep 0.05; done"]
    done = kloupe("hist", "sched:sched_switch", "--by", "prev_comm", "--show-commands", "--", *shell)
    row = next(line.split() for line in done.stdout.splitlines() if line.startswith("sleep"))
    assert int(row[1]) >= 5 and "hist:keys=prev_comm" in done.stderr, (done.stdout, done.stderr)
    done = kloupe(
        "hist", "sched:sched_waking", "--until", "sched:sched_switch", "--match", "pid=next_pid", "--by", "next_comm",
        "--value", "latency_us", "--", *shell,
    )  # fmt: skip
    row = next(line.split() for line in done.stdout.splitlines() if line.startswith("sleep"))
    assert int(row[1]) >= 3 and int(row[2]) != 0, done.stdout
    assert "NOTE: the pairs of all tasks are counted" in done.stderr, done.stderr
    assert_same(before, snapshot())


def require_only_their_ends(command: list[str], expected: dict[str, int]) -> None:
    """`true` runs and ends all the while beside the command or process, and must not be counted."""
    beside = subprocess.Popen(["sh", "-c", "while :; do /bin/true; done"])
    try:
        done = kloupe("hist", "sched:sched_process_exit", "--by", "comm", "--json", *command)
    finally:
        beside.kill()
        beside.wait()
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {row["keys"]["comm"]: row["hitcount"] for row in rows} == expected, (done.stdout, done.stderr)
    assert "NOTE" not in done.stderr, done.stderr


def release_when_counting(process: subprocess.Popen) -> None:
    """Close what the process waits for, once a session has its trigger set; give up after a minute."""
    deadline = time.monotonic() + 60
    triggers = "instances/kloupe-*/events/sched/sched_process_exit/trigger"
    while not any("hist:" in path.read_text() for path in TRACING.glob(triggers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.stdin is not None
    process.stdin.close()


def check_histograms_of_a_command_and_its_children() -> None:
    """And of a process with the children that it will have."""
    if not (TRACING / "events/sched/sched_process_exit/hist").exists():
        raise Skip("this kernel has no hist triggers")
    before = prepared()
    steps = "for i in 1 2 3 4 5; do sleep 0.05; done; exit 0"
    require_only_their_ends(["--", "sh", "-c", steps], {"sleep": 5, "sh": 1})
    process = subprocess.Popen(["sh", "-c", f"read line; {steps}"], stdin=subprocess.PIPE)
    release = threading.Thread(target=release_when_counting, args=(process,))
    release.start()
    require_only_their_ends(["-p", str(process.pid)], {"sleep": 5, "sh": 1})
    release.join()
    assert process.wait() == 0
    assert_same(before, snapshot())


def check_the_session_from_python() -> None:
    """Calls and events of a command as objects; pages are mapped from 6.10 on, and copied before."""
    require_tracer("function_graph")
    import kloupe.ftrace as ftrace

    before = prepared()
    with ftrace.session(
        "function_graph", functions=["ksys_read", "vfs_read"], events=["sched:sched_process_exit"],
        command=["cat", "/etc/hostname"],
    ) as trace:  # fmt: skip
        mapped = "trace_pipe_raw" in Path("/proc/self/maps").read_text()
        found = list(trace)
    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    assert mapped == (release >= (6, 10)), (mapped, release)
    calls = [item for item in found if isinstance(item, ftrace.Call)]
    reads = [call for call in calls if [child.function for child in call.children] == ["vfs_read"]]
    assert len(reads) >= 2 and all(call.function == "ksys_read" for call in reads), calls
    assert all(call.duration_ns > call.children[0].duration_ns > 0 for call in reads), reads
    ends = [item for item in found if isinstance(item, ftrace.TraceEvent)]
    assert [(end.name, end.fields["comm"]) for end in ends] == [("sched_process_exit", "cat")], ends
    assert trace.lost == 0 and not trace.trace.problems, (trace.lost, trace.trace.problems)
    assert_same(before, snapshot())
