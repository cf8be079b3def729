"""System calls: from a name, a number or a function to the definitions, variants, arguments and numbers in a tree."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator

from ..base.record import record
from ..kernel.syscall_tables import SyscallRow, packaged_rows, parse_syscall_table, table_arch
from . import uses
from .answers import OUTSIDE, Definition, place_rank
from .index.batch import read_file
from .parse.declarators import split_at_commas
from .parse.structure import closing
from .text import SourceText
from .tree import Tree

_KINDS = ("syscall", "compat_syscall")
# How functions in the binary are named: what the entry code of an architecture puts before `sys_NAME`.
_PREFIXES = re.compile(
    r"(?:__(?:x64|ia32|arm64|arm64_compat|s390x|s390|riscv|loongarch|powerpc|se|do|se_compat|do_compat)_)?(?:compat_)?sys_"
)


@record(frozen=True)
class SyscallDefinition:
    """One definition. `function`: what it makes (`sys_read`, `compat_sys_ioctl`); `parameters`: (type, name) of each.

    `kind`: syscall, compat_syscall, or function for calls that need no macro.
    """

    function: str
    kind: str
    file: str
    line: int
    macro: str
    parameters: tuple[tuple[str, str], ...]
    condition: tuple[str, ...]
    text: str


@record(frozen=True)
class SyscallFacts:
    """What a tree (or, without one, the packaged snapshot) knows about a system call."""

    name: str
    definitions: tuple[SyscallDefinition, ...]
    numbers: tuple[SyscallRow, ...]


def syscall_rows(tree: Tree | None) -> list[SyscallRow]:
    """The tables of a tree; the packaged ones without a tree, or for one that has none."""
    rows: list[SyscallRow] = []
    for path in tree.files(".tbl") if tree is not None else ():
        arch = table_arch(path)
        data = read_file(tree.root, path) if arch is not None and tree is not None else None
        if arch is not None and data is not None:
            rows += parse_syscall_table(data.decode("utf-8", "replace"), arch)
    return rows or packaged_rows()


def plain_name(text: str) -> str:
    """A call's name without what its functions have in front: `__x64_sys_read` and `sys_read` are `read`."""
    return _PREFIXES.sub("", text, count=1)


def matching_names(rows: Iterable[SyscallRow], pattern: str) -> list[str]:
    """The names of calls that match a pattern with * and ?, sorted."""
    return sorted({row.name for row in rows if fnmatch.fnmatchcase(row.name, pattern)})


def syscall_facts(tree: Tree | None, rows: list[SyscallRow], name: str) -> SyscallFacts:
    """All about one call, which may be named by its function too (`newstat` is `stat`)."""
    entry_names = {row.name for row in rows if plain_name(row.entry) == name} if not _is_name(rows, name) else {name}
    names = entry_names or {name}
    numbers = [row for row in rows if row.name in names]
    found = _definitions(tree, name, names, numbers) if tree is not None else []
    return SyscallFacts(min(names, key=lambda n: (n != name, n)), tuple(found), tuple(numbers))


def _is_name(rows: list[SyscallRow], name: str) -> bool:
    return any(row.name == name for row in rows)


def _definitions(tree: Tree, name: str, names: set[str], numbers: list[SyscallRow]) -> list[SyscallDefinition]:
    entries = {entry for row in numbers for entry in (row.entry, row.compat) if entry and entry != "sys_ni_syscall"}
    calls = {name, *names, *(plain_name(entry) for entry in entries)}
    calls |= {variant.format(base) for base in {name, *names} for variant in _VARIANTS}
    words = {call.encode() for call in calls} | {entry.encode() for entry in entries}
    paths = tree.candidates(words, defining=True)
    needs = () if tree.indexed else [b"SYSCALL", *(entry.encode() for entry in entries)]
    found = tree.ask(paths, syscalls_in, frozenset(calls), frozenset(entries), needs=needs)
    macros = {item.function for item in found if item.kind in _KINDS}
    kept = [
        item
        for item in found
        if item.kind in _KINDS or (item.function not in macros and place_rank(item.file, tree.machine) < OUTSIDE)
    ]
    return sorted(
        kept, key=lambda d: (place_rank(d.file, tree.machine), d.kind != "syscall", len(d.function), d.file, d.line)
    )


# Names that variants of a call have besides those in the tables.
_VARIANTS = ("old{}", "old_{}", "new{}", "{}64", "{}_time32", "{}_time64", "{}_old")


def syscalls_in(text: SourceText, calls: frozenset[str], entries: frozenset[str]) -> Iterator[SyscallDefinition]:
    """The definitions in one file: by the kernel's macros for some calls, or as plain functions for some entry points."""
    seen = set()
    for item in text.names():
        is_call = item.kind in _KINDS and "sys_" in item.name and plain_name(item.name) in calls
        is_entry = item.kind in ("function", "asm_function") and item.name in entries
        if (is_call or is_entry) and (item.offset, item.name) not in seen:
            seen.add((item.offset, item.name))
            parameters = _macro_parameters(text, item.start) if is_call else ()
            yield _made(uses.definition(text, item), parameters)


def _made(item: Definition, parameters: tuple[tuple[str, str], ...]) -> SyscallDefinition:
    kind = item.kind if item.kind in _KINDS else "function"
    return SyscallDefinition(item.name, kind, item.file, item.line, item.macro, parameters, item.condition, item.text)


def _macro_parameters(text: SourceText, start: int) -> tuple[tuple[str, str], ...]:
    """The arguments of SYSCALL_DEFINEn(name, type, name, type, name...) in pairs."""
    code = text.outline.code
    opening = code.find(b"(", start)
    parts = [
        b" ".join(part.split()).decode("utf-8", "replace")
        for part in split_at_commas(code[opening + 1 : closing(code, opening)])
    ]
    return tuple(zip(parts[1::2], parts[2::2], strict=False))
