"""What each eBPF operation is in Python: text templates, one row per operation.

Registers hold unsigned 64-bit ints. `{d}` is the destination register, `{s}` the second operand: a register, or an
immediate already sign-extended and written as an unsigned number. Semantics: RFC 9669, sections 4 and 5; signed
division and modulo by -1 and all by zero as kernel/bpf/verifier.c patches them.
"""

from __future__ import annotations

from ...bpf import isa

M64, M32 = "0xffffffffffffffff", "0xffffffff"
S64, S32 = "0x8000000000000000", "0x80000000"

ALU64: dict[str, str] = {
    "add": f"{{d}} + {{s}} & {M64}",
    "sub": f"{{d}} - {{s}} & {M64}",
    "mul": f"{{d}} * {{s}} & {M64}",
    "div": "{d} // {s} if {s} else 0",
    "or": "{d} | {s}",
    "and": "{d} & {s}",
    "lsh": f"{{d}} << ({{s}} & 63) & {M64}",
    "rsh": "{d} >> ({s} & 63)",
    "neg": f"-{{d}} & {M64}",
    "mod": "{d} % {s} if {s} else {d}",
    "xor": "{d} ^ {s}",
    "mov": "{s}",
    "arsh": f"(({{d}} ^ {S64}) - {S64} >> ({{s}} & 63)) & {M64}",
    "sdiv": "sdiv({d}, {s}, 64)",
    "smod": "smod({d}, {s}, 64)",
}

ALU32: dict[str, str] = {
    "add": f"{{d}} + {{s}} & {M32}",
    "sub": f"{{d}} - {{s}} & {M32}",
    "mul": f"{{d}} * {{s}} & {M32}",
    "div": f"({{d}} & {M32}) // t if (t := {{s}} & {M32}) else 0",
    "or": f"({{d}} | {{s}}) & {M32}",
    "and": f"{{d}} & {{s}} & {M32}",
    "lsh": f"{{d}} << ({{s}} & 31) & {M32}",
    "rsh": f"({{d}} & {M32}) >> ({{s}} & 31)",
    "neg": f"-{{d}} & {M32}",
    "mod": f"({{d}} & {M32}) % t if (t := {{s}} & {M32}) else {{d}} & {M32}",
    "xor": f"({{d}} ^ {{s}}) & {M32}",
    "mov": f"{{s}} & {M32}",
    "arsh": f"((({{d}} & {M32}) ^ {S32}) - {S32} >> ({{s}} & 31)) & {M32}",
    "sdiv": "sdiv({d}, {s}, 32)",
    "smod": "smod({d}, {s}, 32)",
}

ALU_NAMES: dict[tuple[int, bool], str] = {(op, off != 0): name for name, (op, off) in isa.ALU_OPERATIONS.items()}

# mov with sign extension from `off` bits: {s} with its low bits as a signed number.
MOVSX = {
    bits: f"({{s}} & {(1 << bits) - 1:#x} ^ {1 << bits - 1:#x}) - {1 << bits - 1:#x} & {{mask}}" for bits in (8, 16, 32)
}

SWAP = {bits: f"swap({{d}}, {bits // 8})" for bits in (16, 32, 64)}
TRUNCATE = {16: "{d} & 0xffff", 32: f"{{d}} & {M32}", 64: "{d}"}

# {a} and {b} are the operands: 64-bit, or cut to 32 bits for JMP32.
JUMP: dict[str, str] = {
    "eq": "{a} == {b}",
    "ne": "{a} != {b}",
    "gt": "{a} > {b}",
    "ge": "{a} >= {b}",
    "lt": "{a} < {b}",
    "le": "{a} <= {b}",
    "set": "{a} & {b}",
    "sgt": "({a} ^ {sign}) > ({b} ^ {sign})",
    "sge": "({a} ^ {sign}) >= ({b} ^ {sign})",
    "slt": "({a} ^ {sign}) < ({b} ^ {sign})",
    "sle": "({a} ^ {sign}) <= ({b} ^ {sign})",
}
JUMP_NAMES: dict[int, str] = {op: name for name, op in isa.JUMP_OPERATIONS.items()}

# What an atomic operation leaves in memory; {o} is the old value, {v} the operand, both cut to the access size.
ATOMIC: dict[int, str] = {
    isa.ATOMIC_OPERATIONS["add"]: "{o} + {v} & {mask}",
    isa.ATOMIC_OPERATIONS["or"]: "{o} | {v}",
    isa.ATOMIC_OPERATIONS["and"]: "{o} & {v}",
    isa.ATOMIC_OPERATIONS["xor"]: "{o} ^ {v}",
}


def signed(value: int, bits: int) -> int:
    """The low `bits` of `value` as a signed number."""
    half = 1 << bits - 1
    return (value & (1 << bits) - 1 ^ half) - half


def sdiv(dividend: int, divisor: int, bits: int) -> int:
    """Signed division, truncated toward zero; 0 for a zero divisor."""
    a, b = signed(dividend, bits), signed(divisor, bits)
    if not b:
        return 0
    quotient = abs(a) // abs(b)
    return (-quotient if (a < 0) != (b < 0) else quotient) & (1 << bits) - 1


def smod(dividend: int, divisor: int, bits: int) -> int:
    """The remainder with the dividend's sign; the (cut) dividend for a zero divisor."""
    a, b = signed(dividend, bits), signed(divisor, bits)
    rest = abs(a) % abs(b) if b else abs(a)
    return (-rest if a < 0 else rest) & (1 << bits) - 1


def swap(value: int, size: int) -> int:
    """The low `size` bytes in the other order."""
    return int.from_bytes((value & (1 << 8 * size) - 1).to_bytes(size, "little"), "big")
