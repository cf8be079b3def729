"""The structural check finds what no verifier would take."""

from __future__ import annotations

import pytest

from kloupe.bpf import isa
from kloupe.bpf.check import check_program
from kloupe.bpf.insn import Instruction as I
from kloupe.bpf.insn import load_imm64

EXIT = I(isa.JMP | isa.EXIT)
MOV0 = I(isa.ALU64 | isa.MOV | isa.K, 0)
CALL = I(isa.JMP | isa.CALL, imm=1)


def jump(off: int) -> I:
    return I(isa.JMP | isa.JA, off=off)


def branch(off: int, dst: int = 1) -> I:
    return I(isa.JMP | isa.K | 0x10, dst, off=off)


CASES = {
    "nothing": ([], "empty"),
    "no exit": ([MOV0], "leaves its function"),
    "jump beyond the end": ([jump(5), MOV0, EXIT], "leaves its function"),
    "jump before the start": ([MOV0, jump(-3), EXIT], "leaves its function"),
    "jump into a wide load": ([jump(1), *load_imm64(0, 1), EXIT], "into the middle"),
    "a wide load cut off": ([MOV0, load_imm64(0, 1)[0]], "cut off"),
    "r0 not set": ([EXIT], "reads r0"),
    "set on one path only": ([branch(1), MOV0, EXIT], "reads r0"),
    "an argument after a call": ([CALL, I(isa.ALU64 | isa.MOV | isa.X, 0, 1), EXIT], "reads r1"),
    "a register that is none": ([I(isa.ALU64 | isa.MOV | isa.K, 11), MOV0, EXIT], "no register r11"),
    "a write to the frame pointer": ([I(isa.ALU64 | isa.MOV | isa.K, 10), MOV0, EXIT], "frame pointer"),
    "a call to nowhere": ([I(isa.JMP | isa.CALL, src=1, imm=9), EXIT], "outside of the program"),
}


@pytest.mark.parametrize("name", CASES)
def test_problem(name: str) -> None:
    code, problem = CASES[name]
    assert any(problem in found for found in check_program(code))


def test_a_sound_program_has_no_problems() -> None:
    keep = I(isa.ALU64 | isa.MOV | isa.X, 6, 1)
    code = [keep, CALL, branch(1, 0), I(isa.ALU64 | isa.MOV | isa.X, 0, 6), EXIT]
    assert check_program(code) == []


def test_functions_are_checked_one_by_one() -> None:
    code = [MOV0, EXIT, I(isa.ALU64 | isa.MOV | isa.X, 0, 2), EXIT]
    assert check_program(code, [(0, 1), (2, 2)]) == []
    assert any("reads r2" in problem for problem in check_program(code, [(0, 1), (2, 1)]))
    assert any("leaves its function" in problem for problem in check_program([jump(1), *code], [(0, 1), (2, 2)]))
