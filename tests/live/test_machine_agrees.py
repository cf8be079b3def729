"""The kernel and the machine give the same r0 for random programs: arithmetic, jumps, the stack, atomics.

Skipped without the privilege to load programs. Runs them with BPF_PROG_TEST_RUN on a raw tracepoint program, which traces nothing.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from kloupe.bpf import isa
from kloupe.bpf.insn import Instruction, encode_program
from kloupe.bpf.program_types import PROGRAM_TYPES

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "machine"))

from machine_programs import EXIT, R0, R6, R10, R, alu, atomic, const, jump, load, movsx, run, store

M64 = (1 << 64) - 1
EDGES = [
    0,
    1,
    2,
    7,
    31,
    32,
    63,
    64,
    255,
    0x7FFF,
    0x8000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 32,
    1 << 63,
    M64,
    M64 - 1,
]
REGISTERS = [R(n) for n in range(6)]  # r6 keeps the seed
SHIFTS = ("lsh", "rsh", "arsh")
DIVISIONS = ("div", "mod", "sdiv", "smod")
SLOTS = 4


def _alu(pick: random.Random) -> list[Instruction]:
    name = pick.choice([name for name in isa.ALU_OPERATIONS if name != "mov"])
    bits, dst = pick.choice((32, 64)), pick.choice(REGISTERS)
    if name == "neg":
        return [alu(name, dst, 0, bits)]
    if pick.random() < 0.5:
        return [alu(name, dst, pick.choice(REGISTERS), bits)]
    if name in SHIFTS:  # the verifier refuses immediates beyond the width, and zero divisors
        return [alu(name, dst, pick.randrange(bits), bits)]
    number = pick.choice(EDGES) if pick.random() < 0.5 else pick.getrandbits(31)
    number = (number & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
    return [alu(name, dst, number or int(name in DIVISIONS), bits)]


def _move(pick: random.Random) -> list[Instruction]:
    dst, src = pick.choice(REGISTERS), pick.choice(REGISTERS)
    kind = pick.randrange(4)
    if kind == 0:
        return [movsx(dst, src, pick.choice((8, 16, 32)))]
    if kind == 1:
        return [movsx(dst, src, pick.choice((8, 16)), 32)]
    if kind == 2:
        return list(const(dst, pick.getrandbits(64)))
    opcode = pick.choice((isa.ALU64 | isa.END, isa.ALU | isa.END | isa.TO_BE, isa.ALU | isa.END | isa.TO_LE))
    return [Instruction(opcode, dst, 0, 0, pick.choice((16, 32, 64)))]


def _memory(pick: random.Random) -> list[Instruction]:
    size = pick.choice((1, 2, 4, 8))
    off = -8 * pick.randint(1, SLOTS) + pick.randrange(0, 8, size)
    dst, src = pick.choice(REGISTERS), pick.choice(REGISTERS)
    kind = pick.randrange(5)
    if kind == 0:
        return [store(R10, off, size, src)]
    if kind == 1:
        return [store(R10, off, size, (pick.getrandbits(31)) - (1 << 30))]
    if kind == 2 and size < 8:
        return [load(dst, R10, off, size, signed=True)]
    if kind == 3 and size >= 4:
        name = pick.choice(list(isa.ATOMIC_OPERATIONS))
        return [atomic(name, R10, off, size, src, fetch=pick.random() < 0.5)]
    return [load(dst, R10, off, size)]


def _skip(pick: random.Random) -> list[Instruction]:
    """A conditional jump over a little arithmetic."""
    body = [insn for _ in range(pick.randint(1, 3)) for insn in _alu(pick)]
    other = pick.choice(REGISTERS) if pick.random() < 0.6 else pick.getrandbits(31) - (1 << 30)
    return [
        jump(pick.choice(list(isa.JUMP_OPERATIONS)), pick.choice(REGISTERS), other, len(body), pick.choice((32, 64))),
        *body,
    ]


def random_program(seed: int) -> list[Instruction]:
    """Registers and stack slots filled with edge values, then random steps, and all of it folded into r0."""
    pick = random.Random(seed)

    def value() -> int:
        return pick.choice(EDGES) if pick.random() < 0.6 else pick.getrandbits(64)

    code: list[Instruction] = []
    for slot in range(1, SLOTS + 1):
        code += [*const(R0, value()), store(R10, -8 * slot, 8, R0)]
    # Through memory and a value the verifier does not know, or it would compute the program itself and drop branches.
    code += [
        Instruction(isa.JMP | isa.CALL, 0, 0, 0, 8),
        Instruction(isa.ALU64 | 0xB0 | isa.X, R6, R0, 0, 0),
        alu("rsh", R6, 31),
    ]
    for register in REGISTERS:
        code += [*const(register, value()), alu("add", register, R6)]
    for _ in range(40):
        code += pick.choices((_alu, _move, _memory, _skip), (4, 2, 3, 2))[0](pick)
    for register in REGISTERS[1:]:
        code += [alu("mul", R0, 31), alu("add", R0, register)]
    for slot in range(1, SLOTS + 1):
        code += [load(REGISTERS[1], R10, -8 * slot, 8), alu("mul", R0, 31), alu("add", R0, REGISTERS[1])]
    return code


def _in_kernel(code: list[Instruction]) -> int:
    """r0's low 32 bits, as the kernel gives them."""
    import os

    bpf = pytest.importorskip("kloupe.host.bpf")
    try:
        fd = bpf.load_program(bpf.ProgramLoad(PROGRAM_TYPES["raw_tracepoint"], encode_program(code)))
    except PermissionError:
        pytest.skip("no privilege to load programs")
    try:
        return bpf.TestRun(fd, 8).run() & 0xFFFFFFFF
    finally:
        os.close(fd)


@pytest.mark.parametrize("seed", range(150))
def test_random_programs(seed: int) -> None:
    code = random_program(seed)
    low = [*code, EXIT]
    high = [*code, alu("rsh", R0, 32), EXIT]
    for program in (low, high):
        assert run(*program) & 0xFFFFFFFF == _in_kernel(program)
