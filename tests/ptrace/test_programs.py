"""All probe kinds on programs of all kinds: each behaves as it does untraced, and the events are those that it made."""

import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from following import CALLS, THREADS, build, follow, kloupe_words, lines_with, run

from layers import cannot_run

SYSCALLS = "tracepoint:syscalls:"
BEHAVE = (Path(__file__).parent / "programs" / "behave.c").read_text()
WATCHING = {
    "one call": f"{SYSCALLS}sys_enter_read {{ @ = count(); }}",
    "all calls": "tracepoint:raw_syscalls:sys_enter { @ = count(); } tracepoint:raw_syscalls:sys_exit { @x = count(); }",
    "functions": "uprobe:PROGRAM:work { @ = count(); } uretprobe:PROGRAM:work { @r = count(); }",
    "libraries": "uprobe:libc:kill,uretprobe:libc:fork { @[probe] = count(); }",
    "processes": "tracepoint:sched:sched_process_* { @[probe] = count(); } tracepoint:signal:signal_deliver { @s[args.sig] = count(); }",
    "samples": "profile:hz:500 { @[ustack] = count(); } end { clear(@); }",
}


@pytest.fixture(scope="module")
def behave(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("behave"), BEHAVE, "-O1", "-w")


@pytest.fixture(scope="module")
def untraced(behave: str) -> str:
    done = run([behave])
    assert done.returncode == -15  # it ends itself by SIGTERM
    assert len(done.stdout.splitlines()) > 45
    return done.stdout


@pytest.mark.parametrize("name", WATCHING)
def test_a_program_notices_nothing(behave: str, untraced: str, name: str, tmp_path: Path) -> None:
    script = WATCHING[name].replace("PROGRAM", behave)
    words = kloupe_words("-o", str(tmp_path / "out"), "-c", behave, "-e", script)
    done = run(words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == untraced
    if name != "samples":
        assert lines_with((tmp_path / "out").read_text(), "@")


def test_the_parent_of_a_traced_process_gets_its_exit_status(behave: str) -> None:
    """With -p the parent is another one than the tracer."""
    child = subprocess.Popen(["sh", "-c", f"read line; {behave} > /dev/null; exit $?"], stdin=subprocess.PIPE)
    script = "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }"
    tracer = subprocess.Popen(kloupe_words("-p", str(child.pid), "-e", script), stdout=subprocess.PIPE, text=True)
    while "TracerPid:\t0" in Path(f"/proc/{child.pid}/status").read_text():
        time.sleep(0.01)
    child.communicate(b"go\n", timeout=60)
    out, _ = tracer.communicate(timeout=60)
    assert child.returncode == 128 + 15
    assert re.search(r"^@\[program\]: \d{3}", out, re.MULTILINE)


@pytest.mark.parametrize("flags", [("-static",), ("-static-pie",), ("-static", "-s"), ("-s",)], ids=" ".join)
def test_functions_of_static_and_stripped_programs(tmp_path: Path, flags: tuple[str, ...]) -> None:
    named = build(tmp_path, CALLS, "-O1", "-fno-optimize-sibling-calls", *[flag for flag in flags if flag != "-s"])
    from kloupe.binfmt.elf import Elf
    from kloupe.kernel.binary import ElfBinary

    with open(named, "rb") as file:
        symbol = ElfBinary(Elf(file, named)).symbol("deep")
    assert symbol is not None
    program = build(tmp_path, CALLS, "-O1", "-fno-optimize-sibling-calls", *flags)
    place = hex(symbol.address) if "-s" in flags else "deep"
    script = (
        f"uprobe:{program}:{place} {{ @in[pid == cpid, arg0] = count(); }} uretprobe:{program}:{place} {{ @out[retval] = count(); }}"
        f'{SYSCALLS}sys_enter_read /args.count == 4 && pid == cpid/ {{ printf("depth%s", ustack); }}'
    )
    # whether an address begins an instruction is not known without symbols
    out = follow(program, script, "--unsafe", "--no-warnings", stdin=subprocess.DEVNULL)
    counts = lines_with(out, "@")
    assert "@in[false, 2]: 1" in counts and "@in[true, 4]: 1" in counts and "@in[true, 0]: 1" in counts
    assert "@out[4]: 1" in counts and "@out[0]: 2" in counts
    stack = out.partition("depth\n")[2].partition("\n\n")[0].splitlines()
    assert len(stack) >= 8  # read, five times deep, main, and who called it
    if "-s" not in flags:
        assert [line.split("+")[0].strip() for line in stack[1:7]] == ["deep"] * 5 + ["main"]


CHAIN = """
import os, subprocess
inner = "exec sh -c 'exec sh -c \\"exec /bin/true\\"'"
os.posix_spawn('/bin/sh', ['sh', '-c', inner], os.environ)
os.wait()
subprocess.run(['sh', '-c', inner], close_fds=False)
"""


def test_a_chain_of_execs_and_vforks(tmp_path: Path) -> None:
    (tmp_path / "chain.py").write_text(CHAIN)
    script = (
        f"{SYSCALLS}sys_exit_execve /args.ret == 0/ {{ @done[comm] = count(); }}"
        "tracepoint:sched:sched_process_exec { @exec[comm] = count(); } tracepoint:sched:sched_process_fork { @forks = count(); }"
        "uprobe:libc:exit { @exits[comm] = count(); }"
    )
    out = lines_with(follow(f"{sys.executable} {tmp_path}/chain.py", script), "@")
    counts = dict(line[1:].split(": ") for line in out)
    names = ("forks", "exec[sh]", "exec[true]", "done[sh]", "done[true]", "exits[true]")
    assert [counts[name] for name in names] == ["2", "6", "2", "6", "2", "2"]


def test_functions_in_python_and_its_threads() -> None:
    library = sysconfig.get_config_var("INSTSONAME") or ""
    path = Path(sysconfig.get_config_var("LIBDIR") or "") / library
    target = str(path) if library.endswith(".so.1.0") and path.is_file() else sys.executable
    code = "import threading; t = [threading.Thread(target=lambda: [dict(a=i) for i in range(300)]) for _ in range(3)]; [x.start() for x in t]; [x.join() for x in t]; print('counted')"
    script = f"uprobe:{target}:PyDict_New {{ @in = count(); @threads[tid] = 1; }} uretprobe:{target}:PyDict_New {{ @out = count(); }} end {{ @n = len(@threads); clear(@threads); }}"
    done = run(kloupe_words("-c", f'{sys.executable} -c "{code}"', "-e", script))
    if "No matches" in done.stderr:
        cannot_run(f"{target} has no symbols")
    counts = dict(line[1:].split(": ") for line in lines_with(done.stdout, "@"))
    assert "counted" in done.stdout
    assert counts["in"] == counts["out"] and int(counts["in"]) > 900
    assert counts["n"] == "4"


def test_functions_of_bash_in_its_subshells() -> None:
    bash = shutil.which("bash")
    if bash is None:
        cannot_run("needs bash")
    script = f"uprobe:{bash}:execute_command {{ @in[pid == cpid] = count(); }} uretprobe:{bash}:execute_command {{ @out[pid == cpid] = count(); }}"
    done = run(kloupe_words("-c", f"{bash} -c 'f() {{ echo $1; }}; f a; (f b; f c); f d | cat'", "-e", script))
    if "No matches" in done.stderr:
        cannot_run("bash has no symbols")
    assert re.findall(r"^[abcd]$", done.stdout, re.MULTILINE) == ["a", "b", "c", "d"]
    counts = dict(line[1:].split(": ") for line in lines_with(done.stdout, "@"))
    assert int(counts["in[true]"]) >= 3 and int(counts["in[false]"]) >= 1


def test_builtins_tell_of_the_traced_process(tmp_path: Path) -> None:
    code = (
        "import os, sys, time, pwd, threading; before = time.clock_gettime_ns(time.CLOCK_BOOTTIME); os.getppid();"
        "after = time.clock_gettime_ns(time.CLOCK_BOOTTIME); os.sched_setaffinity(0, {max(os.sched_getaffinity(0))}); os.getpgid(0);"
        "print('here', os.getpid(), threading.get_native_id(), os.getppid(), os.getuid(), os.getgid(), pwd.getpwuid(os.getuid()).pw_name, max(os.sched_getaffinity(0)), before, after)"
    )
    script = (
        f"{SYSCALLS}sys_enter_getppid /!@once/ {{ @once = 1; @t = nsecs; @e = elapsed; }}"
        f'{SYSCALLS}sys_enter_getpgid {{ printf("seen %d %d %d %d %d %s %d %llu %d %s %d\\n", pid, tid, ppid, uid, gid, username, cpu, @t, cpid, comm, @e / 1000000000); }}'
        "end { clear(@once); clear(@t); clear(@e); }"
    )
    out = follow(f'{sys.executable} -c "{code}"', script)
    here = lines_with(out, "here")[0].split()[1:]
    seen = lines_with(out, "seen")[0].split()[1:]
    assert seen[:7] == here[:7]
    assert int(here[7]) <= int(seen[7]) <= int(here[8])
    assert seen[8] == here[0] and seen[9].startswith("python") and int(seen[10]) < 60


def test_samples_have_stacks_and_threads_are_told_apart(tmp_path: Path) -> None:
    program = build(
        tmp_path,
        THREADS.replace("usleep(100)", "fact(12)"),
        "-O1",
        "-fno-inline",
        "-fno-ipa-cp",
        "-fomit-frame-pointer",
    )
    out = follow(
        f"{program} 2000000000",
        "profile:hz:200 { @[ustack] = count(); @tids[tid] = count(); } interval:s:2 { exit(); } end { @n = len(@tids); clear(@tids); }",
    )
    assert re.search(
        r"^        (leaf|fact|run)\+\d+\n(        fact\+\d+\n)*(        run\+\d+\n)?        start_thread\+\d+$",
        out,
        re.MULTILINE,
    )
    assert int(re.search(r"@n: (\d)", out)[1]) >= 2  # type: ignore[index]


def test_own_signals_of_the_tracer_run_self_probes() -> None:
    words = kloupe_words(
        "-c", "sleep 20", "-e", 'begin { printf("ready\\n"); } self:signal:SIGUSR1 { printf("asked\\n"); exit(); }'
    )
    tracer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert tracer.stdout is not None and tracer.stdout.readline() == "ready\n"
    tracer.send_signal(10)
    assert "asked" in tracer.communicate(timeout=20)[0]


def test_a_command_ignores_the_signals_that_we_were_started_to_ignore(tmp_path: Path) -> None:
    """As nohup(1) does it, and shells with commands in the background."""
    asked = ["sh", "-c", 'trap "" HUP INT QUIT USR2; exec "$@"', "-"]
    show = ["grep", "SigIgn", "/proc/self/status"]
    untraced = run([*asked, *show])
    assert re.search(r"SigIgn:\t0*807$", untraced.stdout)
    script = "tracepoint:syscalls:sys_enter_read { @ = count(); }"
    words = kloupe_words("-o", str(tmp_path / "out"), "-c", " ".join(show), "-e", script)
    assert run([*asked, *words]).stdout == untraced.stdout
