"""Which registers are alive where.

One backward scan of each block gives the places of use; registers that are read before they are written are then
followed backwards through the blocks, one by one, so the work is the size of the answer.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir import ops
from ..ir.facts import OPERANDS
from ..ir.ops import Block, Op, Reg, Slot
from .flow import predecessors

FRAME = Reg(-3)  # r10
SCRATCH = Reg(-4)  # the claimed element of map .scratch

Places = dict[Slot, tuple[Reg, int]]  # slot -> what its address counts from, and the distance

_CALLS = (ops.CallHelper, ops.CallKfunc)


class BlockFacts:
    """One block: positions of use per register (last first), positions of calls (last first), hints for registers."""

    __slots__ = ("calls", "defined", "exposed", "hints", "uses")

    def __init__(self) -> None:
        self.uses: dict[Reg, list[int]] = {}
        self.calls: list[int] = []
        self.exposed: set[Reg] = set()
        self.defined: set[Reg] = set()
        self.hints: dict[Reg, int] = {}


def scan_block(block: Block, places: Places, origins: dict[Reg, Reg], exit_reads: Reg | None) -> BlockFacts:
    """Read one block backwards. `origins`: what making a register anew reads; `exit_reads`: what leaving reads."""
    facts = BlockFacts()
    uses, exposed, defined, hints = facts.uses, facts.exposed, facts.defined, facts.hints
    operands: dict[type[Op], Callable[..., tuple[object, ...]]] = OPERANDS
    for position in range(len(block.ops) - 1, -1, -1):
        op = block.ops[position]
        kind = type(op)
        dst: Reg | None = getattr(op, "dst", None)
        if dst is not None:
            defined.add(dst)
            exposed.discard(dst)
            if (kind is ops.Alu or kind is ops.Move) and dst in hints:
                first = operands[kind](op)[0]
                if type(first) is Reg:
                    hints.setdefault(first, hints[dst])
        if kind is ops.CallHelper or kind is ops.CallKfunc:
            facts.calls.append(position)
            for index, arg in enumerate(op.args, 1):  # type: ignore[attr-defined]
                if type(arg) is Reg:
                    hints[arg] = index
        elif kind is ops.Exit:
            if type(op.value) is Reg:  # type: ignore[attr-defined]
                hints[op.value] = 0  # type: ignore[attr-defined]
            if exit_reads is not None:
                _note(exit_reads, position, uses, exposed)
        for value in operands[kind](op):
            if type(value) is Reg:
                _note(value, position, uses, exposed)
                origin = origins.get(value)
            elif type(value) is Slot:
                origin = places[value][0]
            else:
                continue
            while origin is not None and origin is not FRAME:
                _note(origin, position, uses, exposed)
                origin = origins.get(origin)
    return facts


def _note(reg: Reg, position: int, uses: dict[Reg, list[int]], exposed: set[Reg]) -> None:
    known = uses.get(reg)
    if known is None:
        uses[reg] = [position]
    elif known[-1] != position:
        known.append(position)
    exposed.add(reg)


class Liveness:
    """Facts of every block, and what is alive at their starts and ends. Recipes are never alive: they are made anew."""

    def __init__(
        self,
        blocks: list[Block],
        places: Places,
        origins: dict[Reg, Reg],
        recipes: set[Reg],
        exit_reads: Reg | None,
    ) -> None:
        self.blocks = blocks
        self.places, self.origins, self.recipes, self.exit_reads = places, origins, recipes, exit_reads
        self.before = predecessors(blocks)
        self.facts = {block: scan_block(block, places, origins, exit_reads) for block in blocks}
        self.live_in: dict[Block, set[Reg]] = {block: set() for block in blocks}
        self.live_out: dict[Block, set[Reg]] = {block: set() for block in blocks}
        for block in blocks:
            for reg in self.facts[block].exposed:
                if reg not in recipes:
                    self._follow(reg, block)

    def _follow(self, reg: Reg, block: Block) -> None:
        """`reg` is read in `block` before it is written there: mark the way back to where it is written."""
        live_in, live_out, facts, before = self.live_in, self.live_out, self.facts, self.before
        if reg in live_in[block]:
            return
        live_in[block].add(reg)
        pending = [block]
        while pending:
            for source in before[pending.pop()]:
                live_out[source].add(reg)
                if reg not in facts[source].defined and reg not in live_in[source]:
                    live_in[source].add(reg)
                    pending.append(source)

    def define_at_start(self, moves: list[Op]) -> None:
        """Put `moves` (of constants) at the start of the first block."""
        entry = self.blocks[0]
        entry.ops = [*moves, *entry.ops]
        self.facts[entry] = scan_block(entry, self.places, self.origins, self.exit_reads)
        for op in moves:
            self.live_in[entry].discard(op.dst)  # type: ignore[attr-defined]

    def needs_home(self) -> set[Reg]:
        """Registers alive where several ways meet: each way has to leave them at the same place."""
        result: set[Reg] = set()
        for block in self.blocks:
            if len(self.before[block]) > 1:
                result |= self.live_in[block]
        return result

    def spans_of(self, regs: set[Reg]) -> dict[Reg, set[Block]]:
        """The blocks in which each of `regs` is alive, written or read."""
        result: dict[Reg, set[Block]] = {reg: set() for reg in regs}
        for block in self.blocks:
            facts = self.facts[block]
            for reg in (self.live_in[block] | self.live_out[block] | facts.defined | facts.uses.keys()) & regs:
                result[reg].add(block)
        return result
