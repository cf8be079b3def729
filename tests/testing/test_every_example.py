"""Every example script, on made-up events: what it prints and what is in its maps."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kloupe.testbed.run import ScriptRun

FOLDER = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.bt"))
CALLS = "tracepoint:syscalls:"
SWITCH = {"sched:sched_switch": "char prev_comm[16]; pid_t prev_pid; char next_comm[16]; pid_t next_pid"}
SENT = {"signal:signal_generate": "int sig; int errno; int code; char comm[16]; pid_t pid; int group; int result"}
Start = Callable[..., ScriptRun]
TESTS: dict[str, Callable[[Start, Path], None]] = {}


def case(function: Callable[[Start, Path], None]) -> Callable[[Start, Path], None]:
    """The function's name is the script's: _05_opened_files tests 05-opened-files.bt."""
    TESTS[function.__name__[1:].replace("_", "-")] = function
    return function


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example(kloupe: Start, script: Path) -> None:
    TESTS[script.stem](kloupe, script)


def test_every_script_has_a_test_and_a_text() -> None:
    assert {path.stem for path in SCRIPTS} == set(TESTS)
    assert len(SCRIPTS) >= 15
    assert re.findall(r"^\| `(.*?)\.bt` \|", (FOLDER / "README.md").read_text(), re.MULTILINE) == [
        path.stem for path in SCRIPTS
    ]


def test_the_tour_names_scripts_and_options_that_exist() -> None:
    from kloupe.cli.options import parse_command_line

    lines = [line.strip() for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("    kloupe ")]
    assert len(lines) >= 10
    for line in lines:
        _, *words = shlex.split(line)
        parsed = parse_command_line(words)
        if parsed.file and not parsed.has("listing"):
            assert (FOLDER / parsed.file).is_file(), line
        if parsed.has("child"):
            assert (FOLDER / parsed.get("child")).is_file(), line


@case
def _01_hello(kloupe: Start, script: Path) -> None:
    assert kloupe(script).output == "hello, World!\n"


@case
def _02_who_reads(kloupe: Start, script: Path) -> None:
    run = kloupe(script)
    for pid, comm in ((7, "foo"), (8, "cat"), (9, "vim")):
        run.fire("kprobe:vfs_read", pid=pid, comm=comm)
    assert run.lines == ["foo/7", "cat/8"]


@case
def _03_kprobe_read(kloupe: Start, script: Path) -> None:
    run = kloupe(script, symbols={0xFFFFFFFF81000000: "__x64_sys_read", 0x7F0000000000: "read"})
    stacks = {"kstack": [0xFFFFFFFF81000001], "ustack": [0x7F000000000D]}
    run.fire("kprobe:__x64_sys_read", [0xC0BD3F58, 0, 2**64 - 1], pid=7, comm="foo", **stacks)
    run.fire("kprobe:__x64_sys_read", [1, 2, 3], pid=8, comm="bash", **stacks)
    assert run.output == (
        "hello read(-1061339304, , 18446744073709551615) foo/7 [\n        __x64_sys_read+1\n] [\n        read+13\n]\n"
    )


@case
def _04_tracepoint_read(kloupe: Start, script: Path) -> None:
    run = kloupe(script, symbols={0x7F0000000000: "read"})
    run.fire(
        f"{CALLS}sys_enter_read",
        {"fd": 255, "buf": "#!/bin/bash\n", "count": 30},
        pid=7,
        comm="foo",
        ustack=[0x7F000000000D],
    )
    run.fire(f"{CALLS}sys_enter_read", {"fd": 3}, comm="cat")
    assert run.output == "hello read(255, #!/bin/bash\n, 30) foo/7 [\n] [\n        read+13\n]\n"


@case
def _05_opened_files(kloupe: Start, script: Path) -> None:
    run = kloupe(script, child_pid=7)
    run.fire(f"{CALLS}sys_enter_openat", {"filename": "/etc/passwd"}, pid=7, comm="cat")
    run.fire(f"{CALLS}sys_exit_openat", {"ret": 3}, pid=7, comm="cat")
    run.fire(f"{CALLS}sys_enter_openat", {"filename": "/etc/shadow"}, pid=8)
    run.fire(f"{CALLS}sys_exit_openat", {"ret": -13}, pid=8)
    assert run.end() == "7      cat                 3 /etc/passwd\n"


@case
def _06_calls_by_name(kloupe: Start, script: Path) -> None:
    run = kloupe(script, child_pid=7)
    for pid, call in ((7, "read"), (7, "read"), (7, "close"), (8, "write")):
        run.fire(f"{CALLS}sys_enter_{call}", pid=pid)
    assert run.maps["@calls"] == {f"{CALLS}sys_enter_read": 2, f"{CALLS}sys_enter_close": 1}


@case
def _07_read_sizes(kloupe: Start, script: Path) -> None:
    run = kloupe(script)
    for size in (5, 6, 100, 0, -9):
        run.fire(f"{CALLS}sys_exit_read", {"ret": size}, comm="cat")
    rows = re.findall(r"^(\[.*\)) +([1-9]\d*) ", run.end(), re.MULTILINE)
    assert rows == [("[4, 8)", "2"), ("[64, 128)", "1")]


@case
def _08_read_latency(kloupe: Start, script: Path) -> None:
    run = kloupe(script)
    run.fire(f"{CALLS}sys_exit_read", tid=9)  # was under way when we came
    run.fire(f"{CALLS}sys_enter_read", tid=8)
    run.fire(f"{CALLS}sys_exit_read", tid=8, after_ns=20_000)
    assert run.maps["@start"] == {}
    assert re.findall(r"^(\[.*\)) +([1-9]\d*) ", run.end(), re.MULTILINE) == [("[16, 32)", "1")]


@case
def _09_new_processes(kloupe: Start, script: Path) -> None:
    run = kloupe(script)
    words = b"ls\0-l\0"
    pointers = b"".join(n.to_bytes(8, "little") for n in (0x5000, 0x5003, 0)).ljust(8 * 32, b"\0")
    memory = {0x4000: pointers, 0x5000: words}
    run.fire(f"{CALLS}sys_enter_execve", {"argv": 0x4000}, pid=7, user_memory=memory, after_ns=5_000_000)
    assert run.lines == ["5        7      ls -l"]


@case
def _10_exits(kloupe: Start, script: Path) -> None:
    run = kloupe(script)
    for name in ("sh", "sh", "ls"):
        run.fire("tracepoint:sched:sched_process_exit", comm=name)
    assert run.maps["@ended"] == {"sh": 2, "ls": 1}
    run.advance(5_000_000_000)
    assert [line for line in run.lines if line] == ["@ended[ls]: 1", "@ended[sh]: 2"]
    assert run.maps["@ended"] == {}


@case
def _11_context_switches(kloupe: Start, script: Path) -> None:
    run = kloupe(script, tracepoints=SWITCH)
    for name in ("bash", "cat", "bash"):
        run.fire("tracepoint:sched:sched_switch", {"next_comm": name})
    run.advance(1_000_000_000)
    assert [line for line in run.lines if line] == ["@switches: 3", "@to[cat]: 1", "@to[bash]: 2"]


@case
def _12_on_cpu(kloupe: Start, script: Path) -> None:
    run = kloupe(script, symbols={0xFFFFFFFF81000000: "schedule", 0xFFFFFFFF82000000: "do_idle"})
    for _ in range(3):
        run.fire("profile:hz:99", kstack=[0xFFFFFFFF81000004, 0xFFFFFFFF82000008])
    run.advance(10_000_000_000)
    assert run.exited
    assert "@[\n        schedule+4\n        do_idle+8\n]: 3\n" in run.end()


@case
def _13_page_faults(kloupe: Start, script: Path) -> None:
    run = kloupe(script, child_pid=7, symbols={0x400000: "main"})
    run.fire("software:page-faults:1", pid=7, ustack=[0x400010])
    run.fire("software:page-faults:1", pid=8, ustack=[0x400010])
    assert run.end() == "@[\n        main+16\n]: 1\n"


@case
def _14_malloc_sizes(kloupe: Start, script: Path) -> None:
    run = kloupe(script, child_pid=7)
    probe = run.probes[0]
    assert re.fullmatch(r"uprobe:.*libc.*:malloc", probe)
    for pid, size in ((7, 24), (7, 100), (8, 5)):
        run.fire(probe, [size], pid=pid)
    assert run.maps["@total"] == 124


@case
def _15_signals(kloupe: Start, script: Path) -> None:
    run = kloupe(script, tracepoints=SENT)
    run.fire("tracepoint:signal:signal_generate", {"sig": 15, "comm": "sleep", "pid": 8}, comm="bash", pid=7)
    assert run.lines == ["bash             7      -> sleep            8      Terminated"]


@case
def _16_top_callers(kloupe: Start, script: Path) -> None:
    run = kloupe(script)
    for comm in ("cat", "cat", "sh"):
        run.fire("tracepoint:raw_syscalls:sys_enter", {"id": 0}, comm=comm, pid=7)
    run.advance(2_000_000_000)
    time, *rest = [line for line in run.lines if line]
    assert re.fullmatch(r"\d\d:\d\d:\d\d", time)
    assert rest == ["@calls[sh, 7]: 1", "@calls[cat, 7]: 2"]


@case
def _17_statistics(kloupe: Start, script: Path) -> None:
    run = kloupe(script)
    assert (run.maps["@count"], run.maps["@sum"], run.maps["@least"], run.maps["@most"]) == (100, 5050, 1, 100)


@case
def _18_self_test(kloupe: Start, script: Path) -> None:
    words = [sys.executable, "-m", "kloupe", "--engine", "machine", "--test", str(script)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, "3 tests ran." in done.stdout) == (0, True)


@case
def _19_kernel_latency(kloupe: Start, script: Path) -> None:
    run = kloupe(script)
    run.fire("kprobe:vfs_read", tid=8, comm="cat")
    run.fire("kretprobe:vfs_read", tid=8, comm="cat", after_ns=3000)
    assert run.maps["@start"] == {}
    assert "@ns[cat]:\n" in run.end() and "[2K, 4K)               1 |" in run.output
