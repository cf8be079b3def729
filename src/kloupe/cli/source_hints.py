"""What a known tree (KLOUPE_TREE) adds to other commands: places in listings, and why a probe is not there."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base.errors import KloupeError

if TYPE_CHECKING:
    from ..xref.tree import Tree

_MISSING = re.compile(r"No matches for \w+ (?:\w+:)?(\w+)\.")
_FUNCTION_PROBE = re.compile(r"(?:kprobe|kretprobe|fentry|fexit):(?:\w+:)?(\w+)$")
_TRACEPOINT = re.compile(r"(?:tracepoint|rawtracepoint):\w+:(\w+)$")
_CALL = re.compile(r"sys_(?:enter|exit)_(\w+)$")
_SYMBOL = re.compile(r"(?:__(?:x64|ia32|arm64|se|do)_)(?=sys_)|\.(?:isra|constprop|part|cold|llvm)\b.*")
_MOST = 300  # beyond, places are left out: each costs a millisecond or more


def _named_tree() -> str:
    return os.environ.get("KLOUPE_TREE", "")


def known_tree(path: str) -> Tree | None:
    """The tree at `path`, when it has an index; "" is no tree."""
    if not path:
        return None
    from ..xref.tree import Tree

    try:
        tree = Tree(path)
    except KloupeError:
        return None
    return tree if tree.indexed else None


class Places(dict[str, str]):
    """Function of the kernel -> `file:line` of its definition in a tree, or ""; looked up when first asked for."""

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self._tree = tree

    def __missing__(self, symbol: str) -> str:
        place = self[symbol] = symbol_place(self._tree, symbol)
        return place


def known_places(path: str = "") -> Places | None:
    """Places in the tree at `path`, or else that KLOUPE_TREE names. Without an index that is said, and there are none."""
    path = path or _named_tree()
    tree = known_tree(path)
    if path and tree is None:
        sys.stderr.write(f"WARNING: no places are shown: '{path}' has no index (kloupe source index {path})\n")
    return Places(tree) if tree else None


def with_places(lines: Sequence[str]) -> list[str]:
    """Listed probes, each with a line that says where it is in the tree."""
    tree = known_tree(_named_tree())
    if tree is None or len(lines) > _MOST:
        return list(lines)
    found = []
    for line in lines:
        found.append(line)
        place = _place(tree, line)
        if place:
            found.append(f"    // {place}")
    return found


def _place(tree: Tree, probe: str) -> str:
    if match := _FUNCTION_PROBE.match(probe):
        return symbol_place(tree, match[1])
    if match := _TRACEPOINT.match(probe):
        call = _CALL.match(match[1])
        return _first(tree, f"sys_{call[1]}" if call else match[1], ("syscall",) if call else ("tracepoint",))
    return ""


def symbol_place(tree: Tree, symbol: str) -> str:
    """`file:line` of the definition of a function of the kernel, or ""."""
    return _first(
        tree, _SYMBOL.sub("", symbol), ("function", "asm_function", "syscall", "compat_syscall", "macro_function")
    )


def _first(tree: Tree, name: str, kinds: tuple[str, ...]) -> str:
    try:
        item = next((item for item in tree.definitions(name) if item.kind in kinds), None)
    except KloupeError:
        return ""
    return f"{item.file}:{item.line}" if item else ""


def missing_probe_hint(message: str) -> str:
    """For the message about a probe on a function that this kernel lacks: what the tree knows about it."""
    match = _MISSING.search(message)
    tree = known_tree(_named_tree()) if match else None
    if match is None or tree is None:
        return ""
    from .source_bridge import why_absent

    try:
        found = list(tree.definitions(match[1]))
        near = [] if found else tree.near_names(match[1])
    except KloupeError:
        return ""
    if found:
        item = found[0]
        return f"In the tree: {item.kind} {item.file}:{item.line}; {why_absent(item)}"
    places = [f"{name} ({place})" for name in near if (place := symbol_place(tree, name))]
    return f"In the tree: {', '.join(places)}" if places else ""
