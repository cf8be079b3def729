"""What every kind of operation reads, writes and leads to."""

from __future__ import annotations

from collections.abc import Callable

from . import ops
from .ops import Block, Op, Reg, Value

# Each row: the operands of an operation that may be registers (integers and slots among them are to be skipped).
OPERANDS: dict[type[Op], Callable[..., tuple[object, ...]]] = {
    ops.Move: lambda op: (op.src,),
    ops.Alu: lambda op: (op.left,) if op.op == "neg" else (op.left, op.right),
    ops.ByteSwap: lambda op: (op.src,),
    ops.Load: lambda op: (op.base,),
    ops.Store: lambda op: (op.base, op.value),
    ops.Atomic: lambda op: (op.base, op.value, op.expected),
    ops.Address: lambda op: (),
    ops.Context: lambda op: (),
    ops.Captures: lambda op: (),
    ops.Parameter: lambda op: (),
    ops.MapHandle: lambda op: (),
    ops.MapValue: lambda op: (),
    ops.FunctionRef: lambda op: (),
    ops.CallHelper: lambda op: op.args,
    ops.CallKfunc: lambda op: op.args,
    ops.Jump: lambda op: (),
    ops.Branch: lambda op: (op.left, op.right),
    ops.Exit: lambda op: (op.value,),
}

TERMINATORS = (ops.Jump, ops.Branch, ops.Exit)
CALLS = (ops.CallHelper, ops.CallKfunc)


def reads(op: Op) -> list[Reg]:
    """The registers that `op` reads, in order, with repetitions."""
    return [value for value in OPERANDS[type(op)](op) if isinstance(value, Reg)]


def written(op: Op) -> Reg | None:
    """The register that `op` writes."""
    return getattr(op, "dst", None)


def is_register(value: Value) -> bool:
    """True for a virtual register, False for a constant."""
    return type(value) is Reg


def targets(op: Op) -> tuple[Block, ...]:
    """The blocks that a terminator leads to."""
    if isinstance(op, ops.Jump):
        return (op.target,)
    if isinstance(op, ops.Branch):
        return (op.then, op.otherwise)
    return ()
