"""Architectures: one `ArchTable` each, looked up by `uname -m` name."""

from __future__ import annotations

from importlib import import_module

from ...base.errors import NotSupported
from ..target import ArchTable

_MODULES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def parse_syscalls(text: str) -> dict[str, int]:
    """System-call numbers from runs of names: a word `N:` sets the number of the next name, each name counts one up."""
    numbers: dict[str, int] = {}
    at = 0
    for word in text.split():
        if word[-1] == ":":
            at = int(word[:-1])
        else:
            numbers[word] = at
            at += 1
    return numbers


def arch_table(machine: str) -> ArchTable:
    """The table of an architecture by its `uname -m` name. Raises NotSupported for one that kloupe does not know."""
    module = _MODULES.get(machine)
    if module is None:
        raise NotSupported(f"architecture {machine!r} is not supported", hint="supported: x86_64, aarch64")
    table: ArchTable = import_module(f"{__name__}.{module}").ARCH
    return table
