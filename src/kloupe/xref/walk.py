"""The files of a tree that the index covers."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..base.errors import MissingFacts
from ..base.record import record

CODE = (".c", ".h", ".S", ".s", ".y", ".l")
ASSEMBLY = (".S", ".s")
_SUFFIXES = (*CODE, ".tbl")
_BUILD = ("Makefile", "Kbuild", "Kconfig")  # and what begins so: Makefile.lib, Kconfig.debug


@record(frozen=True)
class SourceFile:
    """A file of the tree: its path relative to the tree, its size and time of change."""

    path: str
    size_bytes: int
    mtime_ns: int


def is_code(path: str) -> bool:
    """Whether a path is C, assembly, lex or yacc text."""
    return path.endswith(CODE)


def is_assembly(path: str) -> bool:
    """Whether a path is assembly text."""
    return path.endswith(ASSEMBLY)


def is_kconfig(path: str) -> bool:
    """Whether a path is Kconfig text."""
    return path.rsplit("/", 1)[-1].startswith("Kconfig")


def walk(root: str, skipped: list[str] | None = None) -> Iterator[SourceFile]:
    """The tree's files in a stable order. Hidden folders and symbolic links are left out (a link's target is in the tree anyway).

    Folders that cannot be read are added to `skipped`. Raises MissingFacts when the tree itself cannot be.
    """
    try:
        os.scandir(root).close()
    except OSError as error:
        raise MissingFacts(f"cannot read the source tree {root}: {error.strerror}") from error
    yield from _walk(root, "", [] if skipped is None else skipped)


def _walk(folder: str, prefix: str, skipped: list[str]) -> Iterator[SourceFile]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        skipped.append(prefix.rstrip("/"))
        return
    for entry in listed:
        name = entry.name
        if name[0] == ".":
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{name}/", skipped)
        elif (name.endswith(_SUFFIXES) or name.startswith(_BUILD)) and entry.is_file(follow_symlinks=False):
            try:
                stat = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it went away
            yield SourceFile(prefix + name, stat.st_size, stat.st_mtime_ns)


_MARKS = ("Kconfig", "Makefile", "include/linux", "kernel")


def looks_like_kernel(root: str) -> bool:
    """Whether a folder is a kernel tree, by what every one of them has at its top."""
    return all(os.path.exists(os.path.join(root, mark)) for mark in _MARKS)


def find_tree(start: str) -> str | None:
    """The kernel tree that a folder is in, or None."""
    folder = os.path.abspath(start)
    while True:
        if looks_like_kernel(folder):
            return folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
