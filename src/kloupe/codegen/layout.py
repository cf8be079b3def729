"""Jumps get their distances. One that would be too long for 16 bits goes by way of islands of `goto`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from ..base.errors import InternalError
from ..bpf import isa
from ..ir.ops import Block
from .regalloc import Insn

REACH = 0x7FFF
_GOTO = isa.JMP | isa.JA


class Body:
    """The code of one function before its jumps are resolved. Indices count from the function's own start."""

    def __init__(self) -> None:
        self.code: list[Insn] = []
        self.starts: dict[Block, int] = {}
        self.jumps: list[tuple[int, Block]] = []


def resolve_jumps(body: Body, reach: int = REACH) -> tuple[list[Insn], list[int] | None]:
    """The code with distances filled in, and None or the new index of every old one when islands moved them."""
    code = body.code
    far = False
    for index, block in body.jumps:
        distance = body.starts[block] - index - 1
        if -reach <= distance <= reach:
            opcode, dst, src, _, imm = code[index]
            code[index] = (opcode, dst, src, distance, imm)
        else:
            far = True
    if not far:
        return code, None
    return _Islands(body, reach).resolve()


class _Islands:
    """Pools of `goto`s between blocks. A pool is entered by jumps only: a `goto` around it stands before it."""

    def __init__(self, body: Body, reach: int) -> None:
        self.body = body
        self.reach = reach
        self.pools = self._choose_pools()
        self.islands: list[dict[Block, int]] = [{} for _ in self.pools]  # block -> position in the pool

    def _choose_pools(self) -> list[int]:
        """Old indices before which pools may stand: starts of blocks, a third of the reach apart."""
        pools: list[int] = []
        last = 0
        for start in sorted(self.body.starts.values()):
            if start - last >= self.reach // 3:
                pools.append(start)
                last = start
        return pools

    def _shifts(self) -> list[int]:
        """Instructions that the pools up to each one put in."""
        total, shifts = 0, []
        for islands in self.islands:
            total += len(islands) + 1 if islands else 0
            shifts.append(total)
        return shifts

    def resolve(self) -> tuple[list[Insn], list[int]]:
        pending: list[tuple[int | None, int, Block]] = [(None, index, block) for index, block in self.body.jumps]
        while True:
            wanted = self._missing(pending)
            if not wanted:
                break
            for pool, block in wanted:
                self.islands[pool].setdefault(block, len(self.islands[pool]))
            known = {(None, index, block) for index, block in self.body.jumps}
            pending = [*known, *((p, at, b) for p, islands in enumerate(self.islands) for b, at in islands.items())]
        return self._write()

    def _position(self, shifts: list[int], old: int) -> int:
        """The new index of the instruction at `old` (which lies after a pool that stands before it)."""
        count = bisect_right(self.pools, old)
        return old + (shifts[count - 1] if count else 0)

    def _island_position(self, shifts: list[int], pool: int, at: int) -> int:
        start = self.pools[pool] + (shifts[pool - 1] if pool else 0)
        return start + 1 + at

    def _hop(self, shifts: list[int], source: int, source_old: int, block: Block) -> tuple[int, int | None]:
        """From new index `source`: the new index to jump to and the pool that it is in (None: the block itself)."""
        target = self._position(shifts, self.body.starts[block])
        if abs(target - source - 1) <= self.reach - 1:
            return target, None
        limit = self.reach - 1
        if target > source:
            order = range(len(self.pools) - 1, bisect_right(self.pools, source_old) - 1, -1)
        else:
            order = range(bisect_left(self.pools, source_old))
        for pool in order:
            islands = self.islands[pool]
            at = islands.get(block, len(islands))
            position = self._island_position(shifts, pool, at)
            if abs(position - source - 1) <= limit - 64 and position != source:
                return position, pool
        raise InternalError("a jump is too long and no island is in reach")

    def _origin(self, shifts: list[int], jump: tuple[int | None, int, Block]) -> tuple[int, int]:
        pool, at, _ = jump
        if pool is None:
            return self._position(shifts, at), at
        return self._island_position(shifts, pool, at), self.pools[pool]

    def _missing(self, jumps: list[tuple[int | None, int, Block]]) -> list[tuple[int, Block]]:
        shifts = self._shifts()
        wanted = []
        for jump in jumps:
            source, old = self._origin(shifts, jump)
            pool = self._hop(shifts, source, old, jump[2])[1]
            if pool is not None and jump[2] not in self.islands[pool]:
                wanted.append((pool, jump[2]))
        return wanted

    def _write(self) -> tuple[list[Insn], list[int]]:
        shifts = self._shifts()
        code: list[Insn] = []
        old_to_new: list[int] = []
        pool = 0
        for old, insn in enumerate(self.body.code):
            while pool < len(self.pools) and self.pools[pool] == old:
                islands = self.islands[pool]
                if islands:
                    code.append((_GOTO, 0, 0, len(islands), 0))
                for block in islands:
                    source = len(code)
                    target, _ = self._hop(shifts, source, self.pools[pool], block)
                    code.append((_GOTO, 0, 0, target - source - 1, 0))
                pool += 1
            old_to_new.append(len(code))
            code.append(insn)
        for old, block in self.body.jumps:
            source = old_to_new[old]
            target, _ = self._hop(shifts, source, old, block)
            opcode, dst, src, _, imm = code[source]
            code[source] = (opcode, dst, src, target - source - 1, imm)
        return code, old_to_new
