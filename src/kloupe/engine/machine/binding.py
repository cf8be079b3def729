"""What the text of a translated program refers to: maps, memory at known addresses, constants, other functions."""

from __future__ import annotations

import struct
from typing import Any, Literal

from ...base.errors import InternalError
from ...bpf import isa
from ...bpf.helpers import HELPER_NAMES, HELPERS
from ...bpf.insn import decode_program, imm64
from ...image import ProgramSpec, Relocation
from . import templates
from .core import Core
from .flow import ARGUMENTS, Flow, insn_steps
from .helpers import KFUNCS
from .maps import ArrayMap, Map
from .memory import OFFSET_MASK, WINDOW_BITS

LETTERS: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Binding:
    """One program's instructions and the names that their text uses.

    `names` is the namespace of the text: R and W are the regions by window, B holds the instructions left, U/I/P<size> unpack
    unsigned and signed and pack, b<region> is memory at a known address and b<region>_<size> a view of it.
    """

    def __init__(self, spec: ProgramSpec, core: Core, maps: dict[str, Map]) -> None:
        self.spec, self.core, self.maps = spec, core, maps
        self.code = decode_program(spec.code)
        self.relocations = {relocation.index: relocation for relocation in spec.relocations}
        self.reads_kernel = spec.type == "tracing"  # may load from the kernel's memory directly
        self.names: dict[str, Any] = {
            "core": core,
            "R": core.space.readable,
            "W": core.space.writable,
            "B": core.budget,
            "read": core.space.read,
            "load": core.load,
            "sdiv": templates.sdiv,
            "smod": templates.smod,
            "swap": templates.swap,
        }
        for size, letter in LETTERS.items():
            self.names[f"U{size}"] = struct.Struct("=" + letter).unpack_from
            self.names[f"I{size}"] = struct.Struct("=" + letter.lower()).unpack_from
            self.names[f"P{size}"] = struct.Struct("=" + letter).pack_into
        self._flows: dict[int, Flow | None] = {}
        self.frames: dict[int, int] = {}  # function -> address of its stack's end
        self.callbacks: dict[int, int] = {}  # function -> handle

    def called(self) -> list[int]:
        """Where functions start that the program calls or hands out."""
        found = []
        for index in insn_steps(self.code, 0, len(self.code)):
            insn = self.code[index]
            if (insn.opcode == isa.LD_IMM64 and insn.src == isa.PSEUDO_FUNC) or (
                insn.opcode == isa.JMP | isa.CALL and insn.src == isa.CALL_LOCAL
            ):
                found.append(index + 1 + insn.imm)
        return found

    def frame(self, entry: int) -> int:
        """The address of the end of the stack of the function at `entry`. A function is never active twice."""
        if entry not in self.frames:
            name = next((info.name for info in self.spec.functions if info.start_insn == entry), f"function {entry}")
            base = self.core.space.add(f"the stack of {name}", bytearray(isa.STACK_BYTES))
            self.frames[entry] = base + isa.STACK_BYTES
        return self.frames[entry]

    def flow(self, entry: int) -> Flow:
        """The (cached) flow of a function. Raises InternalError for recursion, which eBPF does not have."""
        if entry not in self._flows:
            self._flows[entry] = None
            known: list[int | None] = [None] * 11
            known[isa.FP] = self.frame(entry)
            if not entry:
                known[1] = self.core.context_address
            self._flows[entry] = Flow(self.code, entry, self.call_arguments, self.constant, tuple(known))
        flow = self._flows[entry]
        if flow is None:
            raise InternalError(f"program {self.spec.name} is not well-formed: function {entry} calls itself")
        return flow

    def parameters(self, entry: int) -> int:
        """How many arguments a function reads: up to the highest register that is live at its start."""
        return ((self.flow(entry).blocks[entry].live_in & ARGUMENTS) >> 1).bit_length()

    def call_arguments(self, index: int) -> int:
        """The mask of the registers that the call at `index` reads."""
        insn = self.code[index]
        if insn.src == isa.CALL_LOCAL:
            count = self.parameters(index + 1 + insn.imm)
        elif insn.src == isa.CALL_KFUNC:
            kfunc = KFUNCS.get(self.relocated(index, "kfunc"))
            count = kfunc.arguments if kfunc else 0
        else:
            name = HELPER_NAMES.get(insn.imm)
            count = HELPERS[name].arguments if name else 0
        return (1 << count) - 1 << 1

    def relocated(self, index: int, kind: str) -> str:
        """The name that the relocation of this kind at `index` gives, or ""."""
        relocation: Relocation | None = self.relocations.get(index)
        return relocation.name if relocation is not None and relocation.kind == kind else ""

    def constant(self, index: int) -> int | None:
        """What the 64-bit load at `index` gives; None when the machine has no such thing."""
        insn = self.code[index]
        relocation = self.relocations.get(index)
        if relocation is not None:
            found = self.maps.get(relocation.name)
            if relocation.kind == "map" and found is not None:
                return found.handle
            if relocation.kind == "map_value" and isinstance(found, ArrayMap):
                return found.base + relocation.addend
            return None
        if insn.src == isa.PSEUDO_NONE:
            return imm64(insn, self.code[index + 1])
        if insn.src == isa.PSEUDO_FUNC:
            entry = index + 1 + insn.imm
            if entry not in self.callbacks:
                self.callbacks[entry] = self.core.space.handle(f"function {entry} of {self.spec.name}")
            return self.callbacks[entry]
        return None

    def misaligned(self, address: int | None, size: int) -> str:
        """A line that faults when `address` is known and not a multiple of `size` in the stack or the context; else "".

        The verifier is strict about those two on every architecture (check_ptr_alignment in kernel/bpf/verifier.c).
        """
        if address is None or address % size == 0:
            return ""
        strict = {self.core.context_address >> WINDOW_BITS, *(end >> WINDOW_BITS for end in self.frames.values())}
        return f"core.misaligned({address}, {size})" if address >> WINDOW_BITS in strict else ""

    def region(self, address: int, size: int, *, write: bool) -> str:
        """The name of the bytes that hold `address`, when they are known now, never move, and `size` bytes fit; else ""."""
        window = address >> WINDOW_BITS
        data = (self.core.space.writable if write else self.core.space.readable).get(window)
        if data is None or not isinstance(data, bytearray) or (address & OFFSET_MASK) + size > len(data):
            return ""
        name = f"b{window & 0xFFFFFF}"
        self.names[name] = data
        return name

    def view(self, address: int, size: int, *, write: bool) -> str:
        """`name[index]` for `size` bytes at a known, aligned address; else ""."""
        offset = address & OFFSET_MASK
        name = "" if offset % size else self.region(address, size, write=write)
        if not name:
            return ""
        view = f"{name}_{size}"
        if view not in self.names:
            data = self.names[name]
            self.names[view] = memoryview(data)[: len(data) // size * size].cast(LETTERS[size])
        return f"{view}[{offset // size}]"

    def key(self, register: int, known: int | None, size: int) -> str:
        """An expression for the `size` bytes that a register points to."""
        if known is not None and size:
            name = self.region(known, size, write=False)
            if name:
                self.names[f"K{size}"] = struct.Struct(f"{size}s").unpack_from
                return f"K{size}({name}, {known & OFFSET_MASK})[0]"
        return f"read(r{register}, {size})"
