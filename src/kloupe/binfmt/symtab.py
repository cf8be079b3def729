"""Symbol tables of ELF files, wherever they are: .symtab, .dynsym, the packed .gnu_debugdata, a separate debug file.

One name is a search for bytes in the strings and then in the entries; the whole table is parsed only for patterns and addresses.
Format: `Elf64_Sym`, System V gABI chapter 4, "Symbol Table".
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..base.errors import FormatError
from .elf import SHT_DYNSYM, SHT_NOBITS, SHT_SYMTAB, Elf, c_string, debug_file

_ENTRY = struct.Struct("<IBBHQQ")
_FUNCTION_TYPES = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
_KEPT_TYPES = (0, 1, 2, 6, 10)  # those, and STT_NOTYPE, STT_OBJECT, STT_TLS
_LARGEST_UNPACKED = 1 << 28


class SymbolRow(NamedTuple):
    """A defined symbol; `address` is virtual."""

    name: str
    address: int
    size: int
    is_function: bool
    is_global: bool = True


class SymbolTable:
    """The entries and strings of one table."""

    def __init__(self, entries: bytes = b"", strings: bytes = b"", path: str = "<elf>") -> None:
        self._entries = entries[: len(entries) // _ENTRY.size * _ENTRY.size]
        self._strings = strings
        self.path = path

    def _row(self, at: int) -> tuple[int, SymbolRow] | None:
        """(rank, symbol) of a defined one: the lower the better (functions before objects, global before local)."""
        name, info, _, section, address, size = _ENTRY.unpack_from(self._entries, at)
        kind, binding = info & 15, info >> 4
        if section == 0 or kind not in _KEPT_TYPES:
            return None
        is_function = kind in _FUNCTION_TYPES
        rank = (0 if is_function else 2 if kind else 4) + (binding == 0)
        return rank, SymbolRow(c_string(self._strings, name), address, size, is_function, binding != 0)

    def _name_offsets(self, name: bytes) -> Iterator[int]:
        """String offsets at which `name` begins: as a string of its own first, then as the tail of a longer one."""
        at = self._strings.find(b"\0" + name + b"\0")
        if at >= 0:
            yield at + 1
        tail = -1
        while (tail := self._strings.find(name + b"\0", tail + 1)) >= 0:
            if tail != at + 1 or at < 0:
                yield tail

    def find(self, name: str) -> SymbolRow | None:
        """The best symbol with this name: a function before an object, a global one before a local one."""
        wanted = name.encode("utf-8", "surrogateescape")
        if not wanted or not self._entries:
            return None
        for offset in self._name_offsets(wanted):
            pattern, at, found = struct.pack("<I", offset), -1, []
            while (at := self._entries.find(pattern, at + 1)) >= 0:
                row = self._row(at) if at % _ENTRY.size == 0 else None
                if row is not None:
                    found.append(row)
            if found:
                return min(found, key=lambda pair: pair[0])[1]
        return None

    def functions(self) -> Iterator[SymbolRow]:
        """All defined functions, in table order."""
        strings = self._strings
        for name, info, _, section, address, size in _ENTRY.iter_unpack(self._entries):
            if section and info & 15 in _FUNCTION_TYPES:
                yield SymbolRow(c_string(strings, name), address, size, True, info > 15)


def _section_table(elf: Elf, kind: int) -> SymbolTable:
    section = next((s for s in elf.sections if s.type == kind), None)
    if section is None or section.link >= len(elf.sections):
        return SymbolTable()
    strings = elf.sections[section.link]
    if strings.type == SHT_NOBITS:
        return SymbolTable()
    return SymbolTable(elf.content(section), elf.content(strings), elf.path)


def read_symtab(elf: Elf) -> SymbolTable:
    """The .symtab; empty when the file is stripped."""
    return _section_table(elf, SHT_SYMTAB)


def read_dynsym(elf: Elf) -> SymbolTable:
    """The .dynsym; empty for a static file."""
    return _section_table(elf, SHT_DYNSYM)


def read_debugdata(elf: Elf) -> SymbolTable:
    """The .symtab of the xz-packed ELF file in .gnu_debugdata; empty when there is none. Raises FormatError."""
    packed = elf.named_content(".gnu_debugdata")
    if not packed:
        return SymbolTable()
    try:
        unpacked = lzma.LZMADecompressor(memlimit=_LARGEST_UNPACKED).decompress(packed, _LARGEST_UNPACKED)
    except (lzma.LZMAError, EOFError) as error:
        raise FormatError(elf.path, 0, f"damaged .gnu_debugdata: {error}") from None
    return read_symtab(Elf(unpacked, f"{elf.path}(.gnu_debugdata)"))


def read_debug_file(elf: Elf) -> SymbolTable:
    """The .symtab of the separate debug file; empty when there is none. Raises FormatError."""
    path = debug_file(elf)
    if not path:
        return SymbolTable()
    try:
        with open(path, "rb") as file:
            return read_symtab(Elf(file, path))
    except OSError as error:
        raise FormatError(path, 0, f"cannot read it: {error.strerror}") from None


# In the order in which a name is looked for.
TABLES: tuple[Callable[[Elf], SymbolTable], ...] = (read_symtab, read_dynsym, read_debugdata, read_debug_file)
