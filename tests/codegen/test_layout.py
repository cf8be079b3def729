"""Jumps beyond 16 bits go by way of islands."""

from __future__ import annotations

import random

import pytest
from agreement import check_agreement

from kloupe.bpf import isa
from kloupe.bpf.check import check_program
from kloupe.bpf.insn import Instruction, decode_program
from kloupe.codegen import layout
from kloupe.ir.builder import Builder
from kloupe.ir.ops import Block

MOV = isa.ALU64 | isa.MOV | isa.K


def body_of(blocks: int, length: int, seed: int) -> tuple[layout.Body, list[list[int]]]:
    """Blocks of `mov r1, number` that each end in a jump to some block; and the expected order of numbers run."""
    pick = random.Random(seed)
    body = layout.Body()
    names = [Block(number) for number in range(blocks)]
    order = names[1:]
    pick.shuffle(order)
    follow = dict(zip([names[0], *order], [*order, None], strict=True))
    for number, block in enumerate(names):
        body.starts[block] = len(body.code)
        body.code += [(MOV, 1, 0, 0, number)] * length
        target = follow[block]
        if target is None:
            body.code += [(MOV, 0, 0, 0, 0), (isa.JMP | isa.EXIT, 0, 0, 0, 0)]
        else:
            body.jumps.append((len(body.code), target))
            body.code.append((isa.JMP | isa.JA, 0, 0, 0, 0))
    run = [names[0], *order]
    return body, [[block.number] * length for block in run]


def trace(code: list[tuple[int, int, int, int, int]]) -> list[int]:
    """The numbers moved to r1, in the order in which they are."""
    at, seen = 0, []
    while code[at][0] != isa.JMP | isa.EXIT:
        opcode, dst, _, off, imm = code[at]
        if opcode == isa.JMP | isa.JA:
            at += off
        elif dst == 1:
            seen.append(imm)
        at += 1
    return seen


@pytest.mark.parametrize("seed", range(5))
def test_far_jumps_arrive(seed: int) -> None:
    body, expected = body_of(60, 40, seed)
    code, moved = layout.resolve_jumps(body, reach=700)
    assert moved is not None
    assert len(moved) == len(body.code)
    assert all(abs(insn[3]) <= 700 for insn in code if insn[0] == isa.JMP | isa.JA)
    assert trace(code) == [number for numbers in expected for number in numbers]
    assert check_program([Instruction(*insn) for insn in code]) == []


def test_near_jumps_need_no_islands() -> None:
    body, expected = body_of(10, 5, 1)
    code, moved = layout.resolve_jumps(body)
    assert moved is None
    assert trace(code) == [number for numbers in expected for number in numbers]


def test_a_program_longer_than_a_jump_reaches() -> None:
    b = Builder("long")
    end = b.block()
    skip = b.load(b.context(), 0, 1)
    rest = b.block()
    b.branch("eq", skip, 1, end, rest)
    b.start(rest)
    total = b.reg()
    b.move(total, 0)
    for index in range(6000):
        then, done = b.block(), b.block()
        b.branch("eq", b.load(b.map_value("data"), index % 4000, 1), 9, then, done)
        b.start(then)
        b.call("send_signal", index)
        b.jump(done)
        b.start(done)
        b.move(total, b.alu("add", total, b.alu("xor", index, total)))
    b.store(b.map_value("out"), 0, 8, total)
    b.jump(end)
    b.start(end)
    b.store(b.map_value("out"), 8, 8, skip)
    b.exit(3)
    emitted, _ = check_agreement(b.program)
    code = decode_program(emitted.code)
    assert len(code) > 40_000
