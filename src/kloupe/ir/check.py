"""The rules of the IR, checked: what lowering promises and the back half relies on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..bpf.helpers import HELPERS
from ..bpf.isa import ALU_OPERATIONS, ATOMIC_OPERATIONS, JUMP_OPERATIONS
from . import ops
from .facts import OPERANDS, TERMINATORS, reads, targets, written
from .ops import Block, Function, Op, ProgramIR, Reg, Slot
from .text import render_op

_SIZES = (1, 2, 4, 8)
_ALU_NAMES = frozenset(ALU_OPERATIONS) - {"mov"}


def _check_alu(op: ops.Alu) -> str:
    if op.op not in _ALU_NAMES:
        return f"no operation {op.op}"
    return "" if op.bits in (32, 64) else f"{op.bits} bits"


def _check_access(op: ops.Load | ops.Store) -> str:
    if op.size not in _SIZES:
        return f"access of {op.size} bytes"
    if isinstance(op.base, Slot) and not 0 <= op.offset <= op.base.size - op.size:
        return f"access beyond slot {op.base} of {op.base.size} bytes"
    return ""


def _check_atomic(op: ops.Atomic) -> str:
    if op.op not in ATOMIC_OPERATIONS:
        return f"no atomic operation {op.op}"
    if op.size not in (4, 8):
        return f"atomic access of {op.size} bytes"
    if (op.op == "cmpxchg") != (op.expected is not None):
        return "`expected` goes with cmpxchg and only with it"
    return "" if op.dst is not None or op.op not in ("xchg", "cmpxchg") else f"{op.op} needs a result register"


def _check_helper(op: ops.CallHelper) -> str:
    helper = HELPERS.get(op.helper)
    if helper is None:
        return f"no helper {op.helper}"
    return "" if len(op.args) <= max(helper.arguments, 0) else f"{op.helper} takes {helper.arguments} arguments"


def _check_kfunc(op: ops.CallKfunc) -> str:
    return "" if len(op.args) <= 5 else "a call has at most 5 arguments"


def _check_branch(op: ops.Branch) -> str:
    if op.op not in JUMP_OPERATIONS:
        return f"no comparison {op.op}"
    return "" if op.bits in (32, 64) else f"{op.bits} bits"


def _check_swap(op: ops.ByteSwap) -> str:
    return "" if op.bits in (16, 32, 64) else f"{op.bits} bits"


_OP_CHECKS: dict[type[Op], Callable[..., str]] = {
    ops.Alu: _check_alu,
    ops.Load: _check_access,
    ops.Store: _check_access,
    ops.Atomic: _check_atomic,
    ops.CallHelper: _check_helper,
    ops.CallKfunc: _check_kfunc,
    ops.Branch: _check_branch,
    ops.ByteSwap: _check_swap,
}


def _block_problems(
    function: Function, block: Block, placed: set[Block], slots: set[Slot], entry: bool
) -> Iterator[str]:
    if not block.ops or not isinstance(block.ops[-1], TERMINATORS):
        yield "does not end in a terminator"
    at_start = entry
    for index, op in enumerate(block.ops):
        if type(op) not in OPERANDS:
            yield f"unknown operation {type(op).__name__}"
            continue
        if isinstance(op, TERMINATORS) and index + 1 < len(block.ops):
            yield f"`{render_op(op)}` is not the last operation"
        for target in targets(op):
            if target not in placed:
                yield f"`{render_op(op)}` leads to a block that is not placed"
        if isinstance(op, ops.Parameter):
            if not at_start:
                yield f"`{render_op(op)}` is not at the start of its function"
            if not 0 <= op.index < function.parameters:
                yield f"`{render_op(op)}`: the function has {function.parameters} parameters"
        else:
            at_start = False
        slot = op.slot if isinstance(op, ops.Address) else getattr(op, "base", None)
        if isinstance(slot, Slot) and slot not in slots:
            yield f"`{render_op(op)}` uses a slot that is neither the function's nor captured"
        check = _OP_CHECKS.get(type(op))
        problem = check(op) if check else ""
        if problem:
            yield f"`{render_op(op)}`: {problem}"


def check_program(program: ProgramIR) -> list[str]:
    """The problems of a program, as text; empty when it keeps the rules."""
    problems = []
    functions = set(program.functions)
    for function in program.functions:
        placed, slots = set(function.blocks), {*function.slots, *program.captured}
        if not function.blocks:
            problems.append(f"{function.name}: has no blocks")
        defined: set[Reg] = set()
        for block in function.blocks:
            for op in block.ops:
                dst = written(op)
                if dst is not None:
                    defined.add(dst)
                if isinstance(op, ops.FunctionRef) and op.function not in functions:
                    problems.append(f"{function.name}: `{render_op(op)}` is not a function of this program")
        for position, block in enumerate(function.blocks):
            where = f"{function.name}: {block}: "
            problems.extend(
                where + problem for problem in _block_problems(function, block, placed, slots, position == 0)
            )
            problems.extend(
                f"{where}`{render_op(op)}` reads {reg}, which is never written"
                for op in block.ops
                if type(op) in OPERANDS
                for reg in reads(op)
                if reg not in defined
            )
    return problems
