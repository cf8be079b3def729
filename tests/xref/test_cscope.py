"""cscope's options, lines and conversation; its databases; editors that speak to it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kloupe.base.errors import FormatError, UsageError
from kloupe.cli.cscope import parse_cscope_line
from kloupe.xref.compat.database import CscopeDatabase

COMMAND = [sys.executable, "-m", "kloupe", "cscope"]


def cscope(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], cwd=folder, input=text, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the judged tree with an index and a reference file."""
    root = tmp_path_factory.mktemp("cscope") / "linux"
    shutil.copytree(Path(__file__).parent / "tree", root)
    made = cscope(root, "-R", "-k", "-b", "-q")
    assert made.returncode == 0, made.stderr
    return root


CASES = {
    "symbol": (
        "-0",
        "demo_cache",
        ["kernel/demo.c <global> 9 static DEFINE_PER_CPU_ALIGNED(struct demo_item, demo_cache);"],
    ),
    "definition": (
        "-1",
        "demo_hits",
        ["kernel/demo.c demo_hits 8 DEFINE_PER_CPU(int, demo_hits);"],
    ),
    "called by": ("-2", "ksys_demo_read", ["fs/read_demo.c plain_read 40 return plain_read(NULL, buf, count);"]),
    "calling": ("-3", "demo_pick", ["kernel/demo.c demo_loop 87 int (*step)(int) = demo_pick(n);"]),
    "text": ("-4", "is no call", ["kernel/demo.c <unknown> 34 * demo_next - demo_open() in a comment is no call"]),
    "regex": ("-6", "^SYSCALL_DEFINE0", ["fs/read_demo.c <unknown> 48 SYSCALL_DEFINE0(demo_getpid)"]),
    "file": ("-7", "list_demo", ["include/linux/list_demo.h <unknown> 1 <unknown>"]),
    "includers": ("-8", "local.h", ['kernel/demo.c <global> 3 #include "local.h"']),
    "assignments": ("-9", "demo_second", ["kernel/demo.c <global> 18 static int demo_first, demo_second = 2;"]),
    "any case": ("-C1", "DEMO_GETPID", ["fs/read_demo.c demo_getpid 48 SYSCALL_DEFINE0(demo_getpid)"]),
    "a pattern": (
        "-1",
        "plain_re.*",
        [
            "fs/read_demo.c plain_read 4 static ssize_t plain_read(struct file_demo *file, char __user *buf, size_t count)"
        ],
    ),
    "nothing": ("-1", "no_such_name", []),
}


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_searches(built: Path, case: str) -> None:
    option, text, lines = CASES[case]
    letters = "-dL" + option[1:]
    done = cscope(built, letters, text)
    assert done.stdout.splitlines() == lines, done.stderr
    assert done.returncode == 0


def test_parts_of_paths(built: Path) -> None:
    assert cscope(built, "-d", "-p1", "-L", "-1", "list_demo").stdout == "list_demo.h list_demo 2 struct list_demo {\n"


def test_a_conversation(built: Path) -> None:
    done = cscope(built, "-dl", "-f", "cscope.out", text="1demo_pick\n1no_such\nwhat\nc\n1DEMO_PICK\nr\n6(((\nq\n")
    line = "kernel/demo.c demo_pick 78 static int (*demo_pick(int which))(int)\n"
    assert done.stdout == (
        f">> cscope: 1 lines\n{line}>> Unable to search database\n>> cscope: unknown command 'what'\n"
        f">> >> cscope: 1 lines\n{line}>> >> Unable to search database\n>> "
    )
    assert done.returncode == 0


def test_without_d_the_index_is_brought_up_to_date(folder: Path) -> None:
    (folder / "kernel/new.c").write_text("int demo_new;\n")
    assert cscope(folder, "-L", "-1", "demo_new").stdout == "kernel/new.c demo_new 1 int demo_new;\n"
    assert (folder / "cscope.out").read_text().startswith("kloupe cscope 1\n")
    (folder / "kernel/new.c").write_text("\nint demo_newer;\n")
    assert cscope(folder, "-L1demo_newer").stdout == "kernel/new.c demo_newer 2 int demo_newer;\n"


MISTAKES = {
    "an unknown option": (["-z"], "unknown option -z"),
    "no argument": (["-L", "-1"], "option -1 needs an argument"),
    "a number": (["-p", "x", "-L1a"], "takes a number"),
    "no file": (["-d", "-f", "nowhere", "-L1a"], "cannot open file nowhere"),
    "no screen": (["-d"], "no screen"),
    "a file that is something else": (["-d", "-f", "Makefile", "-L1a"], "neither a reference file"),
    "a bad pattern": (["-d", "-L1", "a(("], "bad regular expression"),
}


@pytest.mark.parametrize("case", MISTAKES, ids=list(MISTAKES))
def test_mistakes(built: Path, case: str) -> None:
    arguments, message = MISTAKES[case]
    done = cscope(built, *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_options_may_be_joined() -> None:
    line = parse_cscope_line(["-dCL1name", "-fout"])
    assert (line.flags, line.values, line.search) == ({"d", "C", "L"}, {"f": "out"}, (1, "name"))
    with pytest.raises(UsageError):
        parse_cscope_line(["-L", "-Z"])


needs_cscope = pytest.mark.skipif(shutil.which("cscope") is None, reason="needs cscope")


@needs_cscope
@pytest.mark.parametrize("plain", [False, True], ids=["compressed", "plain"])
def test_databases_of_cscope_give_its_answers(folder: Path, plain: bool) -> None:
    subprocess.run(["cscope", "-R", "-k", "-b", *(["-c"] if plain else [])], cwd=folder, check=True)
    searches = [
        "0demo_open",
        "1demo_item",
        "1demo_open",
        "2ksys_demo_read",
        "3demo_open",
        "3demo_pick",
        "7demo",
        "8demo.h",
        "9flags",
    ]
    for search in [*searches, "4demo_open(", "6^int demo"]:
        theirs, ours = (
            sorted(
                " ".join(line.split())
                for line in subprocess.run(
                    [*command, "-d", f"-L{search}"], cwd=folder, capture_output=True, text=True, check=True
                ).stdout.splitlines()
            )
            for command in (["cscope"], COMMAND)
        )
        assert ours == theirs, search
        assert ours, search
    assert cscope(folder, "-b").returncode != 0, "a database of cscope is not overwritten"


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "cscope.out"
    path.write_bytes(b"cscope 15 /nowhere -c            0000000030\n\n\nhelper\n ")
    with pytest.raises(FormatError, match="damaged"):
        list(CscopeDatabase(str(path)).search(0, "helper"))
    path.write_bytes(b"cscope 14 /nowhere               0000000030\n")
    with pytest.raises(FormatError, match="cscope 14"):
        CscopeDatabase(str(path))
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="empty"):
        CscopeDatabase(str(path))


def vim_has_cscope() -> bool:
    if shutil.which("vim") is None:
        return False
    return "+cscope" in subprocess.run(["vim", "--version"], capture_output=True, text=True).stdout


needs_vim = pytest.mark.skipif(not vim_has_cscope(), reason="needs vim with its cscope interface")


def vim_goes_to(root: Path, folder: Path, commands: list[str]) -> list[str]:
    """`file line` of vim's cursor after each command; vim's cscope program is kloupe."""
    program, script, report = folder / "kloupe-cscope", folder / "script.vim", folder / "report"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m kloupe cscope "$@"\n')
    program.chmod(0o755)
    where = f"call writefile([expand('%') . ' ' . line('.')], '{report}', 'a')"
    lines = [f"set csprg={program}", "set nocsverb", "cs add cscope.out"]
    lines += [line for command in commands for line in (command, where)]
    script.write_text("\n".join((*lines, "qa!\n")))
    done = subprocess.run(
        ["vim", "-e", "-s", "-N", "-u", "NONE", "-i", "NONE", "-n", "-S", str(script)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
    )
    assert report.exists(), done.stderr
    return report.read_text().splitlines()


# With several answers, go to the first.
FIRST = "set cscopequickfix=g-,s-,c-,d-,i-,t-,e-,a-"


@needs_vim
def test_vim_finds_what_it_asks_for(built: Path, tmp_path: Path) -> None:
    """vim's own cscope interface, with kloupe as its program: the cursor goes where the definition is."""
    places = {
        "cs find g demo_pick": "kernel/demo.c 78",
        f"{FIRST} | cs find g demo_item": "include/linux/demo.h 27",
        "cs find s demo_cache": "kernel/demo.c 9",
        "cs find c demo_pick": "kernel/demo.c 87",
        "cs find d ksys_demo_read": "fs/read_demo.c 40",
        "cs find t is no call": "kernel/demo.c 34",
        "cs find e ^SYSCALL_DEFINE0": "fs/read_demo.c 48",
        "cs find f list_demo.h": "include/linux/list_demo.h 1",
        "cs find i local.h": "kernel/demo.c 3",
        "cs find a demo_second": "kernel/demo.c 18",
    }
    assert vim_goes_to(built, tmp_path, list(places)) == list(places.values())


@needs_vim
def test_vim_finds_task_struct_in_its_header_first(folder: Path, tmp_path: Path) -> None:
    """What cscope gets wrong on a kernel tree: it only knows the selftests' copies."""
    for name, text in (
        ("include/linux/sched.h", "\n\nstruct task_struct {\n\tint prio;\n};\n"),
        ("drivers/a.c", "struct task_struct {\n\tint dev;\n};\n"),  # before the header in the alphabet
        ("tools/testing/selftests/bpf/a.c", "struct task_struct {\n\tint pid;\n};\n"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    assert cscope(folder, "-R", "-k", "-b").returncode == 0
    assert vim_goes_to(folder, tmp_path, [f"{FIRST} | cs find g task_struct"]) == ["include/linux/sched.h 3"]
