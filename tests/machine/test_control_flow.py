"""Random control flow: what translate.py nests and dispatches must do what stepping through the instructions does."""

from __future__ import annotations

import random
import struct

import pytest
from machine_programs import EXIT, R0, R1, R2, R3, R6, R7, Build, alu, engine, goto, jump, load, mov

from kloupe.bpf import isa
from kloupe.bpf.insn import Instruction
from kloupe.engine.machine.engine import MachineEngine

M64 = (1 << 64) - 1
FUEL = 40
NEAR = 7  # how far, in blocks, jumps go
BLOCK = 8  # instructions of a block


def random_graph(pick: random.Random, blocks: int, *, loops: bool) -> list[Instruction]:
    """`blocks` blocks that each fold their number into r0, use up fuel, and go where a bit of r6 says. r6: a word of bits."""
    code: list[Instruction] = [load(R6, R1, 0, 8), mov(R0, 1), mov(R7, FUEL), mov(R2, 0)]
    start = len(code)
    out = start + blocks * BLOCK
    for number in range(blocks):
        at = start + number * BLOCK
        lowest = max(0, number - NEAR) if loops else number + 1
        taken, other = (pick.randint(lowest, min(blocks, number + NEAR)) for _ in range(2))
        if pick.random() < 0.4:
            other = number + 1
        code += [alu("mul", R0, 31), alu("add", R0, number + 1), alu("sub", R7, 1)]
        code += [jump("eq", R7, 0, out - (at + 4)), mov(R3, R6), alu("rsh", R3, pick.randrange(64))]
        code += [jump("set", R3, 1, start + taken * BLOCK - (at + 7)), goto(start + other * BLOCK - (at + 8))]
    return [*code, alu("mul", R0, 3), EXIT]


def step_through(code: list[Instruction], bits: int) -> int:
    """r0, by executing one instruction after the other."""
    registers = {6: bits, 1: 0}
    index = 1
    while code[index] != EXIT:
        insn = code[index]
        index += 1
        source = registers.get(insn.src, 0) if insn.opcode & isa.X else insn.imm
        old = registers.get(insn.dst, 0)
        if insn.opcode == isa.JMP | isa.JA:
            index += insn.off
        elif insn.instruction_class == isa.JMP:
            is_set = insn.opcode & isa.OPERATION_MASK == isa.JUMP_OPERATIONS["set"]
            index += insn.off if (old & source if is_set else old == source) else 0
        else:
            operation = insn.opcode & isa.OPERATION_MASK
            names = {code: name for name, (code, off) in isa.ALU_OPERATIONS.items() if not off}
            registers[insn.dst] = {
                "mov": source,
                "add": old + source,
                "sub": old - source,
                "mul": old * source,
                "rsh": old >> source,
            }[names[operation]] & M64
    return registers[0]


def made(code: list[Instruction]) -> MachineEngine:
    return engine(Build().add(*code))


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("loops", [False, True])
def test_random_graphs(seed: int, loops: bool) -> None:
    pick = random.Random(seed)
    code = random_graph(pick, pick.choice((3, 6, 12, 40)), loops=loops)
    machine = made(code)
    for bits in [0, M64, *(pick.getrandbits(64) for _ in range(20))]:
        assert machine.fire("main", struct.pack("=Q", bits)) == step_through(code, bits)


def test_long_straight_programs() -> None:
    code = random_graph(random.Random(1), 1500, loops=False)
    assert made(code).fire("main", bytes(8)) == step_through(code, 0)
