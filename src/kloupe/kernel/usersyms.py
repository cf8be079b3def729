"""User-space addresses to symbols: a process's mappings and the symbols of the files it maps.

Made while the process lives (`preload`), it still answers after its end. Sources: proc_pid_maps(5); the vDSO is an ELF image that
the kernel maps into every process (vdso(7)).
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from ..base.errors import KloupeError
from ..binfmt.elf import Elf
from .binary import ElfBinary, open_binary

_VDSO = "[vdso]"
_LARGEST_VDSO = 1 << 20


class Mapping(NamedTuple):
    """An executable mapping: addresses `start` to `end` hold `path` from file offset `offset` on. `key` names the file."""

    start: int
    end: int
    offset: int
    path: str
    key: tuple[str, str]


def parse_maps(text: str) -> list[Mapping]:
    """The executable mappings of a /proc/PID/maps, by address."""
    found = []
    for line in text.splitlines():
        parts = line.split(None, 5)
        if len(parts) < 5 or "x" not in parts[1]:
            continue
        try:
            start, end = (int(part, 16) for part in parts[0].split("-"))
            offset = int(parts[2], 16)
        except ValueError:
            continue
        path = parts[5].removesuffix(" (deleted)") if len(parts) > 5 else ""
        found.append(Mapping(start, end, offset, path, (parts[3], parts[4])))
    return sorted(found)


class UserSymbols:
    """The symbols of one process. Binaries are shared between processes by device and inode in `binaries`."""

    def __init__(
        self,
        pid: int,
        binaries: dict[tuple[str, str], ElfBinary | None] | None = None,
        open_file: Callable[[str], ElfBinary] = open_binary,
    ) -> None:
        self.pid = pid
        self._binaries = {} if binaries is None else binaries
        self._open = open_file
        self._maps: list[Mapping] = []
        self._starts: list[int] = []
        self._vdso: ElfBinary | None = None
        self._found: dict[int, tuple[str, int, str] | None] = {}
        self.load_maps()

    def load_maps(self) -> bool:
        """Read the mappings again; the old ones stay when the process is gone. True when they could be read."""
        try:
            with open(f"/proc/{self.pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
                maps = parse_maps(file.read())
        except OSError:
            return False
        if not maps:  # a zombie
            return False
        self._maps, self._starts = maps, [m.start for m in maps]
        self._found.clear()
        return True

    def preload(self) -> None:
        """Open all mapped files now, so that lookups work after the process's end and its files' removal."""
        for mapping in self._maps:
            self._binary(mapping)

    def lookup(self, address: int) -> tuple[str, int, str] | None:
        """(symbol, offset into it, path) for an address; ("", file offset, path) when the file has no symbol there; None unmapped."""
        if address not in self._found:
            self._found[address] = self._look_up(address)
        return self._found[address]

    def _look_up(self, address: int) -> tuple[str, int, str] | None:
        mapping = self._mapping(address)
        if mapping is None and self.load_maps():  # mapped since
            mapping = self._mapping(address)
        if mapping is None:
            return None
        offset = address - mapping.start + mapping.offset
        path = mapping.path or "[anonymous]"
        binary = self._binary(mapping)
        if binary is None:
            return "", offset, path
        try:
            place = binary.elf.address_of_offset(offset)
            symbol = binary.symbol_at_address(place) if place is not None else None
        except KloupeError:
            return "", offset, path
        if symbol is None or place is None:
            return "", offset, path
        return symbol.name, place - symbol.address, path

    def format(self, address: int, *, show_path: bool = False) -> str:
        """`name+offset`, `0xADDRESS` for a place without a symbol; with `show_path` ` (path)` follows.

        bpftrace's forms: `[unknown]` stands for a mapped place whose file has no symbol when the path is shown.
        """
        found = self.lookup(address)
        if found is None:
            return f"{address:#x}" + (" ([unknown])" if show_path else "")
        name, offset, path = found
        text = f"{name}+{offset}" if name else ("[unknown]" if show_path else f"{address:#x}")
        return f"{text} ({path})" if show_path else text

    def _mapping(self, address: int) -> Mapping | None:
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._maps[index].end:
            return self._maps[index]
        return None

    def _binary(self, mapping: Mapping) -> ElfBinary | None:
        if mapping.path == _VDSO:
            return self._read_vdso(mapping)
        if not mapping.path.startswith("/"):
            return None
        if mapping.key not in self._binaries:
            self._binaries[mapping.key] = self._open_mapped(mapping)
        return self._binaries[mapping.key]

    def _open_mapped(self, mapping: Mapping) -> ElfBinary | None:
        # The link in map_files leads to the file even if it was deleted or lies in another mount namespace.
        link = f"/proc/{self.pid}/map_files/{mapping.start:x}-{mapping.end:x}"
        for path in (f"/proc/{self.pid}/root{mapping.path}", link, mapping.path):
            try:
                if os.path.isfile(path):
                    return self._open(path)
            except KloupeError:
                continue
        return None

    def _read_vdso(self, mapping: Mapping) -> ElfBinary | None:
        if self._vdso is None:
            try:
                with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
                    memory.seek(mapping.start)
                    data = memory.read(min(mapping.end - mapping.start, _LARGEST_VDSO))
                self._vdso = ElfBinary(Elf(data, _VDSO))
            except (OSError, KloupeError):
                return None
        return self._vdso
