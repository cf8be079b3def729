"""Kconfig: what a symbol is, what it needs and what selects it. Source: Documentation/kbuild/kconfig-language.rst of Linux."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..base.record import record
from .answers import Reference
from .text import SourceText

_ENTRY = re.compile(r"(?:menu)?config\s+(\w+)")
_ENDS = re.compile(r"(?:menu|endmenu|choice|endchoice|if|endif|source|comment|mainmenu)\b")
_TYPE = re.compile(r'(bool|tristate|string|hex|int)\b\s*(?:"((?:[^"\\]|\\.)*)")?')
_DEFAULT_TYPE = re.compile(r"def_(bool|tristate)\b\s*(.*)")
_PROMPT = re.compile(r'prompt\s+"((?:[^"\\]|\\.)*)"')
_LIST = {"depends on": "depends", "select": "selects", "imply": "implies", "default": "defaults"}
_SELECTS = re.compile(r"(?:select|imply)\s+(\w+)")


@record(frozen=True)
class ConfigEntry:
    """One `config` entry. `type`: bool, tristate, string, hex or int. The lists hold expressions as they stand."""

    name: str
    file: str
    line: int
    type: str
    prompt: str
    depends: tuple[str, ...]
    selects: tuple[str, ...]
    implies: tuple[str, ...]
    defaults: tuple[str, ...]


@record(frozen=True)
class ConfigSymbol:
    """All about a symbol: its entries, the lines of others that select or imply it (`function` names the entry), the code and the
    makefiles that use it."""

    name: str
    entries: tuple[ConfigEntry, ...]
    selected_by: tuple[Reference, ...]
    code: tuple[Reference, ...]
    builds: tuple[Reference, ...]


def entries_in(text: SourceText, symbol: str) -> Iterator[ConfigEntry]:
    """The entries of a symbol."""
    for name, line, body in _entries(text):
        if name == symbol:
            yield _parse_entry(name, text.path, line, body)


def selections_in(text: SourceText, symbol: str) -> Iterator[Reference]:
    """The lines that select or imply a symbol."""
    for name, line, body in _entries(text):
        for offset, statement in enumerate(body):
            match = _SELECTS.match(statement)
            if match and match[1] == symbol:
                yield Reference(text.path, line + 1 + offset, name, statement)


def _entries(text: SourceText) -> Iterator[tuple[str, int, list[str]]]:
    """(name, line, the stripped lines behind it up to its help) of every entry."""
    name, start, body, in_help = "", 0, list[str](), False
    for number, raw in enumerate(text.data.decode("utf-8", "replace").split("\n"), 1):
        line = raw.strip()
        entry = _ENTRY.match(line) if not in_help or not raw[:1].isspace() else None
        if entry or (not raw[:1].isspace() and _ENDS.match(line)):
            if name:
                yield name, start, body
            name, start, body, in_help = entry[1] if entry else "", number, [], False
        elif line in ("help", "---help---"):
            in_help = True
        elif not in_help:
            body.append(line)
    if name:
        yield name, start, body


def _parse_entry(name: str, path: str, line: int, body: list[str]) -> ConfigEntry:
    kind, prompt = "", ""
    lists: dict[str, list[str]] = {key: [] for key in _LIST.values()}
    for statement in _joined(body):
        if match := _TYPE.match(statement):
            kind, prompt = match[1], match[2] or prompt
        elif match := _DEFAULT_TYPE.match(statement):
            kind = match[1]
            lists["defaults"].append(match[2])
        elif match := _PROMPT.match(statement):
            prompt = match[1]
        else:
            for word, key in _LIST.items():
                if statement.startswith(word + " "):
                    lists[key].append(statement[len(word) :].strip())
    return ConfigEntry(name, path, line, kind, prompt, *(tuple(lists[key]) for key in _LIST.values()))


def _joined(lines: list[str]) -> list[str]:
    """Lines with their continuations."""
    return re.sub(r"\\\n\s*", "", "\n".join(lines)).split("\n")
