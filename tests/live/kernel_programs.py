"""Small programs for tests, written with the instruction tables."""

from __future__ import annotations

import struct

from kloupe.bpf import isa
from kloupe.bpf.insn import Instruction as I
from kloupe.bpf.insn import encode_program, load_imm64
from kloupe.image import AttachSpec, FunctionInfo, Image, MapSpec, ProgramSpec, Relocation, SourcePlace

MOV, MOVX = isa.ALU64 | 0xB0, isa.ALU64 | 0xB8  # mov dst, imm and mov dst, src
CALL, EXIT = 0x85, 0x95
STX_DW, ST_W, ST_DW = 0x7B, 0x62, 0x7A
JEQ = 0x15
HELPER_RESERVE, HELPER_SUBMIT, HELPER_COOKIE, HELPER_PID_TGID = 131, 132, 174, 14

RING = MapSpec(".events", "ringbuf", 0, 0, 1 << 16)
HITS = MapSpec("@hits", "percpu_array", 4, 8, 4)
LOST = MapSpec(".lost", "percpu_array", 4, 8, 1)
PLACE = SourcePlace("test.bt", 3, 9, 14, "begin { print(1); }")


def returning(value: int) -> bytes:
    """r0 = value; exit"""
    return encode_program([I(MOV, 0, imm=value), I(EXIT)])


def recording(event_id: int, *, cookie: bool = False, pid: int = 0) -> tuple[bytes, tuple[Relocation, ...]]:
    """Reserve 16 bytes in `.events`, store {u32 id, u32 0, u64 cookie or 0}, submit; with `pid` only in that process."""
    code = [I(MOVX, 6, 1)]
    if pid:
        # r0 = tgid; if r0 != pid goto out
        code += [I(CALL, imm=HELPER_PID_TGID), I(isa.ALU64 | 0x70, 0, imm=32), I(0x55, 0, off=0, imm=pid)]
    guard = len(code) - 1 if pid else -1
    if cookie:
        code += [I(MOVX, 1, 6), I(CALL, imm=HELPER_COOKIE), I(MOVX, 7, 0)]
    else:
        code += [I(MOV, 7, imm=0)]
    at = len(code)
    code += [*load_imm64(1, 0), I(MOV, 2, imm=16), I(MOV, 3, imm=0), I(CALL, imm=HELPER_RESERVE), I(JEQ, 0, off=6)]
    code += [I(ST_W, 0, off=0, imm=event_id), I(ST_W, 0, off=4, imm=0), I(STX_DW, 0, 7, off=8)]
    code += [I(MOVX, 1, 0), I(MOV, 2, imm=0), I(CALL, imm=HELPER_SUBMIT)]
    out = len(code)
    code += [I(MOV, 0, imm=0), I(EXIT)]
    if guard >= 0:
        code[guard] = code[guard]._replace(off=out - guard - 1)
    return encode_program(code), (Relocation(at, "map", ".events"),)


def program(
    name: str,
    kind: str,
    code: bytes,
    attach: tuple[AttachSpec, ...] = (),
    relocations: tuple[Relocation, ...] = (),
    attach_type: str = "",
) -> ProgramSpec:
    """A program with one function and one source line."""
    return ProgramSpec(
        name, kind, attach_type, code, relocations, (FunctionInfo(name, 0),), ((0, 0),), (PLACE,), attach
    )


def image(*programs: ProgramSpec, maps: tuple[MapSpec, ...] = (RING,)) -> Image:
    """An Image of these programs and maps."""
    return Image("test", "x86_64", programs, maps, (), (), {})


def cookies(records: list[bytes]) -> list[tuple[int, int]]:
    """(event id, cookie) of the records of `recording`."""
    return [(fields[0], fields[2]) for fields in (struct.unpack("=IIQ", record) for record in records)]
