"""Register allocation, in two parts.

Registers that are alive where ways meet get a home for their whole life: a machine register that nothing else uses in
those blocks, or a stack word that every write goes through to (`assign_homes`). All others live within a tree of blocks
in which each has one way in; there `Registers` keeps track, operation by operation, of what each machine register holds,
and a block starts with what the one before it left.

Facts of the verifier that shape this: copies and spills of a pointer keep its identity, so a null check of one holds for
all; a comparison narrows a number in registers but not in memory, so a narrowed number is stored again before its
stack word is relied on; spills are whole, aligned words.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..base.errors import InternalError
from ..bpf import isa
from ..ir import ops
from ..ir.ops import Block, Op, Reg
from .fold import fits_s32
from .liveness import FRAME, BlockFacts, Liveness

Insn = tuple[int, int, int, int, int]  # opcode, dst, src, offset, immediate

MOV_X, MOV_K = isa.ALU64 | isa.MOV | isa.X, isa.ALU64 | isa.MOV | isa.K
MOV32_K = isa.ALU | isa.MOV | isa.K
ADD_K = isa.ALU64 | isa.K
LOAD_WORD, STORE_WORD = isa.LDX | isa.MEM | isa.DW, isa.STX | isa.MEM | isa.DW

_ACROSS_CALLS = (6, 7, 8)  # homes for registers alive across calls; r9 stays for the others
_CALL_FREE = (5, 4, 3, 6, 7, 8)
_KEPT_FIRST = (9, 8, 7, 6, 0, 5, 4, 3, 2, 1)  # the order of choice for a value that a call lies before the end of
_SHORT_FIRST = (0, 5, 4, 3, 2, 1, 9, 8, 7, 6)
_FAR = 1 << 30
_CALLER_SAVED = range(6)


class Homes:
    """Where registers that cross a meeting of ways live: a machine register or the stack word at a frame offset."""

    def __init__(self, words: dict[Reg, int], base: int) -> None:
        self.registers: dict[Reg, int] = {}
        self.words = words
        self.base = base  # frame offset below which further words are free
        self.by_block: dict[Block, list[tuple[Reg, int]]] = {}


def assign_homes(liveness: Liveness, words: dict[Reg, int], base: int) -> Homes:
    """Give homes by how densely a register is used. `words` are fixed stack words of some; others lie below `base`."""
    homes = Homes(dict(words), base)
    candidates = liveness.needs_home()
    spans = liveness.spans_of(candidates)
    calls = {block for block in liveness.blocks if liveness.facts[block].calls}
    weight = _weights(liveness, spans)
    taken: list[set[Block]] = [set() for _ in range(10)]
    taken_words: list[set[Block]] = []
    for reg in sorted(candidates, key=lambda reg: (-weight[reg], reg.number)):
        span = spans[reg]
        choice = _CALL_FREE if reg not in words and span.isdisjoint(calls) else _ACROSS_CALLS
        home = next((number for number in choice if taken[number].isdisjoint(span)), None)
        if home is not None:
            taken[home] |= span
            homes.registers[reg] = home
            homes.words.pop(reg, None)
            for block in span:
                homes.by_block.setdefault(block, []).append((reg, home))
        elif reg not in homes.words:
            word = next((index for index, blocks in enumerate(taken_words) if blocks.isdisjoint(span)), None)
            if word is None:
                word = len(taken_words)
                taken_words.append(set())
            taken_words[word] |= span
            homes.words[reg] = base - 8 * (word + 1)
    homes.base = base - 8 * len(taken_words)
    return homes


def _weights(liveness: Liveness, spans: dict[Reg, set[Block]]) -> dict[Reg, float]:
    """Uses per block of life; numbers that branches compare count double, since only registers keep what was learnt."""
    uses: dict[Reg, float] = dict.fromkeys(spans, 0.0)
    for block, facts in liveness.facts.items():
        for reg, positions in facts.uses.items():
            if reg in uses:
                uses[reg] += len(positions)
        last = block.ops[-1]
        if isinstance(last, ops.Branch) and isinstance(last.left, Reg) and last.left in uses:
            uses[last.left] += 4
    return {reg: count / len(spans[reg]) for reg, count in uses.items()}


class Snapshot:
    """What a block leaves to the one block that follows only it."""

    __slots__ = ("free", "narrowed", "place", "spilled", "top")

    def __init__(self, place: dict[Reg, int], spilled: dict[Reg, int], free: list[int], top: int, narrowed: set[Reg]):
        self.place, self.spilled, self.free, self.top, self.narrowed = place, spilled, free, top, narrowed


class Registers:
    """What the machine registers hold at the place where code is being written. Appends to `code` what moves need."""

    def __init__(
        self,
        code: list[Insn],
        homes: Homes,
        recipes: Mapping[Reg, object],
        derived: dict[Reg, tuple[Reg, int]],
        loaded: dict[Reg, tuple[Reg, int]],
    ) -> None:
        self.code = code
        self.homes = homes
        self.home = homes.registers
        self.recipes = recipes
        self.derived = derived  # register -> (register, distance) it is made from
        self.loaded = loaded  # register -> (register, distance) of the word it is read from
        self.references: list[tuple[int, Op]] = []  # instruction index, operation that a 64-bit load stands for
        self.spill_words = 0
        self.read_words: set[Reg] = set()  # registers whose home word is read
        self.place: dict[Reg, int] = {}
        self.holder: list[Reg | None] = [None] * 10
        self.reserved = 0
        self.pinned = 0
        self.spilled: dict[Reg, int] = {}
        self.free: list[int] = []
        self.top = 0
        self.narrowed: set[Reg] = set()  # numbers whose home word is behind what a branch taught
        self.uses: dict[Reg, list[int]] = {}
        self.hints: dict[Reg, int] = {}
        self.calls: list[int] = []
        self.live_out: set[Reg] = set()

    # -- blocks -------------------------------------------------------------------------------------------------

    def enter(
        self, block: Block, facts: BlockFacts, live_in: set[Reg], live_out: set[Reg], left: Snapshot | None
    ) -> None:
        """Begin `block` with what the block before it left, or with nothing but homes."""
        self.uses = {reg: positions[:] for reg, positions in facts.uses.items()}
        self.hints, self.calls, self.live_out = facts.hints, facts.calls[:], live_out
        self.holder = [None] * 10
        self.pinned = 0
        if left is None:
            self.place, self.spilled, self.free, self.top, self.narrowed = {}, {}, [], 0, set()
        else:
            self.place = {
                r: at for r, at in left.place.items() if r in live_in or (r in self.recipes and r in self.uses)
            }
            self.spilled = {r: at for r, at in left.spilled.items() if r in live_in}
            self.free = [*left.free, *(at for r, at in left.spilled.items() if r not in live_in)]
            self.top, self.narrowed = left.top, left.narrowed & live_in
        for reg, number in self.place.items():
            self.holder[number] = reg
        owned = self.homes.by_block.get(block, ())
        self.reserved = 0
        for _, number in owned:
            self.reserved |= 1 << number
        for reg, number in owned:
            if self.holder[number] is not reg:
                self.clear(number)
            if reg in live_in:
                self.place[reg] = number
                self.holder[number] = reg

    def leave(self) -> Snapshot:
        """What is where at the end of the block."""
        return Snapshot(dict(self.place), dict(self.spilled), self.free[:], self.top, set(self.narrowed))

    # -- reading ------------------------------------------------------------------------------------------------

    def fetch(self, reg: Reg) -> int:
        """The machine register that holds `reg`, pinned until `unpin`."""
        number = self.place.get(reg)
        if number is None:
            if reg is FRAME:
                return isa.FP
            number = self._pick(reg)
            self.pinned |= 1 << number
            self.materialise(reg, number)
            self._hold(reg, number)
        self.pinned |= 1 << number
        return number

    def temporary(self) -> int:
        """A machine register that is free until `unpin`."""
        number = self._pick(None)
        self.pinned |= 1 << number
        return number

    def constant(self, value: int) -> int:
        """A pinned temporary that holds `value`."""
        number = self.temporary()
        self.load_constant(number, value)
        return number

    def unpin(self) -> None:
        """Operands have been read."""
        self.pinned = 0

    def consume(self, reg: Reg, position: int) -> bool:
        """The operation at `position` has read `reg`; True when nothing will read it again."""
        if reg in self.recipes:
            source = self.derived.get(reg) or self.loaded.get(reg)
            if source is not None:
                self.consume(source[0], position)
        positions = self.uses.get(reg)
        if positions:
            while positions and positions[-1] <= position:
                positions.pop()
            if positions:
                return False
        if reg in self.live_out or reg is FRAME:
            return False
        self._bury(reg)
        return True

    def is_alive(self, reg: Reg) -> bool:
        """True when a later operation may read what `reg` holds now."""
        return bool(self.uses.get(reg)) or reg in self.live_out

    def _bury(self, reg: Reg) -> None:
        if reg not in self.recipes:
            number = self.place.get(reg)
            if number is not None and reg not in self.home:
                del self.place[reg]
                self.holder[number] = None
        self._drop_spill(reg)

    def _drop_spill(self, reg: Reg) -> None:
        at = self.spilled.pop(reg, None)
        if at is not None:
            self.free.append(at)

    # -- writing ------------------------------------------------------------------------------------------------

    def target(self, dst: Reg, reuse: int | None = None) -> int:
        """The machine register into which `dst` is to be written; `reuse` is one whose value is not wanted any more."""
        number = self.home.get(dst)
        if number is not None:
            return number
        if reuse is not None and not self.reserved >> reuse & 1:
            return reuse
        number = self.place.get(dst)
        if number is not None:
            return number
        return self._pick(dst)

    def define(self, dst: Reg, number: int) -> None:
        """`dst` has just been written into machine register `number`."""
        old = self.place.get(dst)
        if old is not None and old != number:
            self.holder[old] = None
        self._drop_spill(dst)
        self.narrowed.discard(dst)
        if not self.is_alive(dst):
            if old is not None:
                del self.place[dst]
            holder = self.holder[number]
            if holder is not None and holder is not dst:
                self.place.pop(holder, None)
            self.holder[number] = None
            return
        self._hold(dst, number)
        word = self.homes.words.get(dst)
        if word is not None:
            self.code.append((STORE_WORD, isa.FP, number, word, 0))

    def rename(self, dst: Reg, number: int) -> None:
        """The value in `number` is called `dst` from now on."""
        self.define(dst, number)

    def _hold(self, reg: Reg, number: int) -> None:
        holder = self.holder[number]
        if holder is not None and holder is not reg:
            self.place.pop(holder, None)
        self.holder[number] = reg
        self.place[reg] = number

    # -- choosing -----------------------------------------------------------------------------------------------

    def _outlives_call(self, reg: Reg) -> bool:
        """True when the next call comes before the last use of `reg` in this block."""
        if not self.calls:
            return False
        positions = self.uses.get(reg)
        return reg in self.live_out or (bool(positions) and positions[0] > self.calls[-1])  # type: ignore[index]

    def _is_free(self, number: int) -> bool:
        if (self.reserved | self.pinned) >> number & 1:
            return False
        holder = self.holder[number]
        return holder is None or (holder in self.recipes and not self.uses.get(holder))

    def _pick(self, reg: Reg | None) -> int:
        """A machine register to write to; whatever it held is safe elsewhere or not wanted."""
        order = _SHORT_FIRST
        if reg is not None:
            if self._outlives_call(reg):
                order = _KEPT_FIRST
            else:
                hint = self.hints.get(reg)
                if hint is not None and self._is_free(hint):
                    self._forget(hint)
                    return hint
        blocked = self.reserved | self.pinned
        holder = self.holder
        for number in order:
            if not blocked >> number & 1 and holder[number] is None:
                return number
        for number in order:
            if self._is_free(number):
                self._forget(number)
                return number
        return self._evict(blocked)

    def _forget(self, number: int) -> None:
        holder = self.holder[number]
        if holder is not None:
            del self.place[holder]
            self.holder[number] = None

    def _evict(self, blocked: int) -> int:
        """Free the register whose value is wanted last; values that need no store are preferred a little."""
        best, best_score = -1, -1
        for number in range(10):
            holder = self.holder[number]
            if blocked >> number & 1 or holder is None:
                continue
            positions = self.uses.get(holder)
            score = positions[-1] if positions else _FAR
            if self._is_safe(holder):
                score += 5
            if score > best_score:
                best, best_score = number, score
        if best < 0:
            raise InternalError("no machine register is left")
        self.save(best)
        self._forget(best)
        return best

    def _is_safe(self, reg: Reg) -> bool:
        """True when `reg` can be had again without a store."""
        return reg in self.recipes or reg in self.spilled or (reg in self.homes.words and reg not in self.narrowed)

    def save(self, number: int) -> None:
        """See to it that the value in `number`, if still wanted, can be had from elsewhere."""
        reg = self.holder[number]
        if reg is None or self._is_safe(reg) or not self.is_alive(reg):
            return
        word = self.homes.words.get(reg)
        if word is not None:
            self.narrowed.discard(reg)
            self.code.append((STORE_WORD, isa.FP, number, word, 0))
            return
        if self.free:
            at = self.free.pop()
        else:
            at = self.top
            self.top += 1
            self.spill_words = max(self.spill_words, self.top)
        self.spilled[reg] = at
        self.code.append((STORE_WORD, isa.FP, number, self._spill_offset(at), 0))

    def clear(self, number: int) -> None:
        """Make `number` hold nothing: what it held moves to another register or is saved."""
        reg = self.holder[number]
        if reg is None:
            return
        if reg not in self.recipes and self.is_alive(reg):
            order = _KEPT_FIRST if self._outlives_call(reg) else _SHORT_FIRST
            for other in order:
                if other != number and self._is_free(other):
                    self._forget(other)
                    self.code.append((MOV_X, other, number, 0, 0))
                    self._hold(reg, other)
                    self.holder[number] = None
                    return
            self.save(number)
        self._forget(number)

    def leave_caller_saved(self) -> None:
        """Before a call: values that are wanted after it and sit in r0 to r5 get a place that survives."""
        for number in _CALLER_SAVED:
            reg = self.holder[number]
            if reg is None or reg in self.recipes or not self.is_alive(reg):
                continue
            for other in isa.CALLEE_SAVED_REGISTERS:
                if self._is_free(other):
                    self._forget(other)
                    self.code.append((MOV_X, other, number, 0, 0))
                    self._hold(reg, other)
                    self.holder[number] = None
                    break
            else:
                self.save(number)

    def clobber_caller_saved(self) -> None:
        """After a call: r0 to r5 hold nothing that is known."""
        for number in _CALLER_SAVED:
            self._forget(number)

    def store_narrowed(self, live_in: set[Reg]) -> None:
        """Before ways meet: bring home words up to what branches taught about their registers."""
        for reg in sorted(self.narrowed & live_in, key=lambda reg: reg.number):
            number = self.place.get(reg)
            if number is not None:
                self.code.append((STORE_WORD, isa.FP, number, self.homes.words[reg], 0))
                self.narrowed.discard(reg)

    def narrow(self, reg: Reg) -> None:
        """A branch has compared `reg`: its register knows more than its copies in memory."""
        self._drop_spill(reg)
        if reg in self.homes.words:
            self.narrowed.add(reg)

    # -- making values ------------------------------------------------------------------------------------------

    def _spill_offset(self, at: int) -> int:
        return self.homes.base - 8 * (at + 1)

    @property
    def frame_bytes(self) -> int:
        """The depth of the stack frame with all spills so far."""
        return 8 * self.spill_words - self.homes.base

    def load_constant(self, number: int, value: int) -> None:
        """number = value."""
        if fits_s32(value):
            self.code.append((MOV_K, number, 0, 0, value))
        elif 0 <= value <= 0xFFFFFFFF:
            self.code.append((MOV32_K, number, 0, 0, value - (1 << 32)))
        else:
            low, high = value & 0xFFFFFFFF, value >> 32
            self.code.append((isa.LD_IMM64, number, 0, 0, low - (1 << 32) if low >> 31 else low))
            self.code.append((0, 0, 0, 0, high))

    def materialise(self, reg: Reg, number: int) -> None:
        """Write the value of `reg`, which is in no machine register, into `number`."""
        source = self.derived.get(reg)
        if source is not None:
            self.add_to(number, self._base_of(source[0], number), source[1])
            return
        source = self.loaded.get(reg)
        if source is not None:
            self.code.append((LOAD_WORD, number, self._base_of(source[0], number), source[1], 0))
            return
        recipe = self.recipes.get(reg)
        if isinstance(recipe, int):
            self.load_constant(number, recipe)
        elif isinstance(recipe, Op):
            self.references.append((len(self.code), recipe))
            self.code.append((isa.LD_IMM64, number, 0, 0, 0))
            self.code.append((0, 0, 0, 0, 0))
        else:
            self._reload(reg, number)

    def _base_of(self, base: Reg, number: int) -> int:
        """A machine register that holds `base`: where it is, else `number` itself."""
        if base is FRAME:
            return isa.FP
        held = self.place.get(base)
        if held is None:
            self.materialise(base, number)
            return number
        return held

    def add_to(self, number: int, base: int, distance: int) -> None:
        """number = base + distance."""
        if number != base:
            self.code.append((MOV_X, number, base, 0, 0))
        if distance:
            self.code.append((ADD_K, number, 0, 0, distance))

    def _reload(self, reg: Reg, number: int) -> None:
        at = self.spilled.get(reg)
        if at is not None:
            offset = self._spill_offset(at)
        elif reg in self.homes.words:
            offset = self.homes.words[reg]
            self.read_words.add(reg)
        else:
            raise InternalError(f"register {reg} is read but holds nothing")
        self.code.append((LOAD_WORD, number, isa.FP, offset, 0))
