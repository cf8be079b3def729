"""What eBPF arithmetic gives for constants (source: RFC 9669, section 4). Values are signed 64-bit Python integers."""

from __future__ import annotations

from collections.abc import Callable

_MASKS = {32: 0xFFFFFFFF, 64: 0xFFFFFFFFFFFFFFFF}


def signed(value: int, bits: int = 64) -> int:
    """The low `bits` of `value`, read as two's complement."""
    top = 1 << (bits - 1)
    return ((value & ((1 << bits) - 1)) ^ top) - top


def fits_s32(value: int) -> bool:
    """True when `value` can be an immediate, which the machine sign-extends from 32 bits."""
    return -0x80000000 <= value <= 0x7FFFFFFF


def _signed_quotient(a: int, b: int, bits: int) -> int:
    left, right = signed(a, bits), signed(b, bits)
    if right == 0:
        return 0
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _signed_remainder(a: int, b: int, bits: int) -> int:
    left, right = signed(a, bits), signed(b, bits)
    if right == 0:
        return left
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


# Operands come as unsigned numbers of `bits` bits.
_ALU: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, bits: a + b,
    "sub": lambda a, b, bits: a - b,
    "mul": lambda a, b, bits: a * b,
    "div": lambda a, b, bits: a // b if b else 0,
    "mod": lambda a, b, bits: a % b if b else a,
    "and": lambda a, b, bits: a & b,
    "or": lambda a, b, bits: a | b,
    "xor": lambda a, b, bits: a ^ b,
    "lsh": lambda a, b, bits: a << (b & (bits - 1)),
    "rsh": lambda a, b, bits: a >> (b & (bits - 1)),
    "arsh": lambda a, b, bits: signed(a, bits) >> (b & (bits - 1)),
    "sdiv": _signed_quotient,
    "smod": _signed_remainder,
    "neg": lambda a, b, bits: -a,
}
_UNSIGNED: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "set": lambda a, b: (a & b) != 0,
}


def fold_alu(op: str, left: int, right: int, bits: int) -> int:
    """left op right as the machine computes it: signed 64-bit; 32-bit results are zero-extended."""
    mask = _MASKS[bits]
    return signed(_ALU[op](left & mask, right & mask, bits) & mask)


def fold_compare(op: str, left: int, right: int, bits: int) -> bool:
    """Whether a jump `left op right` is taken."""
    mask = _MASKS[bits]
    if op in _UNSIGNED:
        return _UNSIGNED[op](left & mask, right & mask)
    return _UNSIGNED[op[1:]](signed(left, bits), signed(right, bits))


def fold_byte_swap(value: int, bits: int) -> int:
    """The low `bits` of `value` with their bytes reversed, zero-extended, as signed 64-bit."""
    size = bits // 8
    return signed(int.from_bytes((value & ((1 << bits) - 1)).to_bytes(size, "little"), "big"))


def fold_extend(value: int, size: int, is_signed: bool) -> int:
    """The low `size` bytes of `value`, extended to 64 bits."""
    return signed(value, 8 * size) if is_signed else signed(value & ((1 << 8 * size) - 1))
