"""User stacks of followed threads: their memory and mapped files for `binfmt.unwind`."""

from __future__ import annotations

import struct
from bisect import bisect_right

from ...base.errors import KloupeError
from ...binfmt.eh_frame import FrameTable
from ...binfmt.elf import PT_LOAD, Elf
from ...binfmt.unwind import Layout, unwind
from ..machine.memory import MemoryFault
from .breakpoints import AddressSpace
from .facts import Arch
from .maps import Mapping, read_maps
from .tracee import Thread, read_process

_PAGE = 4096
_VDSO = "[vdso]"
_WORD = struct.Struct("<Q")
_FileKey = tuple[tuple[int, int], str]


class _File:
    """A mapped file: its frame table, and from file offset to its own address."""

    def __init__(self, elf: Elf) -> None:
        self._code = [each for each in elf.segments if each.type == PT_LOAD and each.flags & 1]
        try:
            self.frames: FrameTable | None = FrameTable(elf)
        except KloupeError:
            self.frames = None

    def bias(self, mapping: Mapping) -> int:
        """What lies between an address in the mapping and the file's own address."""
        for each in self._code:
            start = each.offset & -_PAGE
            if start <= mapping.offset < each.offset + each.file_size:
                return mapping.start - (mapping.offset - each.offset + each.address)
        return mapping.start - mapping.offset


class _Code:
    """The executable mappings of one address space."""

    def __init__(self, pid: int) -> None:
        self.maps = [each for each in read_maps(pid) if "x" in each.flags]
        self.starts = [each.start for each in self.maps]

    def at(self, address: int) -> Mapping | None:
        """The mapping that holds an address."""
        index = bisect_right(self.starts, address) - 1
        return self.maps[index] if index >= 0 and address < self.maps[index].end else None


class Unwinding:
    """Unwinds stacks; remembers files for the session and mappings for an address space's life."""

    def __init__(self, arch: Arch) -> None:
        self._layout = Layout(arch.name)
        names = arch.dwarf_registers
        self._offsets = [arch.registers[name] for name in names]
        self._pc_at = arch.registers[arch.instruction_pointer]
        self._files: dict[_FileKey, _File | None] = {}
        self._codes: dict[AddressSpace, _Code] = {}

    def user_stack(self, thread: Thread, registers: bytes) -> tuple[int, ...]:
        """The addresses of the stack, innermost first."""
        space, pid = thread.process.space, thread.tid
        values = {number: _WORD.unpack_from(registers, at)[0] for number, at in enumerate(self._offsets)}
        pages: dict[int, bytes] = {}
        fresh = False

        def read(address: int) -> int | None:
            if address % 8:
                return self._read_odd(pid, address)
            page = address & -_PAGE
            data = pages.get(page)
            if data is None:
                try:
                    data = read_process(pid, page, _PAGE)
                except MemoryFault:
                    data = b""
                pages[page] = data
            return _WORD.unpack_from(data, address - page)[0] if data else None

        def locate(address: int) -> tuple[FrameTable | None, int] | None:
            nonlocal fresh
            code = self._codes.get(space)
            mapping = code.at(address) if code is not None else None
            if mapping is None and not fresh:
                fresh = True
                code = self._remember(space, pid)
                mapping = code.at(address)
            if mapping is None:
                return None
            file = self._file(mapping, pid)
            return (file.frames, file.bias(mapping)) if file is not None else (None, 0)

        return unwind(values, _WORD.unpack_from(registers, self._pc_at)[0], self._layout, locate, read)

    def _read_odd(self, pid: int, address: int) -> int | None:
        try:
            return int(_WORD.unpack(read_process(pid, address, 8))[0])
        except MemoryFault:
            return None

    def _remember(self, space: AddressSpace, pid: int) -> _Code:
        for old in [each for each in self._codes if each.users <= 0]:
            del self._codes[old]
        code = self._codes[space] = _Code(pid)
        return code

    def _file(self, mapping: Mapping, pid: int) -> _File | None:
        key = (mapping.file, mapping.path if mapping.path == _VDSO else "")
        if key not in self._files:
            self._files[key] = _open(mapping, pid)
        return self._files[key]


def _open(mapping: Mapping, pid: int) -> _File | None:
    if mapping.path == _VDSO:
        try:
            return _File(Elf(read_process(pid, mapping.start, mapping.end - mapping.start), _VDSO))
        except (KloupeError, MemoryFault):
            return None
    if not mapping.path.startswith("/"):
        return None
    for path in (f"/proc/{pid}/root{mapping.path}", mapping.path):
        try:
            with open(path, "rb") as file:
                return _File(Elf(file, mapping.path))
        except (OSError, KloupeError):
            continue
    return None
