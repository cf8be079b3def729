"""The source navigator beside cscope on a full kernel tree: `python bench/source.py TREE`.

Builds both indexes in a folder of its own (--keep DIR to use it again), asks the same questions of both, and changes one file of a
copy-on-write kind: a comment is added to one file of the tree and taken away again.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from peer import KLOUPE, table

# cscope's numbers of the kinds of questions that editors ask, each with the names of a group.
KINDS = {"symbol": 0, "definition": 1, "called by": 2, "calling": 3, "includers": 8, "assignments": 9}
CHANGED = "kernel/fork.c"


def run(command: list[str], folder: Path) -> tuple[float, str]:
    """Wall seconds and output of a command."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=True)
    return time.perf_counter() - start, done.stdout


def peak_run(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall seconds of a command, and the most memory (MB) that it and its children hold together, looked at ten times a second."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    peak_kb = 0
    while process.poll() is None:
        peak_kb = max(peak_kb, sum(resident_kb(pid) for pid in family(process.pid)))
        time.sleep(0.1)
    assert process.returncode == 0, command
    return time.perf_counter() - start, peak_kb / 1024


def family(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from family(int(child))


def resident_kb(pid: int) -> int:
    """The memory of a process, with what it shares with others: cheap to read, so that looking does not slow it down."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() // 1024
    except OSError:
        return 0


def sample_names(tree: Path, count: int) -> dict[str, list[str]]:
    """Random functions, structs, headers and members of the tree, always the same ones."""
    source = random.Random(1)
    files = sorted(
        str(p.relative_to(tree))
        for folder in ("kernel", "fs", "mm", "net", "drivers", "include/linux")
        for p in (tree / folder).rglob("*.[ch]")
    )
    functions: list[str] = []
    members: list[str] = []
    for name in source.sample(files, 600):
        text = (tree / name).read_text(errors="replace")
        functions += re.findall(r"^(?:static )?(?:int|void|bool|ssize_t) (\w+)\(", text, re.M)
        members += re.findall(r"->(\w+) = ", text)
    headers = [name.removeprefix("include/") for name in files if name.startswith("include/linux/")]

    def pick(names: list[str]) -> list[str]:
        return source.sample(sorted(set(names)), count)

    some = pick(functions)
    return {
        "symbol": some,
        "definition": some,
        "called by": some,
        "calling": some,
        "includers": pick(headers),
        "assignments": pick(members),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tree", type=Path)
    parser.add_argument("--count", type=int, default=12, help="names of each kind")
    parser.add_argument("--keep", type=Path, help="use this folder, and indexes that are there")
    given = parser.parse_args()
    tree = given.tree.resolve()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="kloupe-bench-"))
    folder.mkdir(exist_ok=True)
    peer = shutil.which("cscope")
    index = [*KLOUPE, "source", "index", str(tree), "--index", str(folder)]
    run(["sh", "-c", "find . -type f -name '*.[chS]' -exec cat {} + > /dev/null"], tree)  # both find a warm page cache
    rows: list[tuple[str, float | None, float | None, str]] = []
    if not (folder / "source.sqlite").exists():
        ours = peak_run(index, tree)
        theirs = peak_run([peer, "-R", "-k", "-b", "-f", str(folder / "cscope.out")], tree) if peer else (None, None)
        rows += [("build", ours[0], theirs[0], "s"), ("memory while building", ours[1], theirs[1], "MB")]
    sizes = [
        (folder / name).stat().st_size / 1e6 if (folder / name).exists() else None
        for name in ("source.sqlite", "cscope.out")
    ]
    rows.append(("size", sizes[0], sizes[1], "MB"))
    rows.append(("update, nothing changed", statistics.median(run(index, tree)[0] for _ in range(5)), None, "s"))
    rows.append(("update, one file changed", changed_file(tree / CHANGED, index), None, "s"))
    marker = folder / "kloupe.out"
    marker.write_text(f"kloupe cscope 1\n{tree}\n{folder}\n")
    commands = [[*KLOUPE, "cscope", "-d", "-f", str(marker)]]
    if peer:
        commands.append([peer, "-d", "-f", str(folder / "cscope.out")])
    rows += queries(tree, commands, given.count)
    table(f"source navigator, {tree.name}", rows)
    if not given.keep:
        shutil.rmtree(folder)


def changed_file(path: Path, index: list[str]) -> float:
    """Seconds of an update after a change of one file; the file is as before afterwards."""
    before, stat = path.read_bytes(), path.stat()
    times = []
    try:
        for number in range(5):
            path.write_bytes(before + b"/* %d */\n" % number)
            times.append(run(index, path.parent)[0])
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        run(index, path.parent)
    return statistics.median(times)


def queries(tree: Path, commands: list[list[str]], count: int) -> list[tuple[str, float | None, float | None, str]]:
    """A row for each kind of question, and one for all: medians."""
    names = sample_names(tree, count)
    times: list[list[float]] = [[] for _ in commands]
    rows = []
    for kind, number in KINDS.items():
        part = [[run([*command, "-L", f"-{number}", name], tree)[0] for name in names[kind]] for command in commands]
        for all_times, some in zip(times, part, strict=True):
            all_times += some
        medians = [statistics.median(some) for some in part]
        rows.append((f"query: {kind}", medians[0], medians[1] if len(medians) > 1 else None, "s"))
    medians = [statistics.median(some) for some in times]
    rows.append(("query: median of all", medians[0], medians[1] if len(medians) > 1 else None, "s"))
    for what, number, name in (
        ("worst: refs list_head", 0, "list_head"),
        ("worst: callers kmalloc", 3, "kmalloc"),
        ("text", 4, "Out of memory"),
    ):
        found = [run([*command, "-L", f"-{number}", name], tree)[0] for command in commands]
        rows.append((what, found[0], found[1] if len(found) > 1 else None, "s"))
    return rows


if __name__ == "__main__":
    sys.exit(main())
