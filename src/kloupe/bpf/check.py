"""A structural check of a program: what must hold of any eBPF before it is worth showing to a verifier."""

from __future__ import annotations

from collections.abc import Sequence

from . import isa
from .insn import Instruction

_ALL = (1 << 11) - 1
_CALLER_SAVED = 0b111111  # r0 to r5


def _second_slots(code: Sequence[Instruction]) -> set[int]:
    slots: set[int] = set()
    for index, insn in enumerate(code):
        if insn.is_wide and index not in slots:
            slots.add(index + 1)
    return slots


def _is_conditional(insn: Instruction) -> bool:
    operation = insn.opcode & isa.OPERATION_MASK
    return insn.instruction_class in (isa.JMP, isa.JMP32) and operation not in (isa.JA, isa.CALL, isa.EXIT)


def successors(code: Sequence[Instruction], index: int) -> tuple[int, ...]:
    """Indices of the instructions that can follow the one at `index` in the same function."""
    insn = code[index]
    if insn.instruction_class in (isa.JMP, isa.JMP32):
        operation = insn.opcode & isa.OPERATION_MASK
        if operation == isa.EXIT:
            return ()
        if operation == isa.JA:
            return (index + 1 + (insn.off if insn.instruction_class == isa.JMP else insn.imm),)
        if operation != isa.CALL:
            return (index + 1, index + 1 + insn.off)
    return (index + 2 if insn.is_wide else index + 1,)


def reads_and_writes(insn: Instruction) -> tuple[int, int]:
    """Bit masks of the registers that `insn` reads for certain, and writes. A call's arguments are not counted."""
    kind, dst, src = insn.instruction_class, 1 << insn.dst, 1 << insn.src
    by_register = bool(insn.opcode & isa.SOURCE_MASK)
    if kind == isa.LD:
        return 0, dst
    if kind == isa.LDX:
        return src, dst
    if kind == isa.ST:
        return dst, 0
    if kind == isa.STX:
        return _store_reads_and_writes(insn, dst, src)
    operation = insn.opcode & isa.OPERATION_MASK
    if kind in (isa.ALU, isa.ALU64):
        if operation == isa.MOV:
            return (src if by_register else 0), dst
        return dst | (src if by_register and operation != isa.END else 0), dst
    if operation == isa.EXIT:
        return 1, 0
    if operation == isa.CALL:
        return 0, 1
    if operation == isa.JA:
        return 0, 0
    return dst | (src if by_register else 0), 0


def _store_reads_and_writes(insn: Instruction, dst: int, src: int) -> tuple[int, int]:
    written = 0
    if insn.opcode & isa.MODE_MASK == isa.ATOMIC:
        if insn.imm == isa.ATOMIC_OPERATIONS["cmpxchg"]:
            return dst | src | 1, 1
        written = src if insn.imm & isa.FETCH else 0
    return dst | src, written


def _check_fields(code: Sequence[Instruction], second: set[int]) -> list[str]:
    problems = []
    for index, insn in enumerate(code):
        if index in second:
            if insn.opcode or insn.dst or insn.src or insn.off:
                problems.append(f"{index}: the second slot of a 64-bit load has a non-zero field")
            continue
        if insn.dst > isa.FP or insn.src > isa.FP:
            problems.append(f"{index}: no register r{max(insn.dst, insn.src)}")
        if reads_and_writes(insn)[1] >> isa.FP & 1:
            problems.append(f"{index}: writes the frame pointer")
        if insn.is_wide and index + 1 >= len(code):
            problems.append(f"{index}: a 64-bit load is cut off")
        if (
            insn.opcode == isa.JMP | isa.CALL
            and insn.src == isa.CALL_LOCAL
            and not 0 <= index + 1 + insn.imm < len(code)
        ):
            problems.append(f"{index}: calls a function outside of the program")
    return problems


def _check_jumps(code: Sequence[Instruction], starts: Sequence[int], second: set[int]) -> list[str]:
    problems = []
    ends = [*starts[1:], len(code)]
    for start, end in zip(starts, ends, strict=True):
        for index in range(start, end):
            if index in second:
                continue
            for target in successors(code, index):
                if not start <= target < end:
                    problems.append(f"{index}: leaves its function (to {target}, not in {start}..{end - 1})")
                elif target in second:
                    problems.append(f"{index}: jumps into the middle of a 64-bit load")
    return problems


def _check_registers(code: Sequence[Instruction], start: int, arguments: int) -> list[str]:
    """Every read is preceded by a write on every path (forward data flow: intersection of what is written)."""
    known = {start: 1 << isa.FP | ((1 << arguments) - 1) << 1}
    pending = [start]
    problems: dict[int, str] = {}
    while pending:
        index = pending.pop()
        insn = code[index]
        reads, writes = reads_and_writes(insn)
        missing = reads & ~known[index]
        if missing:
            register = (missing & -missing).bit_length() - 1
            problems[index] = f"{index}: reads r{register}, which is not written on every path"
        after = known[index] | writes
        if insn.opcode == isa.JMP | isa.CALL:
            after = known[index] & ~_CALLER_SAVED | 1
        for target in successors(code, index):
            before = known.get(target, _ALL)
            if target not in known or before & after != before:
                known[target] = before & after
                pending.append(target)
    return [problems[index] for index in sorted(problems)]


def check_program(code: Sequence[Instruction], functions: Sequence[tuple[int, int]] = ((0, 1),)) -> list[str]:
    """The problems of a program, as text; empty when it is well formed.

    `functions` are (index of the first instruction, number of arguments), ascending from 0. Checked: fields, that
    jumps stay in their function and hit instructions, that every path ends in exit, that registers are written
    before they are read (calls clobber r0 to r5), size limits.
    """
    if not code:
        return ["the program is empty"]
    if len(code) > isa.MAX_INSNS:
        return [f"{len(code)} instructions are more than {isa.MAX_INSNS}"]
    second = _second_slots(code)
    starts = [start for start, _ in functions]
    problems = _check_fields(code, second)
    problems += _check_jumps(code, starts, second)
    if problems:
        return problems
    for start, arguments in functions:
        problems += _check_registers(code, start, arguments)
    return problems
