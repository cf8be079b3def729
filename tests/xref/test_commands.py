"""`kloupe source` and `kloupe syscall` from outside."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kloupe.cli.run import missing_privilege
from layers import cannot_run

ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("KLOUPE_TREE", "EDITOR", "VISUAL")}


def kloupe(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kloupe", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**ENVIRONMENT, **environment},
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the judged tree with an index."""
    root = tmp_path_factory.mktemp("commands") / "linux"
    shutil.copytree(Path(__file__).parent / "tree", root)
    made = kloupe(root, "source", "index")
    assert made.returncode == 0, made.stderr
    assert "indexed, 0 removed" in made.stdout
    assert not made.stderr, "silent when piped"
    return root


CASES = {
    "def": (["def", "demo_open"], "fs/read_demo.c:14: function demo_open: int demo_open(struct file_demo *file)"),
    "def of a kind": (["def", "struct demo_item"], "include/linux/demo.h:27: struct demo_item: struct demo_item {"),
    "def with a condition": (["def", "demo_never"], "    #if 0"),
    "def with a macro": (
        ["def", "demo_mutex"],
        "kernel/demo.c:10: lock demo_mutex by DEFINE_MUTEX: static DEFINE_MUTEX(demo_mutex);",
    ),
    "refs": (["refs", "demo_second"], "kernel/demo.c:18: -: static int demo_first, demo_second = 2;"),
    "callers": (["callers", "demo_pick"], "kernel/demo.c:87: demo_loop -> demo_pick: int (*step)(int) = demo_pick(n);"),
    "callees": (
        ["callees", "demo_probe"],
        "drivers/demo/driver.c:22: demo_probe ~> open: return file->ops->open(file);",
    ),
    "calls": (
        ["calls", "sys_demo_read", "plain_read"],
        "fs/read_demo.c:45: sys_demo_read -> ksys_demo_read: return ksys_demo_read(fd, buf, count);",
    ),
    "text": (["text", "is no call"], "kernel/demo.c:34: -: * demo_next - demo_open() in a comment is no call"),
    "regex": (
        ["regex", "^SYSCALL_DEFINE.(demo_read"],
        "fs/read_demo.c:43: sys_demo_read: SYSCALL_DEFINE3(demo_read, unsigned int, fd, char __user *, buf, size_t, count)",
    ),
    "file": (["file", "list_demo"], "include/linux/list_demo.h"),
    "includers": (["includers", "local.h"], 'kernel/demo.c:3: -: #include "local.h"'),
    "assigns": (["assigns", "demo_hook"], "kernel/demo.c:80: demo_pick: demo_hook = which ? demo_choose : NULL;"),
    "members": (["members", "demo_value"], "include/linux/demo.h:51: float as_float;"),
    "implementers": (["implementers", "demo_operations.read"], "fs/read_demo.c:34: late_read: ops in demo_change"),
    "config": (["config", "DEMO_DRIVER"], "    depends DEMO_CORE && !DEMO_OFF"),
    "probes": (["probes", "no_symbol_of_any_kernel"], None),
}


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_verbs(built: Path, case: str) -> None:
    arguments, line = CASES[case]
    done = kloupe(built, "source", *arguments)
    if line is None:
        assert done.returncode in (0, 1)
        return
    assert line in done.stdout.splitlines(), done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("case", [case for case in CASES if case != "probes"])
def test_json_has_a_line_for_each_answer(built: Path, case: str) -> None:
    plain = kloupe(built, "source", *CASES[case][0])
    done = kloupe(built, "source", *CASES[case][0], "--json")
    items = [json.loads(line) for line in done.stdout.splitlines()]
    assert items
    for item in items:
        if "line" in item:
            assert f"{item['file']}:{item['line']}:" in plain.stdout


def test_from_a_folder_of_the_tree_and_from_elsewhere(built: Path, tmp_path: Path) -> None:
    answer = kloupe(built, "source", "def", "demo_second").stdout
    assert answer
    assert kloupe(built / "kernel", "source", "def", "demo_second").stdout == answer
    assert kloupe(tmp_path, "source", "def", "demo_second", "--tree", str(built)).stdout == answer
    assert kloupe(tmp_path, "source", "def", "demo_second", KLOUPE_TREE=str(built)).stdout == answer


def test_without_an_index_it_says_so(folder: Path) -> None:
    done = kloupe(folder, "source", "def", "demo_second")
    assert done.stdout.startswith("kernel/demo.c:18:")
    assert "NOTE: no index: reading all of" in done.stderr


def test_a_folder_that_is_no_kernel_tree(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int one;\n")
    done = kloupe(tmp_path, "source", "def", "one")
    assert done.stdout == "a.c:1: variable one: int one;\n"
    assert f"NOTE: {tmp_path} is no kernel tree" in done.stderr
    (tmp_path / "a.c").unlink()
    assert "has no source files" in kloupe(tmp_path, "source", "index").stderr


def test_a_damaged_index_is_said_and_made_anew(folder: Path) -> None:
    kloupe(folder, "source", "index")
    index = folder / ".kloupe/source.sqlite"
    index.write_bytes(b"not a database" * 1000)
    done = kloupe(folder, "source", "def", "demo_second")
    assert done.stdout.startswith("kernel/demo.c:18:")
    assert "damaged" in done.stderr
    assert "making the index anew" in done.stderr
    assert kloupe(folder, "source", "def", "demo_second").stderr == ""


def test_partial_answers_are_marked(folder: Path) -> None:
    kloupe(folder, "source", "index")
    (folder / "kernel/demo.c").unlink()
    done = kloupe(folder, "source", "refs", "demo_open")
    assert done.returncode == 0
    assert "WARNING: partial: could not read kernel/demo.c" in done.stderr


def test_an_editor_opens_the_first_answer(built: Path, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "$@"\n')
    editor.chmod(0o755)
    done = kloupe(built, "source", "def", "demo_open", "--open", EDITOR=str(editor))
    assert done.stdout == f"+14 {built}/fs/read_demo.c\n"
    call = kloupe(built, "syscall", "demo_read", "--open", EDITOR=str(editor))
    assert call.stdout == f"+43 {built}/fs/read_demo.c\n"
    missing = kloupe(built, "source", "def", "demo_open", "--open", EDITOR="/nowhere/editor")
    assert "cannot run the editor" in missing.stderr


def test_a_tags_file(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "tags"
    done = kloupe(built, "source", "tags", str(path))
    assert done.returncode == 0, done.stderr
    lines = path.read_text().splitlines()
    tags = [line for line in lines if not line.startswith("!_")]
    assert tags == sorted(tags)
    assert any(
        line.startswith("sys_demo_read\t") and line.endswith('fs/read_demo.c\t43;"\tf\tline:43') for line in tags
    )


@pytest.mark.skipif(shutil.which("vim") is None, reason="needs vim")
def test_vim_follows_a_tag(built: Path, tmp_path: Path) -> None:
    kloupe(built, "source", "tags", str(built / "tags"))
    report = tmp_path / "report"
    script = tmp_path / "script.vim"
    script.write_text(
        f"set tags=tags\ntag demo_pick\ncall writefile([expand('%') . ' ' . line('.')], '{report}')\nqa!\n"
    )
    subprocess.run(
        ["vim", "-e", "-s", "-N", "-u", "NONE", "-i", "NONE", "-n", "-S", str(script)],
        cwd=built,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert report.read_text() == "kernel/demo.c 78\n"


MISTAKES = {
    "an unknown verb": (["source", "defs", "x"], "unknown verb 'defs'", "Did you mean 'def'"),
    "an unknown option": (["source", "def", "x", "--jsn"], "unknown option --jsn", "Did you mean"),
    "no argument": (["source", "def"], "usage: kloupe source def NAME", ""),
    "too many": (["source", "def", "a", "b"], "usage: kloupe source def NAME", ""),
    "no tree": (["source", "def", "x", "--tree", "/no/such/tree"], "no source tree /no/such/tree", "--tree DIR"),
    "no name": (["source", "refs", "a b"], "'a b' is not a name in C", "kloupe source text"),
    "a bad pattern": (["source", "regex", "*["], "bad regular expression", ""),
    "a bad number": (["source", "calls", "a", "b", "--depth", "x"], "--depth takes a number", ""),
    "an option without argument": (["source", "def", "x", "--tree"], "--tree needs an argument: DIR", ""),
    "a near name": (["source", "def", "demo_opne"], "nothing found for demo_opne", "did you mean demo_open"),
    "an unknown call": (["syscall", "demo_raed"], "no system call demo_raed", "demo_read"),
    "an unknown number": (["syscall", "999999"], "has no system call 999999", ""),
    "syscall without a name": (["syscall"], "USAGE: kloupe syscall", ""),
    "syscall with a verb's option": (["syscall", "x", "--names"], "has no option --names", ""),
}


@pytest.mark.parametrize("case", MISTAKES, ids=list(MISTAKES))
def test_mistakes(built: Path, case: str) -> None:
    arguments, message, hint = MISTAKES[case]
    done = kloupe(built, *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_call_in_a_tree(built: Path) -> None:
    done = kloupe(built, "syscall", "demo_read", "--json")
    found = json.loads(done.stdout)
    assert [(row["arch"], row["abi"], row["number"]) for row in found["numbers"]] == [
        ("s390", "common", 3),
        ("x86", "i386", 3),
        ("x86", "common", 0),
        ("x86", "x32", 512),
    ]
    assert [(item["function"], item["line"]) for item in found["definitions"]] == [
        ("sys_demo_read", 43),
        ("compat_sys_demo_read", 54),
    ]
    assert found["definitions"][0]["parameters"] == [
        ["unsigned int", "fd"],
        ["char __user *", "buf"],
        ["size_t", "count"],
    ]
    assert found["definitions"][1]["condition"] == ["defined(CONFIG_COMPAT)"]
    text = kloupe(built, "syscall", "__x64_sys_demo_read").stdout
    assert text.startswith("demo_read\n")
    assert "fs/read_demo.c:43: sys_demo_read by SYSCALL_DEFINE3" in text


def test_a_call_by_the_name_of_its_function(built: Path) -> None:
    assert kloupe(built, "syscall", "newdemo").stdout.startswith("demo\n")
    assert "fs/read_demo.c:61" in kloupe(built, "syscall", "demo").stdout


def test_a_call_without_a_tree(tmp_path: Path) -> None:
    done = kloupe(tmp_path, "syscall", "openat", "--json")
    found = json.loads(done.stdout)
    numbers = {(row["arch"], row["abi"]): row["number"] for row in found["numbers"]}
    assert (numbers["x86", "common"], numbers["x86", "i386"], numbers["generic", "common"]) == (257, 295, 56)
    assert not found["definitions"]
    tracepoints = found["kernel"]["tracepoints"]
    assert tracepoints["tracepoint:syscalls:sys_enter_openat"][1] == "const char * filename"
    first = found["one_liners"][0]
    assert "str(args.filename)" in first


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_numbers_and_patterns(tmp_path: Path) -> None:
    assert kloupe(tmp_path, "syscall", "0").stdout.startswith("read\n")
    lines = kloupe(tmp_path, "syscall", "epoll_create*").stdout.splitlines()
    assert lines == [" 213 epoll_create", " 291 epoll_create1"]


def test_the_one_liners_compile(tmp_path: Path) -> None:
    """What is printed as ready to use is accepted by the language, for calls with all kinds of arguments."""
    for call in ("read", "openat", "mmap", "execve", "getpid", "stat"):
        found = json.loads(kloupe(tmp_path, "syscall", call, "--json").stdout)
        for line in found["one_liners"]:
            script = line.removeprefix("kloupe -e '").removesuffix("'")
            if script.startswith("kprobe"):
                continue  # not every kernel has kprobes
            done = kloupe(tmp_path, "-d", "ast", "-e", script)
            assert done.returncode == 0, (script, done.stderr)


def test_a_progress_bar_only_on_a_terminal(folder: Path) -> None:
    leader, follower = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "kloupe", "source", "index"],
        cwd=folder,
        stderr=follower,
        stdout=subprocess.PIPE,
        check=True,
        env=ENVIRONMENT,
    )
    os.close(follower)
    assert b"indexing [" in os.read(leader, 4096)
    os.close(leader)


def test_a_known_tree_names_places(built: Path) -> None:
    done = kloupe(built, "-e", "fentry:demo_is_busy { }", "--engine", "machine", KLOUPE_TREE=str(built))
    if "No matches for" in done.stderr:
        assert "In the tree: function include/linux/demo.h:66; it is inlined" in done.stderr


SWITCHES = """
tracepoint:syscalls:sys_enter_read /pid == cpid/ { printf("%s", kstack); exit(); }
"""


def test_stacks_name_places(tmp_path: Path) -> None:
    if reason := missing_privilege():
        cannot_run(reason)
    source = tmp_path / "linux" / "arch" / "x86" / "entry" / "common.c"
    source.parent.mkdir(parents=True)
    source.write_text(
        "\n\nvoid do_syscall_64(struct pt_regs *regs, int nr)\n{\n}\n\nvoid invoke_syscall(int nr)\n{\n}\n"
    )
    tree = str(tmp_path / "linux")
    command = ("-q", "-c", "cat /dev/null", "-e", SWITCHES)
    untold = kloupe(tmp_path, *command, KLOUPE_TREE=tree)
    assert "has no index" in untold.stderr and "common.c" not in untold.stdout
    assert kloupe(tmp_path, "source", "index", tree).returncode == 0
    done = kloupe(tmp_path, *command, KLOUPE_TREE=tree)
    assert not done.stderr
    assert re.search(r"^        (do_syscall_64\+\d+@\S+:3|invoke_syscall\+\d+@\S+:7)$", done.stdout, re.M)
    assert re.search(r"^        \w+\+\d+$", done.stdout, re.M), "what the tree does not have stands alone"
    named = kloupe(tmp_path, *command[:-1], f'config = {{ tree = "{tree}" }}{SWITCHES}')
    assert "arch/x86/entry/common.c:" in named.stdout


def test_help() -> None:
    for command in ("source", "syscall"):
        done = kloupe(Path("/"), command, "--help")
        assert done.returncode == 0
        assert done.stdout.startswith(f"USAGE: kloupe {command}")
