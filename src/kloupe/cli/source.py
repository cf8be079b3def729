"""`kloupe source`: questions about a kernel tree."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..base.diag import did_you_mean
from ..base.errors import UsageError
from ..base.record import field, record

if TYPE_CHECKING:
    from ..xref.tree import Tree


@record
class SourceLine:
    """What was given: the verb's arguments, and options by name ("1" for flags)."""

    words: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    def number(self, name: str, default: int) -> int:
        """An option that is a number. Raises UsageError when it is none."""
        text = self.options.get(name, str(default))
        if not text.isdigit():
            raise UsageError(f"--{name} takes a number, not {text!r}")
        return int(text)


Ask = Callable[["Tree", SourceLine], Any]


@record(frozen=True)
class Verb:
    """A question: what it takes, what it answers, and how it is put."""

    arguments: tuple[str, ...]
    doc: str
    ask: Ask


def _method(name: str) -> Ask:
    """The method of a tree, called with the verb's arguments."""
    return lambda tree, line: getattr(tree, name)(*line.words)


VERBS: dict[str, Verb] = {
    "index": Verb(("[DIR]",), "make or update the index", lambda tree, line: None),
    "def": Verb(("NAME",), "where it is defined, and how to probe it", _method("definitions")),
    "refs": Verb(("NAME",), "the lines of code that mention it", _method("references")),
    "callers": Verb(("FUNC",), "who calls it", _method("callers")),
    "callees": Verb(("FUNC",), "what it calls", _method("callees")),
    "calls": Verb(
        ("A", "B"),
        "a chain of calls from A to B",
        lambda tree, line: tree.calls(line.words[0], line.words[1], line.number("depth", 12)),
    ),
    "text": Verb(("TEXT",), "the lines with a text, comments too", _method("text")),
    "regex": Verb(("REGEX",), "the lines that match", _method("regex")),
    "file": Verb(("PATTERN",), "the files whose path has it", _method("files")),
    "includers": Verb(("HEADER",), "who includes it", _method("includers")),
    "assigns": Verb(("NAME",), "the lines that set it", _method("assignments")),
    "members": Verb(("STRUCT",), "the members of a struct or union", _method("members")),
    "implementers": Verb(("STRUCT.MEMBER",), "the functions that are put there", _method("implementers")),
    "config": Verb(("SYMBOL",), "where it is defined, selected and used", _method("config")),
    "probes": Verb(
        ("FUNC",),
        "probes for a function and what it calls (--depth N, --names)",
        lambda tree, line: tree.call_tree(line.words[0], line.number("depth", 1)),
    ),
    "tags": Verb(("[FILE]",), "write a tags file for editors", lambda tree, line: None),
}
OPTIONS = {
    "tree": ("DIR", "the kernel tree (default: KLOUPE_TREE, or the tree of this folder)"),
    "index": ("DIR", "the folder of the index (default: .kloupe in the tree, or the user's cache)"),
    "jobs": ("N", "so many processes (default: one for each processor)"),
    "depth": ("N", "calls, probes: so many levels"),
    "json": ("", "answers as JSON, one object a line"),
    "open": ("", "open the first answer in $EDITOR"),
    "names": ("", "probes: only the names, for `kloupe ftrace graph`"),
    "help": ("", "print this help"),
}


def help_text() -> str:
    """The text of `kloupe source --help`."""
    lines = ["USAGE: kloupe source VERB [ARGUMENTS] [OPTIONS]", "", "VERBS:"]
    lines += [f"    {' '.join((name, *verb.arguments)):<28} {verb.doc}" for name, verb in VERBS.items()]
    lines += ["", "OPTIONS:"]
    lines += [f"    {f'--{name} {argument}'.strip():<28} {doc}" for name, (argument, doc) in OPTIONS.items()]
    return "\n".join(lines) + "\n"


def parse_source_line(arguments: Sequence[str]) -> SourceLine:
    """Read the arguments. Raises UsageError for an unknown option or a missing argument."""
    line, rest = SourceLine(), list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            line.words += rest
            break
        if not word.startswith("--"):
            line.words.append({"-h": "--help"}.get(word, word))
            continue
        name, equals, value = word[2:].partition("=")
        if name not in OPTIONS:
            near = did_you_mean(name, OPTIONS)
            raise UsageError(f"unknown option --{name}", hint=near[0] if near else "See kloupe source --help.")
        if OPTIONS[name][0] and not equals:
            if not rest:
                raise UsageError(f"--{name} needs an argument: {OPTIONS[name][0]}")
            value = rest.pop(0)
        line.options[name] = value or "1"
    return line


def open_tree(options: dict[str, str], folder: str = "") -> Tree:
    """The tree that was asked for. Raises MissingFacts when there is none."""
    from ..xref.tree import Tree

    return Tree(folder or options.get("tree") or os.environ.get("KLOUPE_TREE") or ".", options.get("index", ""))


def run(arguments: list[str]) -> int:
    """Answer a question; status 1 when nothing was found."""
    line = parse_source_line(arguments)
    if "help" in line.options or "--help" in line.words or not line.words:
        print(help_text(), end="")
        return 0
    name = line.words.pop(0)
    verb = VERBS.get(name)
    if verb is None:
        near = did_you_mean(name, VERBS)
        raise UsageError(f"unknown verb {name!r}", hint=near[0] if near else "See kloupe source --help.")
    needed = [argument for argument in verb.arguments if not argument.startswith("[")]
    if not len(needed) <= len(line.words) <= len(verb.arguments):
        raise UsageError(f"usage: kloupe source {' '.join((name, *verb.arguments))}")
    if name == "index":
        return _index(line)
    from .source_views import show

    tree = open_tree(line.options)
    if name == "tags":
        return _tags(tree, line)
    had_fault = bool(tree.index_fault)
    _say_without_index(tree)
    status = show(name, verb.ask(tree, line), line, tree)
    if tree.index_fault:
        if not had_fault:
            print(f"WARNING: the index was damaged and not used: {tree.index_fault}", file=sys.stderr)
        _make_anew(tree)
    return status


def _make_anew(tree: Tree) -> None:
    """A damaged index is replaced at once."""
    from .progress import progress_bar

    print("making the index anew", file=sys.stderr)
    with progress_bar("indexing") as progress:
        tree.index(progress)


def _index(line: SourceLine) -> int:
    from .progress import progress_bar

    tree = open_tree(line.options, *line.words)
    _say_what_tree(tree)
    with progress_bar("indexing") as progress:
        report = tree.index(progress, line.number("jobs", 0))
    if tree.index_fault or (report.rebuilt and not report.rebuilt.startswith("no index")):
        print(f"made anew: {report.rebuilt}", file=sys.stderr)
    print(f"{report.path}: {report.files} files, {report.indexed} indexed, {report.removed} removed")
    _say_partial(report.partial)
    if not report.files:
        print(f"WARNING: {tree.root} has no source files", file=sys.stderr)
    return 0


def _tags(tree: Tree, line: SourceLine) -> int:
    from ..xref.compat.tags import write_tags

    path = line.words[0] if line.words else os.path.join(tree.root, "tags")
    from .progress import progress_bar

    with progress_bar("tags") as progress:
        count, partial = write_tags(tree, path, progress)
    print(f"{path}: {count} tags")
    _say_partial(partial)
    return 0


def _say_without_index(tree: Tree) -> None:
    if tree.index_fault:
        print(f"WARNING: the index is not used: {tree.index_fault}", file=sys.stderr)
    _say_what_tree(tree)
    if not tree.indexed:
        print(f"NOTE: no index: reading all of {tree.root}. `kloupe source index` makes one.", file=sys.stderr)


def _say_what_tree(tree: Tree) -> None:
    from ..xref.walk import looks_like_kernel

    if not looks_like_kernel(tree.root):
        print(f"NOTE: {tree.root} is no kernel tree", file=sys.stderr)


def _say_partial(partial: Sequence[str]) -> None:
    if partial:
        more = f" and {len(partial) - 3} more" if len(partial) > 3 else ""
        print(f"WARNING: partial: could not read {', '.join(partial[:3])}{more}", file=sys.stderr)
