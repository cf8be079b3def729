"""`kloupe syscall`: all about a system call, from the source, the running kernel and the packaged snapshot."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..base.errors import KloupeError, MissingFacts, UsageError
from ..base.record import record
from ..kernel.syscall_tables import NATIVE, SyscallRow, native_numbers, native_rows
from ..xref.syscalls import SyscallFacts, matching_names, plain_name, syscall_facts, syscall_rows
from ..xref.tree import Tree
from ..xref.walk import find_tree
from .source import OPTIONS, _say_without_index, parse_source_line
from .source_views import as_json, open_first

if TYPE_CHECKING:
    from ..kernel.target import TracepointFormat

_USED = ("tree", "index", "json", "open", "help")
_HELP = "USAGE: kloupe syscall NAME|NUMBER|PATTERN [--tree DIR] [--index DIR] [--json|--open]\n"
_PATHS = frozenset(
    ("filename", "pathname", "path", "oldname", "newname", "dev_name", "dir_name", "name", "old", "new", "specialfile")
)
_BINARY_FORMS = {
    "x86_64": ("__x64_sys_{}", "__ia32_sys_{}", "__se_sys_{}", "__do_sys_{}"),
    "aarch64": ("__arm64_sys_{}", "__se_sys_{}", "__do_sys_{}"),
}


@record(frozen=True)
class KernelSide:
    """What a kernel has of a call. `functions`: symbol -> whether the running kernel has it (None: could not tell).

    `tracepoints`: name -> declarations of its fields; `live`: they are the running kernel's and not the packaged ones.
    """

    functions: dict[str, bool | None]
    tracepoints: dict[str, tuple[str, ...]]
    live: bool


def run(arguments: list[str]) -> int:
    """Print what is known; status 1 for a call that nobody knows."""
    line = parse_source_line(arguments)
    if "help" in line.options or "--help" in line.words:
        print(_HELP + "\n" + "\n".join(f"    --{name:<12} {OPTIONS[name][1]}" for name in _USED))
        return 0
    unknown = [name for name in line.options if name not in _USED]
    if unknown or len(line.words) != 1:
        raise UsageError(f"syscall has no option --{unknown[0]}" if unknown else _HELP.strip())
    tree = _tree(line.options)
    if tree is not None:
        _say_without_index(tree)
    rows = syscall_rows(tree)
    wanted = line.words[0]
    if set(wanted) & set("*?["):
        return _list(matching_names(rows, plain_name(wanted)), rows, wanted)
    name = _name_of_number(int(wanted), rows) if wanted.isdigit() else plain_name(wanted)
    facts = syscall_facts(tree, rows, name)
    if not facts.numbers and not facts.definitions:
        return _unknown(name, rows)
    if "open" in line.options:
        return open_first(list(facts.definitions), tree.root if tree is not None else "")
    kernel = kernel_side(facts)
    if "json" in line.options:
        print(json.dumps({**as_json(facts), "kernel": as_json(kernel), "one_liners": list(one_liners(facts, kernel))}))
    else:
        print("\n".join(_lines(facts, kernel)))
    return 0


def _tree(options: dict[str, str]) -> Tree | None:
    """The tree that was asked for, or the one we are in, or None."""
    given = options.get("tree") or os.environ.get("KLOUPE_TREE")
    if not given and find_tree(".") is None:
        return None
    if given and not os.path.isdir(given):
        raise MissingFacts(f"no source tree {given}", hint="Give the folder of a kernel tree: --tree DIR")
    return Tree(given or ".", options.get("index", ""))


def _name_of_number(number: int, rows: list[SyscallRow]) -> str:
    machine = os.uname().machine
    names = {value: name for name, value in native_numbers(rows, machine).items()}
    if number not in names:
        raise UsageError(f"{machine} has no system call {number}")
    return names[number]


def _list(names: list[str], rows: list[SyscallRow], pattern: str) -> int:
    numbers = native_numbers(rows, os.uname().machine)
    for name in names:
        print(f"{numbers.get(name, '-'):>4} {name}")
    if not names:
        print(f"no system call matches {pattern}", file=sys.stderr)
    return 0 if names else 1


def _unknown(name: str, rows: list[SyscallRow]) -> int:
    from ..base.diag import did_you_mean

    near = did_you_mean(name, {row.name for row in rows})
    print(f"no system call {name}" + (f"\nHINT: {near[0]}" if near else ""), file=sys.stderr)
    return 1


def kernel_side(facts: SyscallFacts) -> KernelSide:
    """The functions and tracepoints of a call: the running kernel's where they can be read."""
    names = _function_names(facts)
    return KernelSide(_functions(names), *_tracepoints(names))


def _function_names(facts: SyscallFacts) -> list[str]:
    """The names behind `sys_` of the functions that serve a call on this machine."""
    native = [plain_name(row.entry) for row in native_rows(facts.numbers, os.uname().machine) if row.entry]
    return list(dict.fromkeys((*native, facts.name)))[: max(1, len(native))]


def _functions(names: Sequence[str]) -> dict[str, bool | None]:
    from ..kernel.kallsyms import Kallsyms

    try:
        symbols = {name for name, _ in Kallsyms().text_names()}
    except KloupeError:
        symbols = set()
    forms = _BINARY_FORMS.get(os.uname().machine, ("sys_{}",))
    expected = dict.fromkeys(form.format(name) for name in names for form in forms)
    found = [s for s in symbols if "sys_" in s and plain_name(s) in names and not s.startswith(("perf_", "trace_"))]
    everything = dict.fromkeys((*expected, *sorted(found)))
    return {name: (name in symbols) if symbols else None for name in everything}


def _tracepoints(names: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], bool]:
    from ..kernel.arch import arch_table
    from ..kernel.packaged import PackagedTracing
    from .machine import live_target

    events = [f"{side}_{name}" for name in names for side in ("sys_enter", "sys_exit")]
    try:
        found = {event: live_target().tracepoint("syscalls", event) for event in events}
        live = any(found.values())
    except KloupeError:
        live = False
    if not live:
        try:
            packaged = PackagedTracing(arch_table(os.uname().machine))
            found = {event: packaged.tracepoint("syscalls", event) for event in events}
        except KloupeError:
            found = {}
    return {f"tracepoint:syscalls:{event}": _fields(known) for event, known in found.items() if known is not None}, live


def _fields(known: TracepointFormat) -> tuple[str, ...]:
    from ..probes.tracepoint import declaration, event_fields

    return tuple(declaration(field) for field in event_fields(known) if field.name != "__syscall_nr")


def _lines(facts: SyscallFacts, kernel: KernelSide) -> Iterator[str]:
    yield facts.name
    yield from _section("numbers", _number_lines(facts.numbers))
    yield from _section("defined", (text for item in facts.definitions for text in _definition_lines(item)))
    words = {True: "", False: " (not in this kernel)", None: ""}
    yield from _section("functions", (f"{name}{words[has]}" for name, has in kernel.functions.items()))
    source = "this kernel" if kernel.live else "packaged snapshot"
    yield from _section(
        f"tracepoints ({source})",
        (text for name, fields in kernel.tracepoints.items() for text in (name, *(f"    {f}" for f in fields))),
    )
    yield from _section("to trace it", one_liners(facts, kernel))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    texts = [f"        {line}" for line in lines]
    if texts:
        yield f"    {title}:"
        yield from texts


def _number_lines(rows: Sequence[SyscallRow]) -> Iterator[str]:
    native = NATIVE.get(os.uname().machine, ((), ()))[0]
    for row in sorted(rows, key=lambda row: (row.arch not in native, row.arch, row.number)):
        entry = f" {row.entry}" if row.entry else ""
        compat = f", compat {row.compat}" if row.compat else ""
        yield f"{row.arch} {row.abi}: {row.number}{entry}{compat}"


def _definition_lines(item: object) -> Iterator[str]:
    from ..xref.syscalls import SyscallDefinition

    assert isinstance(item, SyscallDefinition)
    yield f"{item.file}:{item.line}: {item.function}{f' by {item.macro}' if item.macro else ''}: {item.text}"
    if item.condition:
        yield f"    #if {' && '.join(item.condition)}"
    yield from (f"    {kind} {name}" for kind, name in item.parameters)


def one_liners(facts: SyscallFacts, kernel: KernelSide) -> Iterator[str]:
    """Commands that trace a call."""
    enter = next((name for name in kernel.tracepoints if "sys_enter_" in name), None)
    if enter is not None:
        fields = [text.replace("*", " * ").split() for text in kernel.tracepoints[enter]]
        values = [_value(words) for words in fields if words]
        formats = " ".join(part for part, _ in values)
        arguments = "".join(f", {part}" for _, part in values)
        yield f"kloupe -e '{enter} {{ printf(\"%s {formats}\\n\", comm{arguments}); }}'"
        yield f"kloupe -e '{enter.replace('enter', 'exit', 1)} {{ @[comm] = count(); }}'"
        yield (
            f"kloupe -e '{enter} {{ @at[tid] = nsecs; }} {enter.replace('enter', 'exit', 1)} /@at[tid]/ "
            "{ @ns = hist(nsecs - @at[tid]); delete(@at, tid); }'"
        )
    function = next((name for name, has in kernel.functions.items() if has is not False), None)
    if function is not None:
        yield f"kloupe -e 'kprobe:{function} {{ @[kstack] = count(); }}'"


def _value(words: list[str]) -> tuple[str, str]:
    """Format and expression of a field."""
    name = words[-1]
    if "*" in words:
        return ("%s", f"str(args.{name})") if "char" in words and name in _PATHS else ("%p", f"args.{name}")
    return "%d", f"args.{name}"
