"""The text of instructions, against llvm-mc where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from kloupe.bpf import isa
from kloupe.bpf.asmtext import render_instruction, render_program
from kloupe.bpf.insn import Instruction as I
from kloupe.bpf.insn import encode_program, load_imm64

CASES = [
    (I(isa.LDX | isa.MEM | isa.DW, 1, 10, -8), "r1 = *(u64 *)(r10 - 8)"),
    (I(isa.LDX | isa.MEM | isa.B, 1, 2, 4), "r1 = *(u8 *)(r2 + 4)"),
    (I(isa.STX | isa.MEM | isa.H, 10, 3, -2), "*(u16 *)(r10 - 2) = r3"),
    (I(isa.ALU64 | isa.MOV | isa.K, 1, imm=-5), "r1 = -5"),
    (I(isa.ALU | isa.MOV | isa.X, 1, 2), "w1 = w2"),
    (I(isa.ALU64 | isa.X | 0x00, 1, 2), "r1 += r2"),
    (I(isa.ALU | isa.K | 0xC0, 1, imm=3), "w1 s>>= 3"),
    (I(isa.ALU64 | isa.NEG, 1), "r1 = -r1"),
    (I(isa.ALU | isa.END | isa.TO_BE, 1, imm=16), "r1 = be16 r1"),
    (I(isa.JMP | isa.K | 0x10, 1, off=3, imm=5), "if r1 == 5 goto +3"),
    (I(isa.JMP32 | isa.X | 0x60, 1, 2, -2), "if w1 s> w2 goto -2"),
    (I(isa.JMP | isa.JA, off=1), "goto +1"),
    (I(isa.JMP | isa.EXIT), "exit"),
    (I(isa.STX | isa.ATOMIC | isa.DW, 1, 2, 0, 0), "lock *(u64 *)(r1 + 0) += r2"),
    (I(isa.STX | isa.ATOMIC | isa.DW, 1, 2, 8, 1), "r2 = atomic_fetch_add((u64 *)(r1 + 8), r2)"),
    (I(isa.STX | isa.ATOMIC | isa.DW, 1, 2, 0, 0xE1), "r2 = xchg_64(r1 + 0, r2)"),
    (I(isa.STX | isa.ATOMIC | isa.DW, 1, 2, 8, 0xF1), "r0 = cmpxchg_64(r1 + 8, r0, r2)"),
]
OURS_ONLY = [
    (I(isa.STX | isa.ATOMIC | isa.W, 1, 2, 0, 0xE1), "w2 = xchg32_32(r1 + 0, w2)"),
    (I(isa.ST | isa.MEM | isa.W, 10, off=-4, imm=7), "*(u32 *)(r10 - 4) = 7"),
    (I(isa.JMP | isa.CALL, imm=1), "call map_lookup_elem#1"),
    (I(isa.JMP | isa.CALL, src=isa.CALL_LOCAL, imm=-4), "call -4"),
    (I(isa.ALU64 | isa.X | 0x30, 1, 2, 1), "r1 s/= r2"),
    (I(isa.ALU64 | isa.X | 0x90, 1, 2), "r1 %= r2"),
    (I(isa.LDX | isa.MEMSX | isa.B, 1, 2, 0), "r1 = *(s8 *)(r2 + 0)"),
    (I(isa.ALU64 | isa.MOV | isa.X, 1, 2, 8), "r1 = (s8)r2"),
    (I(isa.ALU64 | isa.END, 1, imm=32), "r1 = bswap32 r1"),
    (I(isa.JMP32 | isa.JA, imm=70000), "gotol +70000"),
    (I(isa.JMP | isa.K | 0x40, 1, off=2, imm=7), "if r1 & 7 goto +2"),
    (I(0xFF, 1, 2, 3, 4), ".insn 0xff r1 r2 3 4"),
]


@pytest.mark.parametrize(("insn", "text"), CASES + OURS_ONLY)
def test_text(insn: I, text: str) -> None:
    assert render_instruction(insn) == text


def test_wide_loads() -> None:
    assert render_instruction(*load_imm64(1, 0x123456789ABCDEF0)) == "r1 = 1311768467463790320 ll"
    assert render_instruction(*load_imm64(1, 5 | 16 << 32, isa.PSEUDO_MAP_VALUE)) == "r1 = map[fd:5][0]+16 ll"
    assert render_instruction(*load_imm64(2, 5, isa.PSEUDO_MAP_FD)) == "r2 = map[fd:5] ll"


def test_a_program_counts_both_slots_of_a_wide_load() -> None:
    program = [*load_imm64(1, 7), I(isa.JMP | isa.EXIT)]
    assert list(render_program(program, {0: "main"})) == ["main:", "    0: r1 = 7 ll", "    2: exit"]


@pytest.mark.skipif(shutil.which("llvm-mc") is None, reason="needs llvm-mc")
def test_llvm_agrees() -> None:
    code = encode_program([insn for insn, _ in CASES])
    listing = " ".join(f"{byte:#04x}" for byte in code)
    command = ["llvm-mc", "-triple=bpf", "-mcpu=v3", "-disassemble"]
    result = subprocess.run(command, input=listing, capture_output=True, text=True, check=True)
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip() and not line.strip().startswith(".")]
    theirs = [re.sub(r"\s+", " ", line) for line in lines]
    assert theirs == [text for _, text in CASES]
