"""Values that a probe offers: `args`, argN, retval, and what the program's context holds."""

from __future__ import annotations

from collections.abc import Callable

from ..base import ctype as ct
from ..base import place as at
from ..base.ctype import CType, Space
from ..base.errors import InternalError
from ..ir.ops import Reg, Value
from .lower import Lowerer
from .memory import load_scalar
from .operand import Mem, Operand, Scalar


def probe_value(lo: Lowerer, value: at.NamedValue, t: CType) -> Operand:
    """The operand of a named value, read as type `t`."""
    return _READERS[type(value.place)](lo, value.place, t)


def _extended(lo: Lowerer, value: Reg, t: CType, size: int = 8) -> Operand:
    size = min(size, t.size or 8)
    signed = isinstance(t, (ct.Int, ct.Enum)) and t.signed
    return Scalar(lo.b.extend(value, size, signed) if size < 8 else value, t)


def _context_field(lo: Lowerer, place: at.ContextField, t: CType) -> Operand:
    context = lo.b.context()
    if not t.is_scalar:
        return Mem(context, place.offset, t, Space.KERNEL)
    return Scalar(lo.b.load(context, place.offset, place.size, place.signed), t)


def _register(lo: Lowerer, place: at.Register, t: CType) -> Operand:
    value = lo.b.load(lo.b.context(), place.offset, 8)
    return _extended(lo, lo.b.extend(value, place.size, place.signed), t)


def _btf_argument(lo: Lowerer, place: at.BtfArgument, t: CType) -> Operand:
    value = lo.b.load(lo.b.context(), 8 * place.index, 8)
    if t.is_scalar:
        return _extended(lo, value, t)
    return Mem(value, 0, t, Space.KERNEL)


def _stack_argument(lo: Lowerer, place: at.StackArgument, t: CType) -> Operand:
    arch = lo.target.arch
    stack = lo.b.load(lo.b.context(), arch.registers[arch.stack_pointer], 8)
    space = Space.USER if place.user else Space.KERNEL
    return Scalar(load_scalar(lo, Mem(stack, place.offset, t, space)), t)


def _memory(lo: Lowerer, place: at.Memory, t: CType) -> Operand:
    base = lo.b.load(lo.b.context(), place.base.offset, 8)
    if place.index is not None:
        index = lo.b.load(lo.b.context(), place.index.offset, 8)
        base = lo.b.alu("add", base, lo.b.alu("mul", index, place.scale) if place.scale != 1 else index)
    raw = ct.Int(place.size, place.signed)
    value = load_scalar(lo, Mem(base, place.offset, raw, Space.USER))
    return Scalar(value, t)


def _constant(lo: Lowerer, place: at.Constant, t: CType) -> Operand:
    return Scalar(place.value, t)


def _data_loc(lo: Lowerer, place: at.DataLoc, t: CType) -> Operand:
    context = lo.b.context()
    location = lo.b.load(context, place.offset, 4)
    start: Value = lo.b.alu("and", location, 0xFFFF)
    if place.relative:
        start = lo.b.alu("add", start, place.offset + 4)
    address = lo.b.alu("add", context, start)
    if t.is_scalar:
        return Scalar(address, t)
    return Mem(address, 0, t, Space.KERNEL)


def _pt_regs_field(lo: Lowerer, place: at.PtRegsField, t: CType) -> Operand:
    registers = lo.b.load(lo.b.context(), 8 * place.argument, 8)
    typed = (
        lo.parts.journal is None
        and lo.unit.points[0].dispatch is not None
        and lo.unit.points[0].dispatch.attach_type == "trace_raw_tp"
    )
    raw = ct.Int(place.size, place.signed)
    value = load_scalar(lo, Mem(registers, place.offset, raw, Space.BPF if typed else Space.KERNEL))
    return _extended(lo, lo.reg(value), t, place.size)


_READERS: dict[type, Callable[[Lowerer, object, CType], Operand]] = {
    at.ContextField: _context_field,  # type: ignore[dict-item]
    at.Register: _register,  # type: ignore[dict-item]
    at.BtfArgument: _btf_argument,  # type: ignore[dict-item]
    at.StackArgument: _stack_argument,  # type: ignore[dict-item]
    at.Memory: _memory,  # type: ignore[dict-item]
    at.Constant: _constant,  # type: ignore[dict-item]
    at.DataLoc: _data_loc,  # type: ignore[dict-item]
    at.PtRegsField: _pt_regs_field,  # type: ignore[dict-item]
}


def register_value(lo: Lowerer, name: str) -> Reg:
    """The register `name` of the interrupted code."""
    offset = lo.target.arch.registers.get(name)
    if offset is None:
        raise InternalError(f"no register {name}")
    return lo.b.load(lo.b.context(), offset, 8)
