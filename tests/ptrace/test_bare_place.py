"""What a newcomer does first, where nothing is allowed: as an unprivileged user in a bare container."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from following import kloupe_words, lines_with, run, without_privileges
from lecture import lecture_files

from layers import cannot_run

PROJECT = Path(__file__).parents[2]
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")

# One tells the lecture\'s program by its name alone: no other runs meanwhile.
pytestmark = pytest.mark.xdist_group("foo")


def test_the_place_is_bare() -> None:
    done = run(
        without_privileges(
            "sh", "-c", "id -u; grep CapEff /proc/self/status; ls -A /sys/kernel; ls -d /proc/[0-9]* | wc -l"
        )
    )
    user, capabilities, processes = done.stdout.split("\n")[:3]
    assert user != "0" and int(capabilities.split()[1], 16) == 0 and int(processes) < 8


def test_the_lecture_program(tmp_path: Path) -> None:
    program, script = lecture_files(tmp_path)
    words = [word for word in kloupe_words("-c", program, script) if word not in ("--engine", "ptrace", "-q")]
    done = run(without_privileges(*words), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [re.sub(r"\(.*\)", "(...)", line) for line in done.stderr.splitlines()] == [
        "kloupe: following the process with ptrace (...)",
        "kloupe: kstack is empty: the ptrace engine does not see the kernel",
        "Attached 1 probe",
    ]
    reads = re.findall(
        r"^hello read\((\d+), (.*?), (\d+)\) foo/\d+ \[\n\] \[\n(.*?)\n\]$", done.stdout, re.DOTALL | re.MULTILINE
    )
    assert len(reads) == len(lines_with(done.stdout, "hello read(")) >= 5
    assert reads[0][0] == "3" and reads[0][2] == "832"  # the dynamic linker reads the head of a library
    fd, text, _, stack = reads[-1]
    assert (fd, text) == ("255", Path(program).read_text())  # bash reads its script again: the buffer holds it already
    assert re.search(r"^        (__libc_)?read\+\d+$", stack, re.MULTILINE) and "__libc_start_main" in stack


def test_a_process_that_is_not_ours_is_refused() -> None:
    words = kloupe_words("-p", "1", "-e", "tracepoint:syscalls:sys_enter_read {}")
    done = run(["unshare", "--user", "--map-user=1000", *words])  # process 1 of the machine
    assert done.returncode
    assert re.match(r"ERROR: cannot trace process 1: .*\nHINT: it must be yours", done.stderr)


def test_kloupe_does_not_follow_itself() -> None:
    done = run(without_privileges(*kloupe_words("-p", "1", "-e", "tracepoint:syscalls:sys_enter_read {}")))
    assert (done.returncode, done.stderr) == (1, "ERROR: process 1 is kloupe itself\n")


def test_the_tracepoints_that_can_be_followed_are_listed_with_their_arguments() -> None:
    """The lecture's `-lv`, without tracefs."""
    words = [kloupe_words()[0], "-m", "kloupe"]
    done = run(without_privileges(*words, "-lv", "tracepoint:syscalls:sys_enter_read"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *("tracepoint:syscalls:sys_enter_read", "    int __syscall_nr", "    unsigned int fd", "    char * buf"),
        "    size_t count",
    ]
    assert "these are the tracepoints that work without, with -c or -p" in done.stderr
    everything = run(without_privileges(*words, "-l")).stdout.splitlines()
    assert "tracepoint:sched:sched_process_exec" in everything and "kprobe:vfs_read" in everything


def test_the_doctor_says_what_works_without_privileges() -> None:
    done = run(without_privileges(kloupe_words()[0], "-m", "kloupe", "doctor"))
    assert re.search(r"^yes +processes of your own are followed", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^no +privileges: .*\(-c COMMAND, -p PID\)", done.stdout, re.MULTILINE)


def test_a_process_that_is_traced_already_is_refused_with_its_tracer() -> None:
    words = kloupe_words("-p", "PID", "-e", "interval:s:20 { exit() }")
    first = subprocess.Popen(["sleep", "30"])
    words[words.index("PID")] = str(first.pid)
    tracer = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while "TracerPid:\t0" in Path(f"/proc/{first.pid}/status").read_text():
            assert tracer.poll() is None
        done = run(words)
        assert done.returncode
        assert re.match(
            rf"ERROR: cannot trace process {first.pid}: process \d+ \(.+\) traces it already\nHINT", done.stderr
        )
    finally:
        tracer.terminate()
        tracer.communicate()
        first.kill()
        first.wait()


def test_what_the_kernel_would_be_needed_for_is_refused() -> None:
    words = [*kloupe_words("-e", "kprobe:vfs_read { }")]
    done = run(without_privileges(*[word for word in words if word not in ("--engine", "ptrace")]))
    assert done.returncode and "HINT" in done.stderr and "-c COMMAND" in done.stderr


def test_scripts_test_themselves() -> None:
    words = [kloupe_words()[0], "-m", "kloupe", "--test", str(PROJECT / "examples" / "18-self-test.bt")]
    done = run(without_privileges(*words))
    assert (done.returncode, "3 tests ran." in done.stdout, "user-space machine" in done.stderr) == (0, True, True)


def first_command() -> str:
    """The first line of the README's first block of shell commands."""
    found = re.search(r"```sh\n(.+)\n", (PROJECT / "README.md").read_text())
    assert found is not None
    return found[1]


def test_the_first_command_of_the_readme(tmp_path: Path) -> None:
    checkout = tmp_path / "kloupe"
    shutil.copytree(PROJECT, checkout, ignore=NOT_COPIED)
    command = first_command()
    assert command.endswith("kloupe demo")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL", "KLOUPE"))
    }
    try:
        done = run(without_privileges("sh", "-c", command), cwd=checkout, env=environment)
    except subprocess.TimeoutExpired:
        cannot_run("pip finds no index in time")
    if "pip" in done.stderr and "No matching distribution" in done.stderr:
        cannot_run("pip finds no index")
    assert done.returncode == 0, done.stderr
    assert "hello read(3, , 832) foo/" in done.stdout
    assert re.search(r"^@bytes:$", done.stdout, re.MULTILINE) and "\nNext:\n" in done.stdout


@pytest.mark.parametrize("forbidden", ["ptrace"])
def test_where_even_that_is_forbidden_the_demo_says_so_and_runs_in_the_machine(forbidden: str) -> None:
    """A seccomp filter that answers ptrace with EPERM, as some container runtimes have."""
    filtered = (
        "import os, struct, sys; from kloupe.host import ptrace as p\n"
        "from kloupe.kernel.arch import arch_table\n"
        "number = arch_table(os.uname().machine).syscall_numbers['ptrace']\n"
        "code = p.make_filter(os.uname().machine, [number])\n"
        "code = code.replace(struct.pack('=HBBI', 6, 0, 0, p.RET_TRACE), struct.pack('=HBBI', 6, 0, 0, 0x50001))\n"
        "p.install_filter(code); os.execv(sys.executable, [sys.executable, '-m', 'kloupe', 'demo'])\n"
    )
    done = run(without_privileges(kloupe_words()[0], "-c", filtered))
    assert done.returncode == 0, done.stderr
    assert "cannot trace process" in done.stderr and "does not work here" in done.stdout
    assert "hello from process" in done.stdout and "@squares:" in done.stdout
