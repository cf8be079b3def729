"""Are the navigator's answers right? Beside grep, cscope and ctags on a real tree: `python bench/source_accuracy.py TREE --index DIR --cscope FILE`.

FILE is a database that cscope made in the tree with -q. Lines that differ are printed with --show N (a sample), for a person to judge.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from kloupe.source import Tree

Place = tuple[str, int]
CTAGS_KINDS = "degmstuvf"
# What ctags calls a definition in code that it does not understand; kloupe names the things that these macros make.
NOT_NAMES = re.compile(
    r"__anon|^(?:COMPAT_)?SYSCALL_DEFINE\d$|^(?:__)?(?:TEST|FIXTURE)\w*$|^__(?:initdata|read_mostly|ro_after_init|maybe_unused|initconst|packed|aligned)$|^____cacheline|^_license$"
)


def syscalls(tree: Tree) -> str:
    """Every SYSCALL_DEFINE that grep finds leads from its name back to its line."""
    out = subprocess.run(
        ["grep", "-rnE", r"^(COMPAT_)?SYSCALL_DEFINE[0-6]\(\w+", "--include=*.c", "."],
        cwd=tree.root,
        capture_output=True,
        text=True,
    ).stdout
    missing, count = [], 0
    for line in out.splitlines():
        path, number, text = line.split(":", 2)
        found = re.match(r"(COMPAT_)?SYSCALL_DEFINE\d\((\w+)", text)
        assert found
        count += 1
        place = (path.removeprefix("./"), int(number))
        for name in (found[2], f"{'compat_' if found[1] else ''}sys_{found[2]}"):
            if name.isidentifier() and place not in {(item.file, item.line) for item in tree.definitions(name)}:
                missing.append((name, place))
    return f"{count - len({place for _, place in missing})} of {count}" + (
        f", missing {missing[:5]}" if missing else ""
    )


def random_functions(tree: Tree, count: int, seed: int) -> list[str]:
    """Names of functions that the tree defines, at random."""
    source = random.Random(seed)
    paths = [path for path in tree.paths() if path.endswith(".c")]
    names: set[str] = set()
    while len(names) < count:
        text = (Path(tree.root) / source.choice(paths)).read_text(errors="replace")
        found = re.findall(r"^(?:static |inline |__init )*[a-z][\w ]*[ *](\w+)\([^;{}()]*\)\n\{", text, re.M)
        if found:
            names.add(source.choice(found))
    return sorted(names)


def cscope_answers(root: str, database: str, questions: list[str]) -> Iterator[list[tuple[str, str, int, str]]]:
    """(file, function, line, text) lines of cscope for each question of its line mode."""
    done = subprocess.run(
        ["cscope", "-dl", "-f", database],
        cwd=root,
        input="".join(f"{q}\n" for q in questions) + "q\n",
        capture_output=True,
        text=True,
        errors="replace",
    )
    output = iter(done.stdout.split("\n"))
    for _ in questions:
        head = next(output).removeprefix(">> ")
        count = int(head.split()[1]) if head.startswith("cscope: ") else 0
        lines = [next(output).split(" ", 3) for _ in range(count)]
        yield [(words[0], words[1], int(words[2]), words[3]) for words in lines]


def calls(tree: Tree, database: str, names: list[str], show: int) -> dict[str, str]:
    """Callers and callees beside cscope's: lines that agree, and those that only one has."""
    rows = {}
    for what, number, ask in (("callers", 3, tree.callers), ("callees", 2, tree.callees)):
        both, only_ours, only_theirs = 0, [], []
        for name, answer in zip(
            names, cscope_answers(tree.root, database, [f"{number}{name}" for name in names]), strict=True
        ):
            theirs = {
                (file, line, function): text for file, function, line, text in answer if file.endswith((".c", ".h"))
            }
            ours = {
                (call.file, call.line, call.caller if number == 3 else call.callee): call.text
                for call in ask(name)
                if call.file.endswith((".c", ".h"))
            }
            both += len(ours.keys() & theirs.keys())
            only_ours += [(name, *key, ours[key]) for key in ours.keys() - theirs.keys()]
            only_theirs += [(name, *key, theirs[key]) for key in theirs.keys() - ours.keys()]
        rows[what] = f"{both} lines agree, {len(only_ours)} only kloupe, {len(only_theirs)} only cscope"
        for title, items in (("only kloupe", only_ours), ("only cscope", only_theirs)):
            for item in random.Random(1).sample(sorted(items), min(show, len(items))):
                print(what, title, *item)
    return rows


def ctags(tree: Tree, count: int, seed: int, show: int) -> str:
    """How many of ctags' definitions are found by name."""
    paths = [path for path in tree.paths() if path.endswith((".c", ".h"))]
    some = random.Random(seed).sample(paths, 700)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as names:
        names.write("\n".join(some))
        names.flush()
        out = subprocess.run(
            ["ctags", "-L", names.name, "-f", "-", "--excmd=number", f"--kinds-C={CTAGS_KINDS}"],
            cwd=tree.root,
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
        ).stdout
    places = [line.split("\t") for line in out.splitlines() if not line.startswith("!")]
    tags = sorted(
        {
            (words[0], words[1], int(words[2].rstrip(';"')), words[3])
            for words in places
            if not NOT_NAMES.search(words[0])
        }
    )
    chosen = random.Random(seed).sample(tags, count)
    missing = [tag for tag in chosen if tag[1:3] not in {(item.file, item.line) for item in tree.definitions(tag[0])}]
    for tag in missing[:show]:
        print("ctags only", *tag)
    return f"{1 - len(missing) / count:.4f} of {count} names ({dict(Counter(tag[3] for tag in missing))} missing)"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tree")
    parser.add_argument("--index", required=True)
    parser.add_argument("--cscope", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--functions", type=int, default=300)
    parser.add_argument("--names", type=int, default=3000)
    given = parser.parse_args()
    tree = Tree(given.tree, index=given.index)
    rows = {"system calls that grep finds": syscalls(tree)}
    for name in ("sys_read", "read", "task_struct"):
        first = tree.definitions(name)[0]
        rows[f"first definition of {name}"] = f"{first.file}:{first.line}: {first.text}"
    rows |= calls(tree, given.cscope, random_functions(tree, given.functions, given.seed), given.show)
    rows["recall beside ctags"] = ctags(tree, given.names, given.seed, given.show)
    for what, text in rows.items():
        print(f"{what:<32} {text}")


if __name__ == "__main__":
    main()
