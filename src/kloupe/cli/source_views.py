"""How `kloupe source` prints answers: text, JSON, or in an editor."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..base.errors import UsageError
from ..xref.answers import Answer, Call, Definition, Implementer, Member, Reference
from ..xref.kconfig import ConfigEntry, ConfigSymbol

if TYPE_CHECKING:
    from ..xref.tree import Tree
    from .source import SourceLine


def show(verb: str, found: Any, line: SourceLine, tree: Tree) -> int:
    """Print an answer. Status 1 when it is empty."""
    from .source import _say_partial

    if verb == "probes":
        return _show_probes(found, line)
    items = _items(found)
    if "open" in line.options:
        return open_first(items, tree.root)
    if "json" in line.options:
        for item in items:
            print(json.dumps(as_json(item)))
    else:
        for text in _lines(items):
            print(text)
    _say_partial(found.partial if isinstance(found, Answer) else ())
    if verb == "def" and items and "json" not in line.options:
        from .source_bridge import probe_advice

        print("".join(f"\n{advice}" for advice in probe_advice(items)), end="")
    if not items:
        print(f"nothing found for {' '.join(line.words)}", file=sys.stderr)
        _suggest(verb, line, tree)
    return 0 if items else 1


def _suggest(verb: str, line: SourceLine, tree: Tree) -> None:
    if verb in ("def", "refs", "callers", "callees", "members") and tree.indexed:
        near = tree.near_names(line.words[0])
        if near:
            print(f"HINT: did you mean {', '.join(near)}?", file=sys.stderr)


def _items(found: Any) -> list[Any]:
    if isinstance(found, ConfigSymbol):
        return [found] if found.entries or found.selected_by or found.code or found.builds else []
    return list(found)


def as_json(item: Any) -> Any:
    """An answer as plain values."""
    if isinstance(item, str):
        return {"file": item}
    if isinstance(item, list | tuple):
        return [as_json(part) if hasattr(part, "FIELDS") else part for part in item]
    return {
        name: as_json(value) if hasattr(value, "FIELDS") or isinstance(value, tuple) else value
        for name, value in ((name, getattr(item, name)) for name in item.FIELDS)
    }


def _lines(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        view = _VIEWS.get(type(item))
        yield from view(item) if view else [str(item)]


def _definition(item: Definition) -> Iterator[str]:
    by = f" by {item.macro}" if item.macro else ""
    scope = f" of {item.scope}" if item.scope else ""
    yield f"{item.file}:{item.line}: {item.kind} {item.name}{scope}{by}: {item.text}"
    if item.condition:
        yield f"    #if {' && '.join(item.condition)}"


def _reference(item: Reference) -> Iterator[str]:
    yield f"{item.file}:{item.line}: {item.function or '-'}: {item.text}"


def _call(item: Call) -> Iterator[str]:
    arrow = "~>" if item.indirect else "->"
    yield f"{item.file}:{item.line}: {item.caller} {arrow} {item.callee}: {item.text}"


def _member(item: Member) -> Iterator[str]:
    yield f"{item.file}:{item.line}: {item.declaration};"


def _implementer(item: Implementer) -> Iterator[str]:
    where = f" in {item.function}" if item.function else ""
    yield f"{item.file}:{item.line}: {item.implementer}: {item.variable or '(literal)'}{where}"


def _config(item: ConfigSymbol) -> Iterator[str]:
    for entry in item.entries:
        yield from _config_entry(entry)
    for title, found in (("selected by", item.selected_by), ("built by", item.builds), ("used in", item.code)):
        if found:
            yield f"{title}:"
            yield from (f"    {text}" for line in found for text in _reference(line))


def _config_entry(entry: ConfigEntry) -> Iterator[str]:
    prompt = f' "{entry.prompt}"' if entry.prompt else ""
    yield f"{entry.file}:{entry.line}: config {entry.name}: {entry.type or 'no type'}{prompt}"
    for title in ("depends", "selects", "implies", "defaults"):
        yield from (f"    {title} {text}" for text in getattr(entry, title))


_VIEWS: dict[type, Callable[[Any], Iterator[str]]] = {
    Definition: _definition,
    Reference: _reference,
    Call: _call,
    Member: _member,
    Implementer: _implementer,
    ConfigSymbol: _config,
}


def open_first(items: list[Any], root: str) -> int:
    """The first answer in the user's editor. Raises UsageError when that cannot be run."""
    first: Any = items[0] if items else None
    if isinstance(first, ConfigSymbol):
        first = next(iter((*first.entries, *first.selected_by, *first.code, *first.builds)))
    if first is None:
        print("nothing found to open", file=sys.stderr)
        return 1
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    if not editor or shutil.which(editor[0]) is None:
        raise UsageError(f"cannot run the editor {editor[0] if editor else ''!r}", hint="Set EDITOR.")
    file, line = (first, 1) if isinstance(first, str) else (first.file, first.line)
    return subprocess.call([*editor, f"+{line}", os.path.join(root, file)])


def _show_probes(levels: list[tuple[int, str]], line: SourceLine) -> int:
    from .source_bridge import probable

    names = probable([name for _, name in levels])
    if "json" in line.options:
        depth = {name: level for level, name in reversed(levels)}
        for name in names:
            print(json.dumps({"probe": f"kprobe:{name}", "function": name, "depth": depth[name]}))
    else:
        for name in names:
            print(name if "names" in line.options else f"kprobe:{name}")
    if not names:
        print("this kernel has none of these functions", file=sys.stderr)
    return 0 if names else 1
