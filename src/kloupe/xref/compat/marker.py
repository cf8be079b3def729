"""The file that stands where cscope would write its database: it names the tree and the index. Editors want it to exist."""

from __future__ import annotations

import os

from ...base.errors import FormatError, PermissionNeeded
from ...base.record import record
from ..tree import Tree

_FIRST_LINE = "kloupe cscope 1"


@record(frozen=True)
class Marker:
    """Whose index a reference file stands for."""

    root: str
    index_folder: str


def write_marker(path: str, tree: Tree) -> None:
    """Write a reference file. A database of cscope is never overwritten. Raises PermissionNeeded."""
    if os.path.exists(path) and read_marker(path) is None:
        raise PermissionNeeded(f"{path} is not one of kloupe's files: not overwritten", hint="Choose another: -f FILE")
    try:
        with open(path, "w") as file:
            file.write(f"{_FIRST_LINE}\n{tree.root}\n{os.path.dirname(tree.index_path)}\n")
    except OSError as error:
        raise PermissionNeeded(f"cannot write {path}: {error.strerror}") from error


def read_marker(path: str) -> Marker | None:
    """A reference file of kloupe's, or None when it is something else. Raises FormatError for one that is cut short."""
    try:
        with open(path, "rb") as file:
            head = file.read(16384)
    except OSError as error:
        raise PermissionNeeded(f"cannot read {path}: {error.strerror}") from error
    if not head.startswith(_FIRST_LINE.encode()):
        return None
    lines = head.decode("utf-8", "surrogateescape").split("\n")
    if len(lines) < 4:
        raise FormatError(path, len(head), "the reference file is cut short; make it again: kloupe cscope -b")
    return Marker(lines[1], lines[2])
