"""System calls, processes, signals and samples of followed programs."""

import re
import subprocess
import sys
from pathlib import Path

from following import CALLS, build, follow, kloupe_words, lines_with, run

SYSCALLS = "tracepoint:syscalls:"


def test_arguments_and_texts_of_a_call(tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_text("hello\n")
    script = SYSCALLS + (
        "sys_enter_openat { @path[tid] = str(args.filename); }"
        + SYSCALLS
        + 'sys_exit_openat /args.ret >= 0/ { printf("opened %s %s %d\\n", comm, @path[tid], args.__syscall_nr > 0); }'
    )
    out = follow(f"cat '{file}'", script)
    assert f"opened cat {file} 1" in out.splitlines()
    assert "hello" in out.splitlines()


def test_what_was_read_is_there_at_the_exit(tmp_path: Path) -> None:
    code = "import os; r, w = os.pipe(); os.write(w, b'through the pipe'); os.read(r, 99)"
    script = (
        f"{SYSCALLS}sys_enter_read /args.count == 99/ {{ @at[tid] = args.buf; }}"
        f'{SYSCALLS}sys_exit_read /@at[tid]/ {{ printf("read %d %s\\n", args.ret, str(@at[tid], args.ret + 1)); clear(@at); }}'
    )
    assert lines_with(follow(f'{sys.executable} -c "{code}"', script), "read ") == ["read 16 through the pipe"]


def test_all_names_of_one_call_are_the_same_events() -> None:
    script = (
        f"{SYSCALLS}sys_enter_getppid {{ @a = count(); }} {SYSCALLS}sys_exit_getppid {{ @b = count(); @r = args.ret; }}"
        "kprobe:__x64_sys_getppid { @c = count(); } kretprobe:__x64_sys_getppid { @d = count(); @s = retval; }"
        "tracepoint:raw_syscalls:sys_enter /args.id == 110/ { @e = count(); @arg = args.args[0]; }"
        "tracepoint:raw_syscalls:sys_exit /args.id == 110/ { @f = count(); @same = args.ret == ppid; }"
    )
    out = follow(f"{sys.executable} -c 'import os; [os.getppid() for _ in range(5)]'", script)
    counts = dict(line[1:].split(": ") for line in lines_with(out, "@"))
    assert [counts[name] for name in "abcdef"] == ["5"] * 6
    assert counts["r"] == counts["s"]
    assert counts["same"] == "true"


def test_forks_execs_exits_and_signals() -> None:
    script = (
        'tracepoint:sched:sched_process_fork { printf("fork %d\\n", args.parent_pid == tid && args.child_pid > 0); }'
        'tracepoint:sched:sched_process_exec { printf("exec %s %d\\n", str(args.filename), args.pid == pid); }'
        'tracepoint:sched:sched_process_exit { printf("exit %s %d\\n", comm, args.group_dead); }'
        'tracepoint:signal:signal_deliver { printf("signal %d %s\\n", args.sig, comm); }'
    )
    out = follow("bash -c 'trap \"echo got\" USR1; /bin/true; kill -USR1 $$; echo end'", script)
    assert [line for line in out.splitlines() if line and "bash 17" not in line] == [
        "exec " + _program("bash") + " 1",
        "fork 1",
        "exec /bin/true 1",
        "exit true 1",
        "signal 17 bash",
        "got",
        "end",
        "signal 10 bash",
        "exit bash 1",
    ] or sorted(lines_with(out, "exec", "fork", "exit")) == sorted(
        ["exec " + _program("bash") + " 1", "fork 1", "exec /bin/true 1", "exit true 1", "exit bash 1"]
    )
    assert lines_with(out, "signal 10") == ["signal 10 bash"]


def _program(name: str) -> str:
    import shutil

    return str(shutil.which(name))


def test_processes_by_vfork_and_what_they_run_are_followed() -> None:
    code = "import subprocess; [subprocess.run(['sh', '-c', 'exec /bin/true']) for _ in range(3)]"
    script = f"{SYSCALLS}sys_enter_execve {{ @[comm] = count(); }} tracepoint:sched:sched_process_exit {{ @ends[comm] = count(); }}"
    out = follow(f'{sys.executable} -c "{code}"', script)
    assert "@[sh]: 3" in out
    assert "@ends[true]: 3" in out


def test_stacks_are_whole_without_frame_pointers(tmp_path: Path) -> None:
    program = build(tmp_path, CALLS, "-O1", "-fomit-frame-pointer", "-fno-optimize-sibling-calls")
    script = f'{SYSCALLS}sys_enter_read /comm == "program" && args.count == 4/ {{ printf("%s", ustack); }}'
    names = re.findall(r"^ +(\w+)\+\d+$", follow(program, script, stdin=-3), re.MULTILINE)
    stacks = " ".join(names).split("read")
    assert len(stacks) == 3
    assert stacks[1].split()[:4] == ["deep", "deep", "deep", "main"]
    assert stacks[2].split()[:6] == ["deep"] * 5 + ["main"]
    assert "_start" in stacks[2]


def test_static_and_stripped_programs(tmp_path: Path) -> None:
    script = f"{SYSCALLS}sys_enter_read /args.count == 4/ {{ @[pid != cpid] = count(); }}"
    for flags in (("-static",), ("-s",), ("-static", "-s")):
        out = follow(build(tmp_path, CALLS, *flags), script, stdin=-3)
        assert sorted(lines_with(out, "@"), reverse=True) == ["@[true]: 1", "@[false]: 1"], flags


def test_intervals_and_samples_of_a_busy_process() -> None:
    script = (
        "profile:hz:200 { @hits[comm] = count(); } interval:ms:50 { @ticks = count(); } interval:ms:600 { exit(); }"
    )
    out = follow(f"{sys.executable} -c 'while True: pass'", script)
    hits = int(re.search(r"@hits\[python[\d.]*\]: (\d+)", out)[1])  # type: ignore[index]
    assert 20 < hits < 200
    assert 8 <= int(re.search(r"@ticks: (\d+)", out)[1]) <= 13  # type: ignore[index]


def test_calls_are_seen_without_a_filter_too() -> None:
    """-p follows a process that runs already."""
    code = "import os, select\nwhile not select.select([0], [], [], 0.01)[0]: os.stat('/etc')\nprint('all done')"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    script = f"{SYSCALLS}sys_enter_newfstatat {{ @[str(args.filename)] = count(); }} interval:ms:300 {{ exit(); }}"
    done = run(kloupe_words("-p", str(child.pid), "-e", script))
    assert done.returncode == 0
    assert int(re.search(r"@\[/etc\]: (\d+)", done.stdout)[1]) > 3  # type: ignore[index]
    assert child.communicate("\n", timeout=20)[0] == "all done\n"
    assert child.returncode == 0


def test_what_cannot_be_followed_is_refused_with_the_engine_that_can() -> None:
    for script in ("kprobe:vfs_read {}", "tracepoint:sched:sched_switch {}", "software:faults:1 {}"):
        done = run(kloupe_words("-c", "true", "-e", script))
        assert done.returncode
        assert "kernel engine" in done.stderr, done.stderr
    done = run(kloupe_words("-e", "begin {}"))
    assert (done.returncode, "-c" in done.stderr) == (1, True)
