"""Where slots live: on the BPF stack when they are small and there is room, else in the program's claimed scratch memory.

The stack of a function, from the frame pointer down: the root's captured block {context, scratch pointer, captured
slots} (callbacks: the pointer to it), the function's slots, homes of registers, spills. Sizes are in bytes.
"""

from __future__ import annotations

from heapq import heappop, heappush

from ..base.record import field, record
from ..bpf.isa import STACK_BYTES, SUBPROG_STACK_ROUNDING
from ..ir import ops
from ..ir.facts import reads
from ..ir.ops import Function, Reg, Slot
from .flow import targets
from .liveness import FRAME, SCRATCH, Places
from .simplify import CAPTURES, Simplified

_WORD = 8
SCRATCH_HEADER_BYTES = 8  # the busy word of an element of .scratch
CONTEXT_WORD, SCRATCH_WORD = 0, 8  # offsets in the captured block

Interval = tuple[int, int]


@record(frozen=True)
class Budget:
    """How much of the stack slots may take. `slot` is the largest slot that may go there."""

    slot: int
    root: int
    callback: int


# Tried in this order until the frames of every chain of calls fit the stack.
BUDGETS = (
    Budget(slot=STACK_BYTES, root=440, callback=160),
    Budget(slot=32, root=320, callback=96),
    Budget(slot=32, root=160, callback=64),
    Budget(slot=16, root=64, callback=32),
    Budget(slot=0, root=0, callback=0),
)


@record
class FramePlan:
    """The placement for one program."""

    places: dict[Function, Places] = field(default_factory=dict)
    area_bytes: dict[Function, int] = field(default_factory=dict)  # stack bytes taken before homes and spills
    captured_bytes: int = 0
    scratch_bytes: int = 0


class Arena:
    """Places blocks of memory so that those in use at the same time do not overlap."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.used = 0
        self._gaps: list[tuple[int, int]] = []  # (offset, size), ascending, none adjacent

    def take(self, size: int) -> int | None:
        """The offset of `size` free bytes, or None when the limit is reached."""
        for index, (offset, room) in enumerate(self._gaps):
            if room >= size:
                if room == size:
                    del self._gaps[index]
                else:
                    self._gaps[index] = (offset + size, room - size)
                return offset
        offset = self.used
        if self._gaps and sum(self._gaps[-1]) == self.used:
            offset = self._gaps[-1][0]
        if self.limit is not None and offset + size > self.limit:
            return None
        if offset != self.used:
            self._gaps.pop()
        self.used = offset + size
        return offset

    def give_back(self, offset: int, size: int) -> None:
        """Free what `take` gave."""
        merged: list[tuple[int, int]] = []
        for start, room in sorted([*self._gaps, (offset, size)]):
            if merged and sum(merged[-1]) == start:
                merged[-1] = (merged[-1][0], merged[-1][1] + room)
            else:
                merged.append((start, room))
        self._gaps = merged


def _rounded(size: int) -> int:
    return -(-size // _WORD) * _WORD


# -- when a slot is in use --------------------------------------------------------------------------------------------


class _SlotUses:
    """First and last place of use of each slot, by address too (registers that may hold an address into it)."""

    def __init__(self, simplified: Simplified) -> None:
        self.simplified = simplified
        self.holds: dict[Reg, set[Slot]] = {
            reg: {recipe.slot} for reg, recipe in simplified.recipes.items() if isinstance(recipe, ops.Address)
        }
        self.intervals: dict[Slot, Interval] = {}
        self.escaped: set[Slot] = set()

    def find(self) -> dict[Slot, Interval]:
        for _ in range(1 if self.simplified.forward_only else 3):
            end = self._pass()
        for slot in self.escaped:
            self.intervals[slot] = (self.intervals[slot][0], end)
        self._widen_over_loops()
        return self.intervals

    def _pass(self) -> int:
        position = 0
        for block in self.simplified.blocks:
            for op in block.ops:
                position += 1
                base = getattr(op, "base", None)
                if isinstance(base, Slot):
                    self._touch(base, position)
                for reg in reads(op):
                    for slot in self.holds.get(reg, ()):
                        self._touch(slot, position)
                        self._pass_on(op, reg, slot)
        return position

    def _touch(self, slot: Slot, position: int) -> None:
        known = self.intervals.get(slot)
        if known is None:
            self.intervals[slot] = (position, position)
        elif not known[0] <= position <= known[1]:
            self.intervals[slot] = (min(known[0], position), max(known[1], position))

    def _pass_on(self, op: ops.Op, reg: Reg, slot: Slot) -> None:
        if isinstance(op, (ops.Move, ops.Alu, ops.CallKfunc)):
            if op.dst is not None:
                self.holds.setdefault(op.dst, set()).add(slot)
        elif isinstance(op, (ops.Store, ops.Atomic)) and op.value is reg:
            self.escaped.add(slot)

    def _widen_over_loops(self) -> None:
        """A slot used inside a loop and outside of it is in use during the whole loop."""
        if self.simplified.forward_only:
            return
        starts, at = {}, 0
        for block in self.simplified.blocks:
            starts[block] = at + 1
            at += len(block.ops)
        loops = []
        for block in self.simplified.blocks:
            end = starts[block] + len(block.ops) - 1
            loops += [(starts[target], end) for target in targets(block) if starts[target] <= starts[block]]
        for _ in range(2):
            for first, last in loops:
                for slot, (start, end) in self.intervals.items():
                    if start < first <= end < last or first <= start <= last < end:
                        self.intervals[slot] = (min(start, first), max(end, last))


# -- where slots go ---------------------------------------------------------------------------------------------------


def _callees(simplified: Simplified) -> list[Function]:
    return [recipe.function for recipe in simplified.recipes.values() if isinstance(recipe, ops.FunctionRef)]


def _place_function(
    uses: dict[Slot, Interval], captured: set[Slot], stack: Arena, scratch: Arena, largest: int, top: int
) -> Places:
    """Places of one function's own slots; `top` bytes of its stack are taken already."""
    places: Places = {}
    active: list[tuple[int, int, int, int, bool]] = []
    for slot, (start, end) in sorted(uses.items(), key=lambda item: (item[1], item[0].number)):
        if slot in captured:
            continue
        while active and active[0][0] < start:
            _, _, offset, size, on_stack = heappop(active)
            (stack if on_stack else scratch).give_back(offset, size)
        size = _rounded(slot.size)
        at = stack.take(size) if size <= largest else None
        if at is not None:
            places[slot] = (FRAME, -(top + at + size))
            heappush(active, (end, slot.number, at, size, True))
        else:
            at = scratch.take(size)
            assert at is not None
            places[slot] = (SCRATCH, at)
            heappush(active, (end, slot.number, at, size, False))
    return places


def _place_captured(captured: list[Slot], budget: Budget, scratch: Arena) -> tuple[Places, int]:
    """Places of captured slots as distances from the start of the captured block, and the block's size."""
    places: Places = {}
    at = SCRATCH_WORD + _WORD
    for slot in captured:
        size = _rounded(slot.size)
        if size <= budget.slot and at + size <= budget.root:
            places[slot] = (CAPTURES, at)
            at += size
        else:
            offset = scratch.take(size)
            assert offset is not None
            places[slot] = (SCRATCH, offset)
    return places, at


def call_order(functions: list[Simplified]) -> list[Simplified]:
    """The functions with callers before what they call (callbacks cannot recurse)."""
    by_function = {simplified.function: simplified for simplified in functions}
    order: list[Simplified] = []
    seen: set[Function] = set()

    def visit(function: Function) -> None:
        if function not in seen:
            seen.add(function)
            for callee in _callees(by_function[function]):
                visit(callee)
            order.append(by_function[function])

    for simplified in functions:
        visit(simplified.function)
    order.reverse()
    return order


def find_slot_uses(functions: list[Simplified]) -> dict[Function, dict[Slot, Interval]]:
    """For each function its slots' first and last place of use."""
    return {simplified.function: _SlotUses(simplified).find() for simplified in functions}


def plan_frames(
    functions: list[Simplified], captured: list[Slot], uses: dict[Function, dict[Slot, Interval]], budget: Budget
) -> FramePlan:
    """Place all slots of a program (`functions[0]` is the root) within `budget`."""
    plan = FramePlan()
    root = functions[0].function
    used_captured = [slot for slot in captured if any(slot in intervals for intervals in uses.values())]
    scratch = Arena()
    captured_places, plan.captured_bytes = _place_captured(used_captured, budget, scratch)
    bases = {simplified.function: scratch.used for simplified in functions}
    for simplified in call_order(functions):
        function = simplified.function
        is_root = function is root
        top = plan.captured_bytes if is_root else _WORD
        stack = Arena(max(0, budget.root - top) if is_root else budget.callback)
        own_scratch = Arena()
        places = _place_function(uses[function], set(captured_places), stack, own_scratch, budget.slot, top)
        base = bases[function]
        for slot, (origin, offset) in places.items():
            if origin is SCRATCH:
                places[slot] = (SCRATCH, SCRATCH_HEADER_BYTES + base + offset)
        for slot, (origin, offset) in captured_places.items():
            if origin is SCRATCH:
                places[slot] = (SCRATCH, SCRATCH_HEADER_BYTES + offset)
            else:
                places[slot] = (FRAME, offset - plan.captured_bytes) if is_root else (CAPTURES, offset)
        for callee in _callees(simplified):
            bases[callee] = max(bases[callee], base + own_scratch.used)
        plan.places[function] = places
        plan.area_bytes[function] = top + stack.used
        plan.scratch_bytes = max(plan.scratch_bytes, base + own_scratch.used)
    return plan


def deepest_stack(functions: list[Simplified], frame_bytes: dict[Function, int]) -> int:
    """The bytes of stack that the deepest chain of calls takes, as the verifier counts."""
    rounding = SUBPROG_STACK_ROUNDING
    depth: dict[Function, int] = {}
    for simplified in reversed(call_order(functions)):
        own = max(rounding, -(-frame_bytes[simplified.function] // rounding) * rounding)
        depth[simplified.function] = own + max((depth[callee] for callee in _callees(simplified)), default=0)
    return depth[functions[0].function]
