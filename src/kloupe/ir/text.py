"""The text form of IR (`-d ir`): one operation a line, blocks and functions with headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import ops
from .ops import Op, ProgramIR

_ALU_SYMBOLS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "mod": "%",
    "and": "&",
    "or": "|",
    "xor": "^",
    "lsh": "<<",
    "rsh": ">>",
    "arsh": "s>>",
    "sdiv": "s/",
    "smod": "s%",
}
_JUMP_SYMBOLS = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "slt": "s<",
    "sle": "s<=",
    "sgt": "s>",
    "sge": "s>=",
    "set": "&",
}


def _place(base: ops.Base, offset: int, size: int, signed: bool = False) -> str:
    at = f"{base!r}{offset:+d}" if offset else repr(base)
    return f"{'s' if signed else 'u'}{size * 8}[{at}]"


def _alu(op: ops.Alu) -> str:
    suffix = " (32)" if op.bits == 32 else ""
    if op.op == "neg":
        return f"{op.dst} = -{op.left}{suffix}"
    return f"{op.dst} = {op.left} {_ALU_SYMBOLS.get(op.op, op.op)} {op.right}{suffix}"


def _atomic(op: ops.Atomic) -> str:
    text = f"atomic {op.op} {_place(op.base, op.offset, op.size)}, {op.value}"
    if op.expected is not None:
        text += f" if {op.expected}"
    return f"{op.dst} = {text}" if op.dst is not None else text


def _call(dst: ops.Reg | None, name: str, args: tuple[ops.Value, ...]) -> str:
    call = f"{name}({', '.join(map(str, args))})"
    return f"{dst} = {call}" if dst is not None else call


def _branch(op: ops.Branch) -> str:
    suffix = " (32)" if op.bits == 32 else ""
    return f"if {op.left} {_JUMP_SYMBOLS.get(op.op, op.op)} {op.right}{suffix} then {op.then} else {op.otherwise}"


_RENDER: dict[type[Op], Callable[..., str]] = {
    ops.Move: lambda op: f"{op.dst} = {op.src}",
    ops.Alu: _alu,
    ops.ByteSwap: lambda op: f"{op.dst} = swap{op.bits} {op.src}",
    ops.Load: lambda op: f"{op.dst} = {_place(op.base, op.offset, op.size, op.signed)}",
    ops.Store: lambda op: f"{_place(op.base, op.offset, op.size)} = {op.value}",
    ops.Atomic: _atomic,
    ops.Address: lambda op: f"{op.dst} = &{op.slot}{f'{op.offset:+d}' if op.offset else ''}",
    ops.Context: lambda op: f"{op.dst} = context",
    ops.Captures: lambda op: f"{op.dst} = captures",
    ops.Parameter: lambda op: f"{op.dst} = parameter {op.index}",
    ops.MapHandle: lambda op: f"{op.dst} = map {op.name}",
    ops.MapValue: lambda op: f"{op.dst} = &map {op.name}[0]{f'{op.offset:+d}' if op.offset else ''}",
    ops.FunctionRef: lambda op: f"{op.dst} = function {op.function.name}",
    ops.CallHelper: lambda op: _call(op.dst, op.helper, op.args),
    ops.CallKfunc: lambda op: _call(op.dst, f"kfunc {op.kfunc}", op.args),
    ops.Jump: lambda op: f"jump {op.target}",
    ops.Branch: _branch,
    ops.Exit: lambda op: f"exit {op.value}",
}


def render_op(op: Op) -> str:
    """One operation as text."""
    return _RENDER[type(op)](op)


def render_blocks(blocks: list[ops.Block]) -> Iterator[str]:
    """Lines of the blocks in order."""
    for block in blocks:
        yield f"{block}:"
        for op in block.ops:
            yield f"    {render_op(op)}"


def render_program(program: ProgramIR) -> Iterator[str]:
    """Lines of a whole program: captured slots, then each function with its slots and blocks."""
    for slot in program.captured:
        yield f"captured {slot}: {slot.size} bytes"
    for function in program.functions:
        yield f"function {function.name}({function.parameters}):"
        for slot in function.slots:
            yield f"  slot {slot}: {slot.size} bytes"
        for line in render_blocks(function.blocks):
            yield f"  {line}"
