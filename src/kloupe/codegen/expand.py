"""Signed division for machines before cpu v4, in operations every eBPF machine has."""

from __future__ import annotations

from ..ir.ops import Alu, Reg, Value


def expand_signed_division(op: Alu, left: Value, right: Value) -> list[Alu]:
    """`sdiv` or `smod` by way of magnitudes, without branches: (x ^ s) - s, with s = x s>> 63, is |x|.

    Division by zero gives 0 and a remainder by zero the dividend, as sdiv and smod do.
    """
    result: list[Alu] = []

    def step(name: str, a: Value, b: Value, dst: Reg | None = None) -> Reg:
        part = Alu(op.span, name, dst or Reg(0), a, b, op.bits)
        result.append(part)
        return part.dst

    sign = step("arsh", left, op.bits - 1)
    magnitude = step("sub", step("xor", left, sign), sign)
    other_sign = step("arsh", right, op.bits - 1)
    divisor = step("sub", step("xor", right, other_sign), other_sign)
    if op.op == "sdiv":
        sign = step("xor", sign, other_sign)
    quotient = step(op.op[1:], magnitude, divisor)
    step("sub", step("xor", quotient, sign), sign, op.dst)
    return result
