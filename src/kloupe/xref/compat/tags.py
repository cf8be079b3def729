"""Writes a tags file for editors. Format: ctags' own description, tags(5), with the extension fields `kind` and `line`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from ...base.errors import PermissionNeeded
from ..index.build import Progress
from ..scan import Question, ask_files
from ..text import SourceText
from ..tree import Tree
from ..walk import is_code

_HEAD = (
    "!_TAG_FILE_FORMAT\t2\t/extended format/\n"
    "!_TAG_FILE_SORTED\t1\t/0=unsorted, 1=sorted, 2=foldcase/\n"
    "!_TAG_PROGRAM_NAME\tkloupe\t//\n"
)
_FILES_AT_ONCE = 2048
# One letter for each kind, ctags' where it has one.
_LETTERS = {
    **{
        "function": "f",
        "syscall": "f",
        "compat_syscall": "f",
        "macro_function": "f",
        "bpf_helper": "f",
        "asm_function": "f",
    },
    **{"macro": "d", "function_macro": "d", "struct": "s", "union": "u", "enum": "g", "enumerator": "e", "member": "m"},
    **{"typedef": "t", "variable": "v", "percpu": "v", "lock": "v", "static_key": "v", "asm_data": "v", "label": "l"},
    **{"tracepoint": "p", "trace_class": "p", "asm_macro": "d"},
}


def tags_in(text: SourceText) -> Iterator[tuple[str, str, int, str]]:
    """(name, file, line, letter) of the definitions of a file that editors jump to."""
    for item in text.names():
        if item.kind in _LETTERS:
            yield item.name, text.path, text.line_at(item.offset), _LETTERS[item.kind]


def write_tags(tree: Tree, path: str, progress: Progress | None = None) -> tuple[int, Sequence[str]]:
    """Write the tags of a tree; (number of tags, files that could not be read). Raises PermissionNeeded."""
    paths = [p for p in tree.paths() if is_code(p)]
    relative = os.path.relpath(tree.root, os.path.dirname(os.path.abspath(path)))
    prefix = "" if relative == "." else relative + "/"
    lines: list[str] = []
    partial: list[str] = []
    for at in range(0, len(paths), _FILES_AT_ONCE):
        answer = ask_files(tree.root, paths[at : at + _FILES_AT_ONCE], Question(tags_in))
        found: Sequence[tuple[str, str, int, str]] = answer  # type: ignore[assignment]
        lines += (f'{name}\t{prefix}{file}\t{line};"\t{letter}\tline:{line}' for name, file, line, letter in found)
        partial += answer.partial
        if progress is not None:
            progress(at, len(paths))
    lines = sorted(set(lines))
    try:
        with open(path + ".new", "w", encoding="utf-8", errors="replace") as file:
            file.write(_HEAD)
            file.writelines(line + "\n" for line in lines)
        os.replace(path + ".new", path)
    except OSError as error:
        raise PermissionNeeded(f"cannot write {path}: {error.strerror}") from error
    return len(lines), partial
