"""`kloupe cscope`: takes cscope's options and speaks its line protocol, so that editors can use kloupe in its place.

Formats: cscope(1), and what cscope 15.9 prints. A line is `file function line text`; `<global>` and `<unknown>` stand in
for a function, `1 <unknown>` for a place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

from ..base.errors import KloupeError, UsageError
from ..base.record import field, record
from ..xref.compat.lines import FIELDS, Found, search
from ..xref.compat.marker import read_marker, write_marker
from ..xref.tree import Tree

_WITH_ARGUMENT = "fFiIsPp"
_FLAGS = "bcCdehklLqRTuUvV"
_HELP = """USAGE: kloupe cscope [OPTIONS]

    -b            only make the index
    -d            do not update the index first
    -L            one search, then end
    -l            read searches from stdin, as editors do
    -0 to -9 TEXT symbol, definition, called by, calling, text, (text), regex, file, includers, assignments
    -C            ignore case
    -f FILE       the reference file: one of kloupe's, or an existing database of cscope
    -p N          print the last N parts of paths
    -V            print the version
    -c -e -k -q -R -T -u -U -v -F FILE -i FILE -I DIR -P DIR -s DIR are accepted: kloupe always reads the whole tree
"""


class Database(Protocol):
    """What answers searches: a tree, or a database of cscope."""

    def search(self, number: int, pattern: str, any_case: bool) -> Iterable[Found]:
        """The lines of a search."""
        ...

    def refresh(self) -> None:
        """Bring it up to date, where it can be."""
        ...


class TreeDatabase:
    """A tree of kloupe's."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def search(self, number: int, pattern: str, any_case: bool) -> Iterable[Found]:
        """See `Database`."""
        return search(self.tree, number, pattern, any_case)

    def refresh(self) -> None:
        """Update the index."""
        from .progress import progress_bar

        with progress_bar("indexing") as progress:
            self.tree.index(progress)


@record
class CscopeLine:
    """What was given: flags as a set of letters, options with arguments, and the search."""

    flags: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    search: tuple[int, str] | None = None

    @property
    def reference_file(self) -> str:
        """The -f file."""
        return self.values.get("f", "cscope.out")


def parse_cscope_line(arguments: Sequence[str]) -> CscopeLine:
    """Read options as getopt does. Raises UsageError."""
    line, rest = CscopeLine(), list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--help":
            line.flags.add("h")
            continue
        if not word.startswith("-") or word == "-":
            continue  # source files: the whole tree is read anyway
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _FLAGS:
                line.flags.add(letter)
                continue
            if letter not in _WITH_ARGUMENT and not letter.isdigit():
                raise UsageError(f"unknown option -{letter}", hint="See kloupe cscope -h.")
            if not letters and not rest:
                raise UsageError(f"option -{letter} needs an argument", hint="See kloupe cscope -h.")
            value, letters = letters or rest.pop(0), ""
            if letter.isdigit():
                line.search = (int(letter), value)
            else:
                line.values[letter] = value
    if not line.values.get("p", "0").isdigit():
        raise UsageError(f"option -p takes a number, not {line.values['p']!r}")
    return line


def run(arguments: list[str]) -> int:
    """Do what the options say."""
    line = parse_cscope_line(arguments)
    if "h" in line.flags:
        print(_HELP, end="")
        return 0
    if "V" in line.flags:
        print("cscope: version 15.9 (kloupe)", file=sys.stderr)
        return 0
    database = _open(line)
    if "b" in line.flags or "d" not in line.flags:
        database.refresh()
        if isinstance(database, TreeDatabase):
            write_marker(line.reference_file, database.tree)
    if "b" in line.flags:
        return 0
    if "l" in line.flags:
        return _converse(database, line, sys.stdin, sys.stdout.write)
    if line.search is None:
        raise UsageError(
            "kloupe cscope has no screen of its own", hint="Give a search: -L -1 NAME, or use it from an editor."
        )
    for found in database.search(*line.search, "C" in line.flags):
        print(_render(found, line))
    return 0


def _open(line: CscopeLine) -> Database:
    path = line.reference_file
    if os.path.exists(path):
        marker = read_marker(path)
        if marker is not None:
            return TreeDatabase(Tree(marker.root, marker.index_folder, enclosing=False))
        from ..xref.compat.database import CscopeDatabase

        if "d" in line.flags:
            return CscopeDatabase(path)
        raise UsageError(
            f"{path} is a database of cscope",
            hint="With -d kloupe answers from it; with -f FILE it makes one of its own.",
        )
    if "d" in line.flags and "f" in line.values:
        raise UsageError(f"cannot open file {path}", hint="Make it with: kloupe cscope -R -k -b")
    return TreeDatabase(Tree(".", enclosing=False))


def _render(found: Found, line: CscopeLine) -> str:
    parts = int(line.values.get("p", "0"))
    file = "/".join(found.file.split("/")[-parts:])
    return f"{file} {found.function} {found.line} {found.text}"


def _converse(database: Database, line: CscopeLine, lines: Iterable[str], write: Callable[[str], object]) -> int:
    """The line protocol: a prompt, a command, its answer, until `q` or the end of the input."""
    for command in _prompted(lines, write):
        letter, rest = command[:1], command[1:]
        if letter == "q":
            break
        if letter == "c":
            line.flags ^= {"C"}
        elif letter in ("r", "\x12"):
            _guarded(database.refresh, write)
        elif letter.isdigit() and int(letter) < len(FIELDS):
            _guarded(partial(_answer, database, line, int(letter), rest, write), write)
        elif letter:
            write(f"cscope: unknown command '{command}'\n")
    return 0


def _prompted(lines: Iterable[str], write: Callable[[str], object]) -> Iterator[str]:
    source = iter(lines)
    while True:
        write(">> ")
        sys.stdout.flush()
        command = next(source, None)
        if command is None:
            write("\n")
            return
        yield command.rstrip("\n")


def _answer(database: Database, line: CscopeLine, number: int, text: str, write: Callable[[str], object]) -> None:
    found = list(database.search(number, text, "C" in line.flags))
    write(f"cscope: {len(found)} lines\n" if found else "Unable to search database\n")
    for item in found:
        write(_render(item, line) + "\n")


def _guarded(action: Callable[[], object], write: Callable[[str], object]) -> None:
    """An error ends a search, not the conversation: an editor would lose its connection."""
    try:
        action()
    except KloupeError as error:
        write("Unable to search database\n")
        print(f"kloupe cscope: {error}", file=sys.stderr)
