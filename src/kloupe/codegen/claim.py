"""The prologue's claim of scratch memory.

Map .scratch is an array of `LEVELS` elements per CPU, each {u64 busy, bytes}. A program takes the first of its CPU's
elements that is not busy, so that one that interrupts or preempts it takes another. With all taken the event is counted
in .lost (per CPU, element 0) and the program ends.
"""

from __future__ import annotations

from ..bpf import isa
from ..bpf.helpers import HELPERS
from .regalloc import MOV_K, MOV_X, Insn

LEVELS = 4
_LOOKUP = HELPERS["map_lookup_elem"].number
_CPU = HELPERS["get_smp_processor_id"].number
_CALL, _EXIT = isa.JMP | isa.CALL, isa.JMP | isa.EXIT
_LOAD64, _STORE64_K = isa.LDX | isa.MEM | isa.DW, isa.ST | isa.MEM | isa.DW
_LOAD32, _STORE32, _STORE32_K = isa.LDX | isa.MEM | isa.W, isa.STX | isa.MEM | isa.W, isa.ST | isa.MEM | isa.W
_ATOMIC64 = isa.STX | isa.ATOMIC | isa.DW
_ADD_K = isa.ALU64 | isa.K
_SHIFT32_LEFT = isa.ALU | isa.K | isa.ALU_OPERATIONS["lsh"][0]
_JEQ_K, _JNE_K = (isa.JMP | isa.K | isa.JUMP_OPERATIONS[name] for name in ("eq", "ne"))
_FP = isa.FP


class ClaimCode:
    """The instructions (they leave the element's address in r0), and which 64-bit loads stand for which map."""

    def __init__(self, key: int, atomic_fetch: bool) -> None:
        self.code: list[Insn] = []
        self.maps: list[tuple[int, str]] = []
        self._key = key
        self._to_lost: list[int] = []
        self._to_claimed: list[int] = []
        self._write(atomic_fetch)

    def _write(self, atomic_fetch: bool) -> None:
        self.code += [
            (_CALL, 0, 0, 0, _CPU),
            (_SHIFT32_LEFT, 0, 0, 0, LEVELS.bit_length() - 1),
            (_STORE32, _FP, 0, self._key, 0),
        ]
        for level in range(LEVELS):
            if level:
                self.code += [(_LOAD32, 1, _FP, self._key, 0), (_ADD_K, 1, 0, 0, 1), (_STORE32, _FP, 1, self._key, 0)]
            self._look_up(".scratch")
            self._jump(self._to_lost, (_JEQ_K, 0, 0, 0, 0))
            if atomic_fetch:
                self.code += [(MOV_K, 1, 0, 0, 1), (_ATOMIC64, 0, 1, 0, isa.ATOMIC_OPERATIONS["xchg"])]
                self._jump(self._to_claimed, (_JEQ_K, 1, 0, 0, 0))
            else:
                # Without fetching atomics programs run with preemption off: claims nest, so load and store will do.
                self.code += [(_LOAD64, 1, 0, 0, 0), (_JNE_K, 1, 0, 2, 0), (_STORE64_K, 0, 0, 0, 1)]
                self._jump(self._to_claimed, (isa.JMP | isa.JA, 0, 0, 0, 0))
        lost = len(self.code)
        self.code.append((_STORE32_K, _FP, 0, self._key, 0))
        self._look_up(".lost")
        self.code += [
            (_JEQ_K, 0, 0, 2, 0),
            (MOV_K, 1, 0, 0, 1),
            (_ATOMIC64, 0, 1, 0, isa.ATOMIC_OPERATIONS["add"]),
            (MOV_K, 0, 0, 0, 0),
            (_EXIT, 0, 0, 0, 0),
        ]
        self._resolve(self._to_lost, lost)
        self._resolve(self._to_claimed, len(self.code))

    def _look_up(self, name: str) -> None:
        self.maps.append((len(self.code), name))
        self.code += [
            (isa.LD_IMM64, 1, isa.PSEUDO_MAP_FD, 0, 0),
            (0, 0, 0, 0, 0),
            (MOV_X, 2, _FP, 0, 0),
            (_ADD_K, 2, 0, 0, self._key),
            (_CALL, 0, 0, 0, _LOOKUP),
        ]

    def _jump(self, group: list[int], insn: Insn) -> None:
        group.append(len(self.code))
        self.code.append(insn)

    def _resolve(self, group: list[int], target: int) -> None:
        for index in group:
            opcode, dst, src, _, imm = self.code[index]
            self.code[index] = (opcode, dst, src, target - index - 1, imm)
