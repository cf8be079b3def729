"""The command from outside: options, exit statuses, and one clear message for every kind of bad input."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MACHINE = ("--engine", "machine")


def kloupe(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; its output as text."""
    return subprocess.run(
        [sys.executable, "-m", "kloupe", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


def test_hello_world_and_no_tracks() -> None:
    done = kloupe(*MACHINE, "-e", 'BEGIN { printf("hello, World!\\n"); }')
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello, World!\n\n\n", "Attached 1 probe\n")


def test_script_from_stdin_and_from_a_file(tmp_path: Path) -> None:
    script = "#!/usr/bin/env kloupe\nbegin { print($1 + 1); print(str($2)); print($#); }"
    assert kloupe(*MACHINE, "-q", "-", "41", "word", stdin=script).stdout == "42\nword\n2\n\n\n"
    file = tmp_path / "script.bt"
    file.write_text(script)
    assert kloupe(*MACHINE, "-q", str(file), "1", "x").stdout == "2\nx\n2\n\n\n"


def test_includes(tmp_path: Path) -> None:
    (tmp_path / "own.h").write_text("#define OWN 7\n")
    script = tmp_path / "script.bt"
    script.write_text("#include <own.h>\nbegin { print(OWN); }")
    assert kloupe(*MACHINE, "-q", "-I", str(tmp_path), str(script)).stdout == "7\n\n\n"
    assert (
        kloupe(*MACHINE, "-q", "--include", str(tmp_path / "own.h"), "-e", "begin { print(OWN); }").stdout == "7\n\n\n"
    )
    assert kloupe(*MACHINE, "-q", "--include", "errno.h", "-e", "begin { print(EPERM); }").stdout == "1\n\n\n"
    syscalls = "#include <syscall.h>\nbegin { print(SYS_read == __NR_read); print(syscall_name(SYS_openat)); }"
    assert kloupe(*MACHINE, "-q", "-e", syscalls).stdout == "true\nopenat\n\n\n"
    done = kloupe(*MACHINE, str(script))
    assert done.returncode == 1 and "'own.h' file not found" in done.stderr and "-I" in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("-e", "begin { print(1); }"), ("-l", "software:*")])
@pytest.mark.parametrize("where", [">&-", ">/dev/full"])
def test_output_that_cannot_be_written(arguments: tuple[str, ...], where: str) -> None:
    words = [sys.executable, "-m", "kloupe", "--engine", "machine", "-q", *arguments]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {where}', "sh", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and done.stderr.startswith("ERROR: cannot write stdout: ")
    assert done.stderr.count("\n") == 1


def test_closed_stderr_and_stdin() -> None:
    words = [sys.executable, "-m", "kloupe", "--engine", "machine", "-e", "begin { print(1); }"]
    done = subprocess.run(["sh", "-c", '"$@" 2>&- <&-', "sh", *words], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n\n\n", b"")


def test_named_parameters() -> None:
    program = 'begin { print((getopt("n", 5), getopt("flag"), getopt("text", "no"))); }'
    assert kloupe(*MACHINE, "-q", "-e", program).stdout == "(5, false, no)\n\n\n"
    assert kloupe(*MACHINE, "-q", "-e", program, "--", "--n=7", "--flag", "--text=yes").stdout == "(7, true, yes)\n\n\n"


def test_json() -> None:
    done = kloupe(*MACHINE, "-f", "json", "-e", 'begin { @a[1, "b"] = 2; printf("x %d\\n", 1); print((1, "t")); }')
    assert done.stdout.splitlines() == [
        '{"type": "attached_probes", "count": 1, "data": {"probes": 1}}',
        '{"type": "printf", "data": "x 1\\n"}',
        '{"type": "value", "data": [1,"t"]}',
        '{"type": "map", "data": {"@a": {"1,b": 2}}}',
    ]


def test_compiled_script_runs_later(tmp_path: Path) -> None:
    image = str(tmp_path / "script.kimg")
    assert kloupe("--emit", image, "-e", "begin { @answer = 42; }").returncode == 0
    assert kloupe(*MACHINE, "-q", image).stdout == "\n\n@answer: 42\n"


def test_damaged_image_is_said(tmp_path: Path) -> None:
    image = tmp_path / "broken.kimg"
    image.write_bytes(b"not an image")
    done = kloupe(*MACHINE, str(image))
    assert done.returncode == 1 and done.stderr.startswith("ERROR: ") and "Traceback" not in done.stderr


def test_output_file_and_full_disk(tmp_path: Path) -> None:
    file = tmp_path / "out"
    assert kloupe(*MACHINE, "-q", "-o", str(file), "-e", "begin { print(5); }").returncode == 0
    assert file.read_text() == "5\n\n\n"
    done = kloupe(*MACHINE, "-q", "-o", "/dev/full", "-e", "begin { print(5); }")
    assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr


def test_reader_that_goes_away() -> None:
    program = "begin { for ($i : 0..20000) { print($i); } }"
    command = f"{sys.executable} -m kloupe --engine machine -q -e '{program}' | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "0\n" and done.stderr == ""


# Arguments -> what the message must contain, and the exit status.
MISTAKES = {
    "no script": ([], "filename or -e 'program' required", 1),
    "unknown option": (["--nosuch"], "unknown option --nosuch", 1),
    "near option": (["--verbos", "x"], "Did you mean '--verbose'", 1),
    "missing argument": (["-e"], "-e needs an argument", 1),
    "missing file": (["/no/such/script.bt"], "failed to open file '/no/such/script.bt'", 1),
    "a folder": (["/tmp"], "failed to open file '/tmp'", 1),
    "bad format": (["-f", "xml", "-e", "begin { }"], 'Invalid output format "xml"', 1),
    "bad engine": (["--engine", "warp", "-e", "begin { }"], "kernel, ptrace, machine", 1),
    "bad pid": (["-p", "12a", "-e", "begin { }"], "Failed to parse pid: invalid trailing bytes: 12a", 1),
    "pid too large": (["-p", "99999999", "-e", "begin { }"], "Pid out of range: 99999999", 1),
    "dead pid": (["-p", "4194304", "-e", "begin { }"], "there is no such process", 1),
    "missing child": (["-c", "/no/such/program", "-e", "begin { }"], "/no/such/program", 1),
    "bad stage": (["-d", "nosuch", "-e", "begin { }"], "invalid option for -d: nosuch", 1),
    "syntax": (["-e", "begin { print(1 }"], "expected ')'", 1),
    "near function": (["-e", 'begin { prinf("x"); }'], "Did you mean 'printf'", 1),
    "near builtin": (["-e", "begin { print(elapse); }"], "Did you mean 'elapsed'?", 1),
    "near probe": (["-e", "kprob:f { }"], "Did you mean 'kprobe'", 1),
    "unsafe": (["-e", 'begin { system("true"); }'], "Run with --unsafe", 1),
    "bad pattern": (["--probe-filter", "(", "-e", "begin { }"], "Invalid --probe-filter regex", 1),
    "only tests": (["-e", "test:x { }"], "No probes attached; use --test to run test probes.", 255),
    "bad mode": (["--mode", "nosuch", "-e", "begin { }"], "--mode must be one of test", 1),
    "bad feature": (["--no-feature", "uprobe_mult", "-e", "begin { }"], "Did you mean 'uprobe_multi'", 1),
    "child may not run": (["-c", "/etc/passwd", "-e", "begin { }"], "(Permission denied)", 1),
    "missing list": (["--traceable-functions", "/no/such", "-e", "begin { }"], "cannot read /no/such", 255),
    "doctor's arguments": (["doctor", "now"], "takes no arguments", 1),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name: str) -> None:
    arguments, message, status = MISTAKES[name]
    done = kloupe(*arguments)
    assert message in done.stderr
    assert done.returncode == status
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_bad_environment_value() -> None:
    done = kloupe("-e", "begin { }", BPFTRACE_MAX_STRLEN="abc")
    assert (done.returncode, done.stderr) == (2, "ERROR: max_strlen: expecting a number, got abc\n")
    assert kloupe(*MACHINE, "-q", "-e", "begin { print(5); }", KLOUPE_MAX_STRLEN="64").returncode == 0


def test_probes_that_need_the_kernel_are_refused_clearly() -> None:
    done = kloupe(*MACHINE, "-e", "software:page-faults:1 { @ = count(); }")
    assert done.returncode == 255
    assert "only the kernel engine can run" in done.stderr


def test_exit_statuses() -> None:
    assert kloupe(*MACHINE, "-q", "-e", "begin { exit(7); }").returncode == 7
    assert kloupe(*MACHINE, "-q", "-e", 'begin { assert(1 == 2, "no"); }').returncode == 1


def test_scripts_are_tested_in_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "suite.bt"
    file.write_text('test:good { assert(1 == 1, "fine"); }\ntest:bad { print("shown"); return 1; }\n')
    done = kloupe(*MACHINE, "--test", str(file))
    assert done.returncode == 1
    assert "good" in done.stdout and "bad" in done.stdout


def test_every_stage_has_a_text() -> None:
    program = 'begin { @a[1] = 2; printf("%d\\n", 5); }'
    for stage in ("ast", "types", "ir", "asm", "all"):
        done = kloupe("-d", stage, "-e", program)
        assert done.returncode == 0 and done.stdout.strip(), stage


def test_formatter() -> None:
    assert kloupe("--fmt", "-e", "begin{print(1);exit();}").stdout == "begin\n{\n  print(1);\n  exit();\n}\n"


def test_doctor_and_info_answer() -> None:
    lines = kloupe("doctor").stdout.splitlines()
    assert any(line.startswith(("yes", "no")) and "privileges" in line for line in lines)
    assert "Probe types" in kloupe("--info").stdout


def test_runs_with_an_empty_environment() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kloupe", *MACHINE, "-q", "-e", "begin { print(1); }"],
        capture_output=True,
        text=True,
        env={},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1\n\n\n")


def test_invalid_text_and_deep_nesting(tmp_path: Path) -> None:
    file = tmp_path / "strange.bt"
    file.write_bytes(b"begin { print(\xff\xfe\x00); }")
    assert kloupe(str(file)).returncode == 1
    deep = kloupe("-e", "begin { print(" + "(" * 5000 + "1" + ")" * 5000 + "); }")
    assert deep.returncode == 1 and "Traceback" not in deep.stderr


@pytest.mark.parametrize("option", ["--aot", "--emit-elf", "--emit-llvm"])
def test_files_that_are_not_made_are_refused_and_nothing_runs(option: str, tmp_path: Path) -> None:
    done = kloupe(*MACHINE, option, str(tmp_path / "out"), "-e", "begin { print(1); }")
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith(f"ERROR: {option} is not supported") and "--emit FILE.kimg" in done.stderr


def test_a_command_and_a_process_at_once() -> None:
    done = kloupe(*MACHINE, "-c", "true", "-p", "1", "-e", "begin { print(1); }")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "ERROR: USAGE: Cannot use both -c and -p.\n")


def test_what_a_failed_command_of_system_says() -> None:
    done = kloupe(*MACHINE, "-q", "--unsafe", "-e", 'begin { system("echo hi; exit 3"); system("kill -9 $$"); }')
    assert done.stdout.startswith("hi\n")
    assert done.stderr.splitlines() == [
        "ERROR: system(): 'echo hi; exit 3' exited with status 3",
        "ERROR: system(): 'kill -9 $$' was ended by signal 9",
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [("--n", "expects an integer (value: true)"), ("--n=abc", "invalid integer (value: abc)")],
)
def test_named_numbers_that_are_none(given: str, problem: str) -> None:
    done = kloupe(*MACHINE, "-e", 'begin { print(getopt("n", 5)); }', "--", given)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ERROR: program command line option --n {problem}\n"
