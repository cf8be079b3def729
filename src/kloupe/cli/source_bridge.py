"""From a definition in the source to probes on the running kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cache

from ..base.errors import KloupeError
from ..xref.answers import Definition

_FUNCTIONS = ("function", "asm_function", "macro_function", "bpf_helper")


@cache
def _symbols() -> dict[str, str]:
    """Names in the running kernel's text -> module or "". Empty when they cannot be read."""
    from ..kernel.kallsyms import Kallsyms

    return dict(Kallsyms().text_names())


def probable(names: Sequence[str]) -> list[str]:
    """Those of some functions that the running kernel has as symbols; all of them when its symbols cannot be read."""
    symbols = _symbols()
    if not symbols:
        return list(names)
    return [name for name in names if name in symbols]


def probe_advice(found: Sequence[Definition]) -> Iterator[str]:
    """Lines that tell how to probe what was found. For the first few functions, system calls and tracepoints."""
    told: set[str] = set()
    for item in found:
        if item.name in told or len(told) >= 3:
            continue
        lines = list(_advice(item))
        if lines:
            told.add(item.name)
            yield "\n".join((f"to probe {item.name}:", *(f"    {line}" for line in lines))) + "\n"


def _advice(item: Definition) -> Iterator[str]:
    if item.kind in ("syscall", "compat_syscall"):
        yield f"kloupe syscall {item.name.removeprefix('compat_').removeprefix('sys_')}"
    elif item.kind == "tracepoint":
        event = item.name.removeprefix("trace_")
        yield f"kloupe -lv 'tracepoint:*:{event}'"
    elif item.kind in _FUNCTIONS:
        yield from _function_advice(item)


def _function_advice(item: Definition) -> Iterator[str]:
    symbols = _symbols()
    name = item.name
    if symbols and name not in symbols:
        yield f"this kernel ({os.uname().release}) has no function {name}: {why_absent(item)}"
        return
    yield f"kloupe -e 'kprobe:{name} {{ printf(\"%s\\n\", comm); }}'"
    declarations = _typed_arguments(name)
    if declarations:
        yield f"kloupe -e 'fentry:{name} {{ print(args); }}'      # {', '.join(declarations)}"


def _typed_arguments(name: str) -> tuple[str, ...]:
    from .machine import live_target

    try:
        return live_target().function_declarations(name)
    except KloupeError:
        return ()


def why_absent(item: Definition) -> str:
    """Why a definition of the source is no symbol of the running kernel, and what to probe instead."""
    copies = sorted(symbol for symbol in _symbols() if symbol.startswith(f"{item.name}."))
    if copies:
        return f"the compiler made {', '.join(copies[:3])} of it: kprobe:{copies[0]}"
    callers = f"probe its callers: kloupe source callers {item.name}"
    if item.kind in ("macro", "function_macro"):
        return f"it is a macro; {callers}"
    if item.kind in ("syscall", "compat_syscall"):
        return f"it is a system call: kloupe syscall {item.name}"
    if item.kind not in _FUNCTIONS:
        return f"it is no function but a {item.kind.replace('_', ' ')}"
    if " inline " in f" {item.text} " or "__always_inline" in item.text or item.file.endswith(".h"):
        return f"it is inlined; {callers}"
    if item.condition:
        return f"it is only built with {' && '.join(item.condition)}"
    if item.text.startswith("static"):
        return f"the compiler inlined it, or its file is not built; {callers}"
    return "its file is not built into this kernel"
