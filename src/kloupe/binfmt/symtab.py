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
        self._named: set[int] | None = None

    def _row(self, at: int) -> tuple[int, SymbolRow] | None:
        """(rank, symbol) of a defined one: the lower the better (functions before objects, global before local)."""
        name, info, _, section, address, size = _ENTRY.unpack_from(self._entries, at)
        kind, binding = info & 15, info >> 4
        if section == 0 or kind not in _KEPT_TYPES:
            return None
        is_function = kind in _FUNCTION_TYPES
        rank = (0 if is_function else 2 if kind else 4) + (binding == 0)
        return rank, SymbolRow(c_string(self._strings, name), address, size, is_function, binding != 0)

    def find(self, name: str) -> SymbolRow | None:
        """The best symbol with this name: a function before an object, a global one before a local one."""
        wanted = name.encode("utf-8", "surrogateescape")
        if not wanted or not self._entries:
            return None
        at = self._strings.find(b"\0" + wanted + b"\0")
        own = self._find_string(at + 1) if at >= 0 else None
        return own or self._find_tail(wanted + b"\0")

    def _find_string(self, offset: int) -> SymbolRow | None:
        """The best symbol whose name is at this string offset."""
        pattern, at = struct.pack("<I", offset), -1
        best: tuple[int, SymbolRow] | None = None
        while (at := self._entries.find(pattern, at + 1)) >= 0:
            row = self._row(at) if at % _ENTRY.size == 0 else None
            if row is not None and (best is None or row[0] < best[0]):
                best = row
        return best[1] if best is not None else None

    def _find_tail(self, name: bytes) -> SymbolRow | None:
        """The same for a name that a linker stored as the tail of a longer one."""
        if self._named is None:
            self._named = {row[0] for row in _ENTRY.iter_unpack(self._entries)}
        at = -1
        while (at := self._strings.find(name, at + 1)) >= 0:
            found = self._find_string(at) if at in self._named else None
            if found is not None:
                return found
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
