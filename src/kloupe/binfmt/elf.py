"""ELF files: headers, segments, symbols, notes. Own and small, since every uprobe starts here; DWARF goes to pyelftools.

Format: System V gABI chapters 4 and 5 (`Elf64_Ehdr` and friends in /usr/include/elf.h); .gnu_debugdata: GDB manual, "MiniDebugInfo";
separate debug files: GDB manual, "Separate Debug Files". Only parts that a question needs are read from the file.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from ..base.errors import FormatError

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_NOTE = struct.Struct("<III")
PT_LOAD, SHT_SYMTAB, SHT_NOBITS, SHT_NOTE, SHT_DYNSYM = 1, 2, 8, 7, 11
SHF_COMPRESSED = 1 << 11
NT_GNU_BUILD_ID = 3
MACHINES = {62: "x86_64", 183: "aarch64"}
_LARGEST_SECTION = 1 << 31
_LARGEST_UNPACKED = 1 << 28
_DEBUG_ROOT = "/usr/lib/debug"


class Segment(NamedTuple):
    """A program header; addresses and sizes in bytes."""

    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


class Section(NamedTuple):
    """A section header; `link` is the number of the section that belongs to it (a symbol table's strings)."""

    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    entry_size: int


class Elf:
    """One ELF file: bytes or an open file. Raises FormatError for anything that is not a sound 64-bit little-endian ELF.

    `debug_folders` are looked through first for its separate debug file (see `debug_file`).
    """

    def __init__(self, source: bytes | BinaryIO, path: str = "<elf>", debug_folders: Sequence[str] = ()) -> None:
        self.path = path
        self.debug_folders = debug_folders
        self._source = source
        self.size = len(source) if isinstance(source, bytes) else source.seek(0, os.SEEK_END)
        ident, kind, machine, _, self.entry, ph_at, sh_at, _, _, ph_size, ph_count, sh_size, sh_count, names = (
            _HEADER.unpack(self.read(0, _HEADER.size))
        )
        if ident[:4] != b"\x7fELF":
            raise FormatError(path, 0, "not an ELF file")
        if ident[4] != 2 or ident[5] != 1:
            raise FormatError(path, 4, "not a 64-bit little-endian ELF file")
        self.machine = MACHINES.get(machine, str(machine))
        self.is_position_independent = kind == 3
        self.segments = self._read_segments(ph_at, ph_size, ph_count)
        self.sections = self._read_sections(sh_at, sh_size, sh_count, names)
        self._by_name = {section.name: section for section in reversed(self.sections)}

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes at `offset`. Raises FormatError when the file has fewer."""
        if offset < 0 or size < 0 or offset + size > self.size or size > _LARGEST_SECTION:
            raise FormatError(self.path, offset, f"{size} bytes lie outside the file")
        if isinstance(self._source, bytes):
            return self._source[offset : offset + size]
        self._source.seek(offset)
        data = self._source.read(size)
        if len(data) != size:
            raise FormatError(self.path, offset, "the file became shorter")
        return data

    def _read_segments(self, at: int, size: int, count: int) -> list[Segment]:
        if not count:
            return []
        if size < _SEGMENT.size:
            raise FormatError(self.path, 54, f"program headers of {size} bytes")
        data = self.read(at, size * count)
        found = []
        for start in range(0, size * count, size):
            kind, flags, offset, address, _, in_file, in_memory, _ = _SEGMENT.unpack_from(data, start)
            found.append(Segment(kind, flags, offset, address, in_file, in_memory))
        return found

    def _read_sections(self, at: int, size: int, count: int, names_at: int) -> list[Section]:
        if not at:
            return []
        if size < _SECTION.size:
            raise FormatError(self.path, 58, f"section headers of {size} bytes")
        if count == 0 or names_at == 0xFFFF:  # the real numbers are in the first header
            first = _SECTION.unpack(self.read(at, _SECTION.size))
            count, names_at = count or first[5], first[6] if names_at == 0xFFFF else names_at
        data = self.read(at, size * count)
        rows = [_SECTION.unpack_from(data, start) for start in range(0, size * count, size)]
        names = b""
        if 0 < names_at < len(rows) and rows[names_at][1] != SHT_NOBITS:
            names = self.read(rows[names_at][4], rows[names_at][5])
        return [Section(c_string(names, r[0]), r[1], r[2], r[3], r[4], r[5], r[6], r[9]) for r in rows]

    def section(self, name: str) -> Section | None:
        """The first section with this name."""
        return self._by_name.get(name)

    def content(self, section: Section) -> bytes:
        """A section's bytes, unpacked if compressed with zlib; empty for one without bytes in the file."""
        if section.type == SHT_NOBITS:
            return b""
        data = self.read(section.offset, section.size)
        if not section.flags & SHF_COMPRESSED:
            return data
        if len(data) < 24 or data[:4] != b"\1\0\0\0":
            raise FormatError(self.path, section.offset, "unknown section compression")
        try:
            return zlib.decompressobj().decompress(data[24:], _LARGEST_UNPACKED)
        except zlib.error as error:
            raise FormatError(self.path, section.offset, f"damaged compressed section: {error}") from None

    def named_content(self, name: str) -> bytes:
        """The bytes of the section `name`; empty when there is none."""
        found = self.section(name)
        return self.content(found) if found is not None else b""

    def notes(self, section: Section) -> list[tuple[str, int, bytes]]:
        """(owner, type, description) of every note in a section. Stops at the first one that is cut off."""
        data, at, found = self.content(section), 0, []
        while at + _NOTE.size <= len(data):
            owner_size, size, kind = _NOTE.unpack_from(data, at)
            start = at + _NOTE.size + -(-owner_size // 4) * 4
            if start + size > len(data):
                break
            owner = data[at + _NOTE.size : at + _NOTE.size + owner_size].rstrip(b"\0").decode("latin-1")
            found.append((owner, kind, data[start : start + size]))
            at = start + -(-size // 4) * 4
        return found

    @property
    def build_id(self) -> str:
        """The build id in hexadecimal, or ""."""
        section = self.section(".note.gnu.build-id")
        if section is None:
            return ""
        return next((d.hex() for o, k, d in self.notes(section) if o == "GNU" and k == NT_GNU_BUILD_ID), "")

    def offset_of_address(self, address: int) -> int | None:
        """The file offset of a virtual address, or None outside the loaded segments."""
        for s in self.segments:
            if s.type == PT_LOAD and s.address <= address < s.address + s.file_size:
                return address - s.address + s.offset
        return None

    def address_of_offset(self, offset: int) -> int | None:
        """The virtual address of a file offset, or None outside the loaded segments (executable ones first)."""
        loads = [s for s in self.segments if s.type == PT_LOAD and s.offset <= offset < s.offset + s.file_size]
        best = next((s for s in loads if s.flags & 1), loads[0] if loads else None)
        return offset - best.offset + best.address if best is not None else None


def c_string(data: bytes, at: int) -> str:
    """The NUL-terminated string at `at`; up to the end when the NUL is missing, "" outside."""
    end = data.find(b"\0", at)
    return data[at : end if end >= 0 else len(data)].decode("utf-8", "surrogateescape")


def debug_file(elf: Elf) -> str:
    """The path of the separate debug file, by build id and then by .gnu_debuglink; "" when there is none.

    Folders of `elf.debug_folders` that are not absolute are beside the file; one that begins with `+` may also
    have a file without the build id, if it has the check sum that the debuglink names.
    """
    section = elf.named_content(".gnu_debuglink")
    link = c_string(section, 0)
    checksum = int.from_bytes(section[-4:], "little") if len(section) > 4 else None
    for path, by_checksum in _debug_files(elf, link if "/" not in link else ""):
        if not os.path.isfile(path) or _real(path) == _real(elf.path):
            continue
        try:
            with open(path, "rb") as file:
                if Elf(file, path).build_id == elf.build_id:
                    return path
                file.seek(0)
                if by_checksum and zlib.crc32(file.read()) == checksum:
                    return path
        except (OSError, FormatError):
            continue
    return ""


def _real(path: str) -> str:
    """The path without links, as far as it is there: below /proc/PID/root it can vanish while it is followed."""
    try:
        return os.path.realpath(path)
    except OSError:
        return path


def _debug_files(elf: Elf, link: str) -> Iterator[tuple[str, bool]]:
    """(path, whether its check sum will do) of all places where the debug file may be."""
    folder = os.path.dirname(_real(elf.path))
    by_id = f".build-id/{elf.build_id[:2]}/{elf.build_id[2:]}.debug" if len(elf.build_id) > 2 else ""
    names = [name for name in (by_id, link, f"{os.path.basename(elf.path)}.debug") if name]
    for given in elf.debug_folders:
        place = os.path.join(folder, given.lstrip("+-"))
        yield from ((f"{place}/{name}", given.startswith("+")) for name in names)
    if by_id:
        yield f"{_DEBUG_ROOT}/{by_id}", False
    if link:
        yield from ((path, False) for path in (f"{folder}/{link}", f"{folder}/.debug/{link}"))
        yield f"{_DEBUG_ROOT}{folder}/{link}", False
