"""Call frame information of ELF files: from a code address to where the caller's registers are.

Format: Linux Standard Base 5, chapters 10.6 (`.eh_frame`, `.eh_frame_hdr`) and 10.5 (pointer encodings);
instructions: DWARF 5, section 6.4.2.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import NamedTuple

from ..base.errors import FormatError
from .elf import PT_LOAD, Elf

_PT_EH_FRAME = 0x6474E550  # PT_GNU_EH_FRAME: .eh_frame_hdr, also in stripped files
_FORMATS = {0x00: "<Q", 0x02: "<H", 0x03: "<I", 0x04: "<Q", 0x0A: "<h", 0x0B: "<i", 0x0C: "<q"}  # DW_EH_PE_*
_ULEB, _SLEB, _OMIT = 0x01, 0x09, 0xFF
_PC_RELATIVE, _DATA_RELATIVE = 0x10, 0x30
_MASK = (1 << 64) - 1
_MOST_ROWS = 1 << 16

# How the caller's value of a register is found; the second member of a rule.
OFFSET, VALUE_OFFSET, REGISTER, EXPRESSION, VALUE_EXPRESSION, UNDEFINED, SAME = range(7)
Rule = tuple[int, int | bytes]


class Row(NamedTuple):
    """The rules at one address: the frame's base is `register` + `offset`, or an expression; others by register number."""

    register: int
    offset: int
    expression: bytes
    rules: dict[int, Rule]
    return_register: int
    is_signal: bool


class _Common(NamedTuple):
    """A CIE."""

    code_align: int
    data_align: int
    return_register: int
    encoding: int
    is_signal: bool
    has_augmentation: bool
    start: int
    end: int


class Reader:
    """Reads numbers from bytes that lie at `base` in memory."""

    def __init__(self, data: bytes, base: int = 0, header: int = 0) -> None:
        self.data = data
        self.base = base
        self.header = header  # what data-relative pointers count from

    def uleb(self, at: int) -> tuple[int, int]:
        """(unsigned LEB128, the place after it)."""
        value = shift = 0
        while True:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value, at

    def sleb(self, at: int) -> tuple[int, int]:
        """(signed LEB128, the place after it)."""
        start = at
        value, at = self.uleb(at)
        bits = 7 * (at - start)
        return (value - (1 << bits) if value >> bits - 1 & 1 else value), at

    def pointer(self, at: int, encoding: int) -> tuple[int, int]:
        """(an encoded pointer, the place after it)."""
        if encoding == _OMIT:
            return 0, at
        start, kind = at, encoding & 0x0F
        if kind == _ULEB:
            value, at = self.uleb(at)
        elif kind == _SLEB:
            value, at = self.sleb(at)
        else:
            form = struct.Struct(_FORMATS[kind])
            value, at = form.unpack_from(self.data, at)[0], at + form.size
        if encoding & 0x70 == _PC_RELATIVE:
            value += self.base + start
        elif encoding & 0x70 == _DATA_RELATIVE:
            value += self.header
        return value & _MASK, at


class FrameTable:
    """The call frame information of one file. Addresses are the file's own. Raises FormatError when there is none."""

    def __init__(self, elf: Elf) -> None:
        self._path = elf.path
        self._starts: list[int] = []
        self._places: list[int] = []  # of the FDE that belongs to a start, as offset into the data
        self._rows: dict[int, Row | None] = {}
        self._commons: dict[int, _Common] = {}
        try:
            self._load(elf)
        except (IndexError, KeyError, struct.error):
            raise FormatError(elf.path, 0, "damaged call frame information") from None

    def _load(self, elf: Elf) -> None:
        segment = next((each for each in elf.segments if each.type == _PT_EH_FRAME), None)
        if segment is not None:
            header = Reader(elf.read(segment.offset, segment.file_size), segment.address, segment.address)
            _, encoding, count_encoding, table_encoding = header.data[:4]
            frames_at, at = header.pointer(4, encoding)
            self._frames = Reader(_from(elf, frames_at), frames_at)
            count, at = header.pointer(at, count_encoding)
            if table_encoding == 0x3B:  # signed 4 bytes from the header's address: what linkers write
                numbers = struct.unpack_from(f"<{2 * count}i", header.data, at)
                base = segment.address
                self._starts = [base + number for number in numbers[::2]]
                self._places = [base + number - frames_at for number in numbers[1::2]]
                return
        else:
            section = elf.section(".eh_frame")
            if section is None:
                raise FormatError(elf.path, 0, "no call frame information")
            self._frames = Reader(elf.content(section), section.address)
        self._scan()

    def _scan(self) -> None:
        """No sorted table: read every entry."""
        data, at, found = self._frames.data, 0, []
        while at + 8 <= len(data):
            length = int.from_bytes(data[at : at + 4], "little")
            if not length or length == 0xFFFFFFFF:
                break
            if data[at + 4 : at + 8] != b"\0\0\0\0":
                common = self._common(at + 4 - int.from_bytes(data[at + 4 : at + 8], "little"))
                found.append((self._frames.pointer(at + 8, common.encoding)[0], at))
            at += 4 + length
        found.sort()
        self._starts, self._places = [start for start, _ in found], [place for _, place in found]

    def row(self, address: int) -> Row | None:
        """The rules at an address; None where there are none."""
        if address not in self._rows:
            if len(self._rows) >= _MOST_ROWS:
                self._rows.clear()
            try:
                self._rows[address] = self._find(address)
            except (IndexError, KeyError, struct.error):
                self._rows[address] = None
        return self._rows[address]

    def _find(self, address: int) -> Row | None:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        frames, at = self._frames, self._places[index]
        end = at + 4 + int.from_bytes(frames.data[at : at + 4], "little")
        common = self._common(at + 4 - int.from_bytes(frames.data[at + 4 : at + 8], "little"))
        start, at = frames.pointer(at + 8, common.encoding)
        size, at = frames.pointer(at, common.encoding & 0x0F)
        if not start <= address < start + size:
            return None
        if common.has_augmentation:
            length, at = frames.uleb(at)
            at += length
        return _Program(frames, common).run(at, end, start, address)

    def _common(self, at: int) -> _Common:
        if at not in self._commons:
            self._commons[at] = self._read_common(at)
        return self._commons[at]

    def _read_common(self, at: int) -> _Common:
        frames = self._frames
        data = frames.data
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        version = data[at + 8]
        zero = data.index(b"\0", at + 9)
        letters = data[at + 9 : zero].decode("latin-1")
        code_align, at = frames.uleb(zero + 1)
        data_align, at = frames.sleb(at)
        return_register, at = (data[at], at + 1) if version == 1 else frames.uleb(at)
        encoding = 0
        start = at
        if letters.startswith("z"):
            length, at = frames.uleb(at)
            start = at + length
            for letter in letters[1:]:
                if letter == "R":
                    encoding = data[at]
                    at += 1
                elif letter == "L":
                    at += 1
                elif letter == "P":
                    _, at = frames.pointer(at + 1, data[at])
        return _Common(
            code_align, data_align, return_register, encoding, "S" in letters, letters.startswith("z"), start, end
        )


def _from(elf: Elf, address: int) -> bytes:
    """The file's bytes from a virtual address to the end of its segment."""
    for each in elf.segments:
        if each.type == PT_LOAD and each.address <= address < each.address + each.file_size:
            skip = address - each.address
            return elf.read(each.offset + skip, each.file_size - skip)
    raise FormatError(elf.path, 0, "call frame information outside of the file")


class _Program:
    """Runs call frame instructions until the row of an address is complete."""

    def __init__(self, frames: Reader, common: _Common) -> None:
        self._frames = frames
        self._common = common
        self._cfa: tuple[int, int, bytes] = (0, 0, b"")
        self._rules: dict[int, Rule] = {}
        self._initial: dict[int, Rule] = {}
        self._saved: list[tuple[tuple[int, int, bytes], dict[int, Rule]]] = []
        self._at = 0
        self._location = 0

    def run(self, at: int, end: int, start: int, address: int) -> Row:
        """The row of `address` in the function that begins at `start`."""
        common = self._common
        self._location = start
        self._interpret(common.start, common.end, _MASK)
        self._initial = dict(self._rules)
        self._location = start
        self._interpret(at, end, address)
        register, offset, expression = self._cfa
        return Row(register, offset, expression, self._rules, common.return_register, common.is_signal)

    def _uleb(self) -> int:
        value, self._at = self._frames.uleb(self._at)
        return value

    def _factored(self) -> int:
        value, self._at = self._frames.sleb(self._at)
        return value * self._common.data_align

    def _block(self) -> bytes:
        size = self._uleb()
        self._at += size
        return self._frames.data[self._at - size : self._at]

    def _interpret(self, at: int, end: int, address: int) -> None:
        self._at = at
        data = self._frames.data
        while self._at < end:
            opcode = data[self._at]
            self._at += 1
            high, low = opcode & 0xC0, opcode & 0x3F
            if high == 0x40:
                self._location += low * self._common.code_align
            elif high == 0x80:
                self._rules[low] = (OFFSET, self._uleb() * self._common.data_align)
            elif high == 0xC0:
                self._restore(low)
            elif 0x01 <= low <= 0x04:
                self._advance(low)
            else:
                self._extended(low)
            if self._location > address:
                return

    def _advance(self, opcode: int) -> None:
        if opcode == 0x01:  # set_loc
            self._location, self._at = self._frames.pointer(self._at, self._common.encoding)
            return
        size = 1 << opcode - 2
        delta = int.from_bytes(self._frames.data[self._at : self._at + size], "little")
        self._at += size
        self._location += delta * self._common.code_align

    def _restore(self, register: int) -> None:
        if register in self._initial:
            self._rules[register] = self._initial[register]
        else:
            self._rules.pop(register, None)

    def _extended(self, opcode: int) -> None:
        rules = self._rules
        if opcode in _RULES:
            kind, signed = _RULES[opcode]
            register = self._uleb()
            if kind in (EXPRESSION, VALUE_EXPRESSION):
                rules[register] = (kind, self._block())
            elif kind in (UNDEFINED, SAME):
                rules[register] = (kind, 0)
            elif kind == REGISTER:
                rules[register] = (kind, self._uleb())
            else:
                rules[register] = (
                    kind,
                    self._factored() if signed else self._uleb() * self._common.data_align * _sign(opcode),
                )
        elif opcode == 0x06:  # restore_extended
            self._restore(self._uleb())
        elif opcode == 0x0A:  # remember_state
            self._saved.append((self._cfa, dict(rules)))
        elif opcode == 0x0B:  # restore_state
            self._cfa, self._rules = self._saved.pop()
        elif opcode == 0x0C:  # def_cfa
            self._cfa = (self._uleb(), self._uleb(), b"")
        elif opcode == 0x0D:
            self._cfa = (self._uleb(), self._cfa[1], b"")
        elif opcode == 0x0E:
            self._cfa = (self._cfa[0], self._uleb(), b"")
        elif opcode == 0x0F:
            self._cfa = (0, 0, self._block())
        elif opcode == 0x12:
            self._cfa = (self._uleb(), self._factored(), b"")
        elif opcode == 0x13:
            self._cfa = (self._cfa[0], self._factored(), b"")
        elif opcode == 0x2E:  # GNU_args_size
            self._uleb()
        elif opcode not in (0x00, 0x2D):  # nop; AARCH64_negate_ra_state: addresses are stripped by who unwinds
            raise KeyError(opcode)


def _sign(opcode: int) -> int:
    return -1 if opcode == 0x2F else 1  # GNU_negative_offset_extended


# Opcode -> (kind of rule, whether its offset is signed).
_RULES = {
    0x05: (OFFSET, False),
    0x07: (UNDEFINED, False),
    0x08: (SAME, False),
    0x09: (REGISTER, False),
    0x10: (EXPRESSION, False),
    0x11: (OFFSET, True),
    0x14: (VALUE_OFFSET, False),
    0x15: (VALUE_OFFSET, True),
    0x16: (VALUE_EXPRESSION, False),
    0x2F: (OFFSET, False),
}
