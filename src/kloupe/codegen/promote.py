"""Slots that are only ever loaded and stored whole become registers."""

from __future__ import annotations

from ..ir import ops
from ..ir.ops import Block, Op, Reg, Slot


def _promotable(blocks: list[Block], slots: set[Slot]) -> dict[Slot, tuple[int, int]]:
    """Slots whose uses are loads and stores of one and the same place: slot -> (offset, size)."""
    shapes: dict[Slot, tuple[int, int]] = {}
    left = set(slots)
    for block in blocks:
        for op in block.ops:
            if isinstance(op, (ops.Load, ops.Store)):
                if isinstance(op.base, Slot) and op.base in left:
                    shape = (op.offset, op.size)
                    if shapes.setdefault(op.base, shape) != shape:
                        left.discard(op.base)
            elif isinstance(op, ops.Address):
                left.discard(op.slot)
            elif isinstance(op, ops.Atomic) and isinstance(op.base, Slot):
                left.discard(op.base)
    return {slot: shape for slot, shape in shapes.items() if slot in left}


def _read(op: ops.Load, home: Reg, fresh: Reg) -> list[Op]:
    """What stands for a load from a promoted slot."""
    if op.size == 8:
        return [ops.Move(op.span, op.dst, home)]
    if op.size == 4 and not op.signed:
        return [ops.Alu(op.span, "add", op.dst, home, 0, 32)]
    shift = 64 - 8 * op.size
    return [
        ops.Alu(op.span, "lsh", fresh, home, shift),
        ops.Alu(op.span, "arsh" if op.signed else "rsh", op.dst, fresh, shift),
    ]


def promote_slots(blocks: list[Block], slots: list[Slot]) -> set[Slot]:
    """Turn slots into registers where their use allows it; changes the blocks' lists, gives the slots that are gone."""
    shapes = _promotable(blocks, set(slots))
    if not shapes:
        return set()
    homes = {slot: Reg(-slot.number) for slot in shapes}
    for block in blocks:
        result: list[Op] = []
        for op in block.ops:
            if isinstance(op, ops.Load) and isinstance(op.base, Slot) and op.base in homes:
                result += _read(op, homes[op.base], Reg(0))
            elif isinstance(op, ops.Store) and isinstance(op.base, Slot) and op.base in homes:
                result.append(ops.Move(op.span, homes[op.base], op.value))
            else:
                result.append(op)
        block.ops = result
    return set(homes)
