"""One eBPF instruction slot, and programs as bytes. Encoding and decoding come from the same declaration (`_FORMAT`)."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from . import isa

INSN_BYTES = 8
_FORMAT = "BBhi"  # opcode, registers, offset, immediate
_LITTLE = sys.byteorder == "little"


class Instruction(NamedTuple):
    """One 8-byte slot; a 64-bit immediate load takes two (see `load_imm64`). `off` is signed 16, `imm` signed 32 bits."""

    opcode: int
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0

    @property
    def instruction_class(self) -> int:
        """isa.LD ... isa.ALU64."""
        return self.opcode & isa.CLASS_MASK

    @property
    def is_wide(self) -> bool:
        """True for the first slot of a 64-bit immediate load."""
        return self.opcode == isa.LD_IMM64


def signed32(value: int) -> int:
    """The low 32 bits of `value`, read as signed."""
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def load_imm64(dst: int, value: int, src: int = isa.PSEUDO_NONE) -> tuple[Instruction, Instruction]:
    """The two slots that load the 64-bit `value`; with `src` one of isa.PSEUDO_*, value is low imm | high imm << 32."""
    return Instruction(isa.LD_IMM64, dst, src, 0, signed32(value)), Instruction(0, 0, 0, 0, signed32(value >> 32))


def imm64(first: Instruction, second: Instruction) -> int:
    """The unsigned 64-bit immediate of a two-slot load."""
    return (first.imm & 0xFFFFFFFF) | (second.imm & 0xFFFFFFFF) << 32


def _registers_byte(dst: int, src: int) -> int:
    return src << 4 | dst if _LITTLE else dst << 4 | src


def encode_program(code: Iterable[Instruction]) -> bytes:
    """Instructions to bytes in host order. Raises struct.error when a field is out of range."""
    return encode_instructions(code)


def encode_instructions(code: Iterable[tuple[int, int, int, int, int]]) -> bytes:
    """The same from plain tuples (opcode, dst, src, off, imm), as the code generator makes them."""
    fields = [(insn[0], _registers_byte(insn[1], insn[2]), insn[3], insn[4]) for insn in code]
    return struct.pack("=" + _FORMAT * len(fields), *chain.from_iterable(fields))


def decode_program(code: bytes | memoryview) -> list[Instruction]:
    """Bytes in host order to instructions, one per 8-byte slot. Raises ValueError on a partial slot."""
    if len(code) % INSN_BYTES:
        raise ValueError(f"program of {len(code)} bytes is not a multiple of {INSN_BYTES}")
    low, high = (1, 2) if _LITTLE else (2, 1)
    result = []
    for fields in struct.iter_unpack("=" + _FORMAT, code):
        regs = (0, fields[1] & 15, fields[1] >> 4)
        result.append(Instruction(fields[0], regs[low], regs[high], fields[2], fields[3]))
    return result
