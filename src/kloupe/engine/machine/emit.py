"""The Python lines of single instructions (all but branches, which translate.py nests)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ...bpf import isa
from ...bpf.helpers import HELPER_NAMES
from ...bpf.insn import Instruction
from . import templates
from .binding import Binding
from .flow import MASK64, Flow
from .helpers import KFUNCS, ROWS
from .maps import Map
from .memory import WINDOW_BITS
from .ringbuf import RingBuffer

Known = list[int | None]  # what registers hold, where that is known at translation


def register(number: int, known: Known) -> str:
    """The text of a register; r10 is a constant."""
    value = known[isa.FP]
    return hex(value) if number == isa.FP and value is not None else f"r{number}"


class Emitter:
    """Gives the text of one function's instructions; `references` collects the functions it mentions."""

    def __init__(self, binding: Binding, flow: Flow) -> None:
        self.program, self.flow = binding, flow
        self.references: list[int] = []

    def lines(self, index: int, known: Known) -> list[str]:
        """The lines of the instruction at `index`, given what registers hold."""
        insn = self.program.code[index]
        emitted = _EMITTERS[insn.instruction_class](self, index, insn, known)
        base = _BASES.get(insn.instruction_class)
        if base is not None:
            size = isa.BYTES_OF_SIZE[insn.opcode & isa.SIZE_MASK]
            fault = self.program.misaligned(self._address(base(insn), insn.off, known)[1], size)
            return [fault, *emitted] if fault else emitted
        return emitted

    def _wide(self, index: int, insn: Instruction, known: Known) -> list[str]:
        value = self.program.constant(index)
        if insn.opcode != isa.LD_IMM64 or value is None:
            relocation = self.program.relocations.get(index)
            what = f"{relocation.kind} {relocation.name}" if relocation else f"64-bit load of kind {insn.src}"
            return [f"core.unsupported({what!r})"]
        if insn.src == isa.PSEUDO_FUNC:
            self.references.append(index + 1 + insn.imm)
        return [f"r{insn.dst} = {value:#x}"]

    def _alu(self, index: int, insn: Instruction, known: Known) -> list[str]:
        wide = insn.instruction_class == isa.ALU64
        operation = insn.opcode & isa.OPERATION_MASK
        dst = f"r{insn.dst}"
        after = list(known)
        self.flow.step(index, after)
        if after[insn.dst] is not None and operation != isa.MOV:
            return [f"{dst} = {after[insn.dst]:#x}"]
        if operation == isa.END:
            swaps = wide or bool(insn.opcode & isa.SOURCE_MASK) == _IS_LITTLE
            template = (templates.SWAP if swaps else templates.TRUNCATE)[insn.imm]
            return [f"{dst} = {template.format(d=dst)}"]
        by_register = insn.opcode & isa.SOURCE_MASK
        if operation == isa.MOV and insn.off:
            source, mask = register(insn.src, known), templates.M64 if wide else templates.M32
            return [f"{dst} = {templates.MOVSX[insn.off].format(s=source, mask=mask)}"]
        name = templates.ALU_NAMES[operation, insn.off != 0]
        operand = insn.imm
        if not by_register and operand < 0 and name in _OPPOSITE:
            name, operand = _OPPOSITE[name], -operand
        source = register(insn.src, known) if by_register else str(operand & (MASK64 if wide else 0xFFFFFFFF))
        table = templates.ALU64 if wide else templates.ALU32
        return [f"{dst} = {table[name].format(d=dst, s=source)}"]

    def _address(self, register: int, off: int, known: Known) -> tuple[str, int | None]:
        """The text of register + offset, and its value when it is known."""
        value = known[register]
        if value is not None:
            return str(value + off & MASK64), value + off & MASK64
        sign = "-" if off < 0 else "+"
        return (f"r{register} {sign} {abs(off)}" if off else f"r{register}"), None

    def _load(self, index: int, insn: Instruction, known: Known) -> list[str]:
        size = isa.BYTES_OF_SIZE[insn.opcode & isa.SIZE_MASK]
        signed = insn.opcode & isa.MODE_MASK == isa.MEMSX
        text, address = self._address(insn.src, insn.off, known)
        dst = f"r{insn.dst}"
        view = "" if address is None or signed else self.program.view(address, size, write=False)
        if view:
            return [f"{dst} = {view}"]
        if self.program.reads_kernel and address is None:
            lines = [f"{dst} = load({text}, {size})"]
            return [*lines, f"{dst} = {_sign_extended(dst, size)}"] if signed else lines
        take = f"{'I' if signed else 'U'}{size}(R[{text} >> 32], {text} & {templates.M32})"
        lines = [f"{dst}, = {take}"]
        return [*lines, f"{dst} &= {templates.M64}"] if signed else lines

    def _store(self, index: int, insn: Instruction, known: Known) -> list[str]:
        if insn.instruction_class == isa.STX and insn.opcode & isa.MODE_MASK == isa.ATOMIC:
            return self._atomic(insn, known)
        size = isa.BYTES_OF_SIZE[insn.opcode & isa.SIZE_MASK]
        mask = (1 << 8 * size) - 1
        if insn.instruction_class == isa.ST:
            value = str(insn.imm & mask)
        else:
            value = register(insn.src, known) + ("" if size == 8 else f" & {mask:#x}")
        return [self._put(insn, size, value, known)]

    def _put(self, insn: Instruction, size: int, value: str, known: Known) -> str:
        text, address = self._address(insn.dst, insn.off, known)
        view = "" if address is None else self.program.view(address, size, write=True)
        if view:
            return f"{view} = {value}"
        return f"P{size}(W[{text} >> 32], {text} & {templates.M32}, {value})"

    def _atomic(self, insn: Instruction, known: Known) -> list[str]:
        size = isa.BYTES_OF_SIZE[insn.opcode & isa.SIZE_MASK]
        mask = hex((1 << 8 * size) - 1)
        cut = "" if size == 8 else f" & {mask}"
        if insn.imm == isa.STORE_RELEASE:
            return [self._put(insn, size, register(insn.src, known) + cut, known)]
        if insn.imm == isa.LOAD_ACQUIRE:
            text, _ = self._address(insn.src, insn.off, known)
            return [f"r{insn.dst}, = U{size}(R[{text} >> 32], {text} & {templates.M32})"]
        text, address = self._address(insn.dst, insn.off, known)
        place = "" if address is None else self.program.view(address, size, write=True)
        if place:
            lines = [f"t = {place}"]
        else:
            lines = [f"m = W[{text} >> 32]; o = {text} & {templates.M32}; t, = U{size}(m, o)"]
        value = f"({register(insn.src, known)}{cut})" if cut else register(insn.src, known)
        condition = ""
        if insn.imm == isa.ATOMIC_OPERATIONS["cmpxchg"]:
            new, condition, fetched = value, f"if t == r0{cut}: ", "r0"
        elif insn.imm == isa.ATOMIC_OPERATIONS["xchg"]:
            new, fetched = value, f"r{insn.src}"
        else:
            new = templates.ATOMIC[insn.imm & ~isa.FETCH].format(o="t", v=value, mask=mask)
            fetched = f"r{insn.src}" if insn.imm & isa.FETCH else ""
        lines.append(f"{condition}{place} = {new}" if place else f"{condition}P{size}(m, o, {new})")
        return [*lines, f"{fetched} = t"] if fetched else lines

    def _jumps(self, index: int, insn: Instruction, known: Known) -> list[str]:
        operation = insn.opcode & isa.OPERATION_MASK
        if insn.instruction_class == isa.JMP and operation == isa.EXIT:
            return ["return r0"]
        if insn.instruction_class == isa.JMP and operation == isa.CALL:
            return self._call(index, insn, known)
        return []  # the branch itself is emitted with its arms

    def _call(self, index: int, insn: Instruction, known: Known) -> list[str]:
        program = self.program
        count = (program.call_arguments(index) >> 1).bit_length()
        registers = ", ".join(register(n, known) for n in range(1, count + 1))
        if insn.src == isa.CALL_LOCAL:
            entry = index + 1 + insn.imm
            self.references.append(entry)
            return [f"r0 = f{entry}({registers})"]
        if insn.src == isa.CALL_KFUNC:
            name = program.relocated(index, "kfunc")
            if name not in KFUNCS:
                return [f"core.unsupported({f'kernel function {name}'!r})"]
            program.names[f"k_{name}"] = KFUNCS[name].function
            return [f"r0 = k_{name}(core{', ' + registers if registers else ''}) & {templates.M64}"]
        name = HELPER_NAMES.get(insn.imm, f"number {insn.imm}")
        row = ROWS.get(name)
        if row is None:
            return [f"core.unsupported({f'helper {name}'!r})"]
        if row.inline:
            return [f"r0 = {row.inline}"]
        if name in _MAP_CALLS and known[1] is not None:
            found = program.core.maps.get(known[1])
            kind, emit = _MAP_CALLS[name]
            if isinstance(found, kind):
                return [emit(program, found, known)]
        if name == "ringbuf_submit" and len(program.core.rings) == 1:
            program.names["submit"] = program.core.rings[0].submit
            return ["r0 = submit(r1)"]
        program.names[f"h_{name}"] = row.function
        return [f"r0 = h_{name}(core{', ' + registers if registers else ''}) & {templates.M64}"]


def _lookup_call(program: Binding, found: Map, known: Known) -> str:
    name = f"find{found.handle >> WINDOW_BITS & 0xFFFFFF}"
    program.names[name] = found.finder()
    return f"r0 = {name}({program.key(2, known[2], found.key_size)}) or 0"


def _update_call(program: Binding, found: Map, known: Known) -> str:
    name = f"put{found.handle >> WINDOW_BITS & 0xFFFFFF}"
    program.names[name] = found.put
    key = program.key(2, known[2], found.key_size)
    value = program.key(3, known[3], found.value_size)
    return f"r0 = {name}({key}, {value}, r4) & {templates.M64}"


def _reserve_call(program: Binding, found: RingBuffer, known: Known) -> str:
    name = f"reserve{found.handle >> WINDOW_BITS & 0xFFFFFF}"
    program.names[name] = found.reserve
    return f"r0 = {name}(r2, r3)"


# Calls on a map that is known here need not look it up.
_MAP_CALLS: dict[str, tuple[type[Map], Callable[[Binding, Any, Known], str]]] = {
    "map_lookup_elem": (Map, _lookup_call),
    "map_update_elem": (Map, _update_call),
    "ringbuf_reserve": (RingBuffer, _reserve_call),
}

_OPPOSITE = {"add": "sub", "sub": "add"}
_IS_LITTLE = struct.pack("=H", 1) == b"\1\0"


def _sign_extended(register: str, size: int) -> str:
    half = 1 << 8 * size - 1
    return f"({register} ^ {half:#x}) - {half:#x} & {templates.M64}"


# The register that holds the address, of the classes that access memory.
_BASES: dict[int, Callable[[Instruction], int]] = {
    isa.LDX: lambda insn: insn.src,
    isa.ST: lambda insn: insn.dst,
    isa.STX: lambda insn: insn.dst,
}

_EMITTERS: dict[int, Callable[[Emitter, int, Instruction, Known], list[str]]] = {
    isa.LD: Emitter._wide,
    isa.LDX: Emitter._load,
    isa.ST: Emitter._store,
    isa.STX: Emitter._store,
    isa.ALU: Emitter._alu,
    isa.ALU64: Emitter._alu,
    isa.JMP: Emitter._jumps,
    isa.JMP32: Emitter._jumps,
}
