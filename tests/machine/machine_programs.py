"""Small programs for tests: instructions by name, Images around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kloupe.bpf import isa
from kloupe.bpf.helpers import HELPERS
from kloupe.bpf.insn import Instruction, encode_program, load_imm64
from kloupe.engine.machine.engine import MachineEngine
from kloupe.image import AttachSpec, FunctionInfo, Image, MapSpec, ProgramSpec, Relocation, SourcePlace

Code = Iterable[Instruction]


class R(int):
    """A register as an operand (a plain int is an immediate)."""


R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = (R(n) for n in range(11))


def _source(value: int) -> tuple[int, int, int]:
    """(source bit, register, immediate)."""
    return (isa.X, int(value), 0) if isinstance(value, R) else (isa.K, 0, value)


def alu(name: str, dst: int, value: int = 0, bits: int = 64) -> Instruction:
    """dst = dst `name` value."""
    operation, off = isa.ALU_OPERATIONS[name]
    source, register, imm = _source(value)
    return Instruction((isa.ALU64 if bits == 64 else isa.ALU) | operation | source, dst, register, off, imm)


def mov(dst: int, value: int) -> Instruction:
    """dst = value (a register or a signed 32-bit immediate)."""
    return alu("mov", dst, value)


def movsx(dst: int, src: int, from_bits: int, bits: int = 64) -> Instruction:
    """dst = sign-extended low bits of src."""
    return Instruction((isa.ALU64 if bits == 64 else isa.ALU) | isa.MOV | isa.X, dst, src, from_bits, 0)


def const(dst: int, value: int) -> tuple[Instruction, Instruction]:
    """dst = any 64-bit value."""
    return load_imm64(dst, value & (1 << 64) - 1)


def load(dst: int, base: int, off: int, size: int, signed: bool = False) -> Instruction:
    """dst = *(size)(base + off)."""
    mode = isa.MEMSX if signed else isa.MEM
    return Instruction(isa.LDX | isa.SIZE_OF_BYTES[size] | mode, dst, base, off, 0)


def store(base: int, off: int, size: int, value: int) -> Instruction:
    """*(size)(base + off) = value."""
    if isinstance(value, R):
        return Instruction(isa.STX | isa.SIZE_OF_BYTES[size] | isa.MEM, base, int(value), off, 0)
    return Instruction(isa.ST | isa.SIZE_OF_BYTES[size] | isa.MEM, base, 0, off, value)


def atomic(name: str, base: int, off: int, size: int, src: int, fetch: bool = False) -> Instruction:
    """An atomic operation on memory."""
    imm = isa.ATOMIC_OPERATIONS[name] | (isa.FETCH if fetch else 0)
    return Instruction(isa.STX | isa.SIZE_OF_BYTES[size] | isa.ATOMIC, base, src, off, imm)


def jump(name: str, dst: int, value: int, off: int, bits: int = 64) -> Instruction:
    """if dst `name` value goto +off."""
    source, register, imm = _source(value)
    kind = isa.JMP if bits == 64 else isa.JMP32
    return Instruction(kind | isa.JUMP_OPERATIONS[name] | source, dst, register, off, imm)


def goto(off: int) -> Instruction:
    """goto +off."""
    return Instruction(isa.JMP | isa.JA, 0, 0, off, 0)


def call(helper: str) -> Instruction:
    """r0 = helper(r1 ... r5)."""
    return Instruction(isa.JMP | isa.CALL, 0, isa.CALL_HELPER, 0, HELPERS[helper].number)


def call_local(distance: int) -> Instruction:
    """r0 = the function `distance` slots behind the next instruction."""
    return Instruction(isa.JMP | isa.CALL, 0, isa.CALL_LOCAL, 0, distance)


def function_ref(dst: int, distance: int) -> tuple[Instruction, Instruction]:
    """dst = a callback, `distance` slots behind the slot after this first one."""
    return load_imm64(dst, distance & 0xFFFFFFFF, isa.PSEUDO_FUNC)


EXIT = Instruction(isa.JMP | isa.EXIT)


class Build:
    """Collects code with map references; `build()` gives the program."""

    def __init__(self) -> None:
        self.code: list[Instruction] = []
        self.relocations: list[Relocation] = []
        self.functions: list[FunctionInfo] = [FunctionInfo("main", 0)]
        self.places: list[SourcePlace] = []
        self.lines: list[tuple[int, int]] = []

    def add(self, *parts: Instruction | Sequence[Instruction]) -> Build:
        """Append instructions (wide ones are pairs)."""
        for part in parts:
            if isinstance(part, Instruction):
                self.code.append(part)
            else:
                self.code.extend(part)
        return self

    def map(self, dst: int, name: str) -> Build:
        """dst = the map."""
        self.relocations.append(Relocation(len(self.code), "map", name))
        return self.add(load_imm64(dst, 0, isa.PSEUDO_MAP_FD))

    def value(self, dst: int, name: str, addend: int = 0) -> Build:
        """dst = address of element 0 + addend."""
        self.relocations.append(Relocation(len(self.code), "map_value", name, addend))
        return self.add(load_imm64(dst, 0, isa.PSEUDO_MAP_VALUE))

    def line(self, number: int) -> Build:
        """The code from here on comes from line `number` of the script."""
        self.lines.append((len(self.code), len(self.places)))
        self.places.append(SourcePlace("s.bt", number, 3, 7, "text"))
        return self

    def function(self, name: str) -> Build:
        """A function starts here."""
        self.functions.append(FunctionInfo(name, len(self.code)))
        return self

    def program(
        self, name: str = "main", kind: str = "begin", type: str = "raw_tracepoint", **params: Any
    ) -> ProgramSpec:
        """The finished program."""
        return ProgramSpec(
            name,
            type,
            "",
            encode_program(self.code),
            tuple(self.relocations),
            tuple(self.functions),
            tuple(self.lines),
            tuple(self.places),
            (AttachSpec(kind, f"{kind}:{name}", params),),
        )


def image(*programs: ProgramSpec, maps: Sequence[MapSpec] = ()) -> Image:
    """An Image of these programs and maps."""
    return Image("test", "x86_64", programs, tuple(maps), (), (), {})


def engine(build: Build | ProgramSpec, maps: Sequence[MapSpec] = (), **options: Any) -> MachineEngine:
    """An engine with one loaded program, named "main"."""
    made = MachineEngine(**options)
    made.load(image(build.program() if isinstance(build, Build) else build, maps=maps))
    return made


def run(*parts: Instruction | Sequence[Instruction], context: bytes = b"", **options: Any) -> int:
    """r0 of code that needs no maps."""
    return engine(Build().add(*parts), **options).fire("main", context)
