"""Instructions as text, in the notation that llvm-objdump and the kernel's verifier share: `r1 = *(u64 *)(r10 - 8)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from . import isa
from .helpers import HELPER_NAMES
from .insn import Instruction, imm64

_ALU_SYMBOLS = {
    0x00: "+=",
    0x10: "-=",
    0x20: "*=",
    0x30: "/=",
    0x40: "|=",
    0x50: "&=",
    0x60: "<<=",
    0x70: ">>=",
    0x90: "%=",
    0xA0: "^=",
    0xC0: "s>>=",
}
_JUMP_SYMBOLS = {
    0x10: "==",
    0x20: ">",
    0x30: ">=",
    0x40: "&",
    0x50: "!=",
    0x60: "s>",
    0x70: "s>=",
    0xA0: "<",
    0xB0: "<=",
    0xC0: "s<",
    0xD0: "s<=",
}
_ATOMIC_SYMBOLS = {0x00: "+=", 0x40: "|=", 0x50: "&=", 0xA0: "^="}
_ATOMIC_NAMES = {0x00: "add", 0x40: "or", 0x50: "and", 0xA0: "xor"}
_PSEUDO_TEXT = {
    isa.PSEUDO_MAP_FD: "map[fd:{low}]",
    isa.PSEUDO_MAP_VALUE: "map[fd:{low}][0]+{high}",
    isa.PSEUDO_BTF_ID: "btf[{low}]",
    isa.PSEUDO_FUNC: "subprog[{low:+d}]",
    isa.PSEUDO_MAP_IDX: "map[idx:{low}]",
    isa.PSEUDO_MAP_IDX_VALUE: "map[idx:{low}][0]+{high}",
}


def _place(register: int, off: int) -> str:
    return f"(r{register} {'-' if off < 0 else '+'} {abs(off)})"


def _memory(insn: Instruction, register: int, sign: str = "u") -> str:
    bits = 8 * isa.BYTES_OF_SIZE[insn.opcode & isa.SIZE_MASK]
    return f"*({sign}{bits} *){_place(register, insn.off)}"


def _load(insn: Instruction) -> str:
    sign = "s" if insn.opcode & isa.MODE_MASK == isa.MEMSX else "u"
    return f"r{insn.dst} = {_memory(insn, insn.src, sign)}"


def _store_register(insn: Instruction) -> str:
    if insn.opcode & isa.MODE_MASK == isa.ATOMIC:
        return _atomic(insn)
    return f"{_memory(insn, insn.dst)} = r{insn.src}"


def _store_immediate(insn: Instruction) -> str:
    return f"{_memory(insn, insn.dst)} = {insn.imm}"


def _atomic(insn: Instruction) -> str:
    bits = 8 * isa.BYTES_OF_SIZE[insn.opcode & isa.SIZE_MASK]
    prefix = "r" if bits == 64 else "w"
    value = f"{prefix}{insn.src}"
    place = f"r{insn.dst} {'-' if insn.off < 0 else '+'} {abs(insn.off)}"
    if insn.imm == isa.ATOMIC_OPERATIONS["xchg"]:
        return f"{value} = xchg{'_64' if bits == 64 else '32_32'}({place}, {value})"
    if insn.imm == isa.ATOMIC_OPERATIONS["cmpxchg"]:
        return f"{prefix}0 = cmpxchg{'_64' if bits == 64 else '32_32'}({place}, {prefix}0, {value})"
    if insn.imm == isa.LOAD_ACQUIRE:
        return f"{prefix}{insn.dst} = load_acquire({_memory(insn, insn.src)[1:]})"
    if insn.imm == isa.STORE_RELEASE:
        return f"store_release({_memory(insn, insn.dst)[1:]}, {value})"
    operation = insn.imm & ~isa.FETCH
    if operation not in _ATOMIC_NAMES:
        return _unknown(insn)
    if insn.imm & isa.FETCH:
        return f"{value} = atomic_fetch_{_ATOMIC_NAMES[operation]}((u{bits} *)({place}), {value})"
    return f"lock *(u{bits} *)({place}) {_ATOMIC_SYMBOLS[operation]} {value}"


def _alu(insn: Instruction) -> str:
    operation = insn.opcode & isa.OPERATION_MASK
    prefix = "r" if insn.instruction_class == isa.ALU64 else "w"
    dst = f"{prefix}{insn.dst}"
    if operation == isa.END:
        if prefix == "r":
            return f"r{insn.dst} = bswap{insn.imm} r{insn.dst}"
        order = "be" if insn.opcode & isa.SOURCE_MASK else "le"
        return f"r{insn.dst} = {order}{insn.imm} r{insn.dst}"
    if operation == isa.NEG:
        return f"{dst} = -{dst}"
    source = f"{prefix}{insn.src}" if insn.opcode & isa.SOURCE_MASK else str(insn.imm)
    if operation == isa.MOV:
        return f"{dst} = {f'(s{insn.off})' if insn.off else ''}{source}"
    if operation not in _ALU_SYMBOLS:
        return _unknown(insn)
    return f"{dst} {'s' if insn.off else ''}{_ALU_SYMBOLS[operation]} {source}"


def _call(insn: Instruction) -> str:
    if insn.src == isa.CALL_LOCAL:
        return f"call {insn.imm:+d}"
    if insn.src == isa.CALL_KFUNC:
        return f"call kfunc#{insn.imm}"
    name = HELPER_NAMES.get(insn.imm)
    return f"call {name}#{insn.imm}" if name else f"call {insn.imm}"


def _jump(insn: Instruction) -> str:
    operation = insn.opcode & isa.OPERATION_MASK
    wide = insn.instruction_class == isa.JMP
    if operation == isa.JA:
        return f"goto {insn.off:+d}" if wide else f"gotol {insn.imm:+d}"
    if wide and operation == isa.CALL:
        return _call(insn)
    if wide and operation == isa.EXIT:
        return "exit"
    if operation not in _JUMP_SYMBOLS:
        return _unknown(insn)
    prefix = "r" if wide else "w"
    right = f"{prefix}{insn.src}" if insn.opcode & isa.SOURCE_MASK else str(insn.imm)
    return f"if {prefix}{insn.dst} {_JUMP_SYMBOLS[operation]} {right} goto {insn.off:+d}"


def _unknown(insn: Instruction) -> str:
    return f".insn {insn.opcode:#04x} r{insn.dst} r{insn.src} {insn.off} {insn.imm}"


_BY_CLASS: dict[int, Callable[[Instruction], str]] = {
    isa.LD: _unknown,
    isa.LDX: _load,
    isa.ST: _store_immediate,
    isa.STX: _store_register,
    isa.ALU: _alu,
    isa.ALU64: _alu,
    isa.JMP: _jump,
    isa.JMP32: _jump,
}


def render_instruction(insn: Instruction, second: Instruction | None = None) -> str:
    """One instruction as text; `second` is the other slot of a 64-bit immediate load."""
    if insn.is_wide and second is not None:
        if insn.src in _PSEUDO_TEXT:
            return f"r{insn.dst} = {_PSEUDO_TEXT[insn.src].format(low=insn.imm, high=second.imm)} ll"
        value = imm64(insn, second)
        return f"r{insn.dst} = {value - (1 << 64) if value >> 63 else value} ll"
    return _BY_CLASS[insn.instruction_class](insn)


def render_program(code: Sequence[Instruction], names: Mapping[int, str] | None = None) -> Iterator[str]:
    """Lines `   12: r1 = ...`, with `name:` before the instruction that starts a function; `names` by index."""
    index = 0
    while index < len(code):
        if names and index in names:
            yield f"{names[index]}:"
        wide = code[index].is_wide and index + 1 < len(code)
        yield f"{index:5}: {render_instruction(code[index], code[index + 1] if wide else None)}"
        index += 2 if wide else 1
