"""The control flow of a function: which blocks there are, what leads to them, and in which order they lie."""

from __future__ import annotations

from ..ir import ops
from ..ir.ops import Block, Op

_SPLIT_OPS = 2000  # longer blocks are cut, so that a jump island can stand between the pieces


def targets(block: Block) -> tuple[Block, ...]:
    """Where `block` leads to."""
    last = block.ops[-1]
    if type(last) is ops.Jump:
        return (last.target,)
    if type(last) is ops.Branch:
        return (last.then, last.otherwise)
    return ()


def copy_blocks(blocks: list[Block]) -> list[Block]:
    """New blocks with new lists of the same operations; terminators are new and lead to the new blocks."""
    twins = {block: Block(block.number) for block in blocks}
    for block, twin in twins.items():
        twin.ops = block.ops[:]
        twin.ops[-1] = _retarget(block.ops[-1], twins)
    return list(twins.values())


def _retarget(op: Op, twins: dict[Block, Block]) -> Op:
    if type(op) is ops.Jump:
        return ops.Jump(op.span, twins[op.target])
    if type(op) is ops.Branch:
        return ops.Branch(op.span, op.op, op.left, op.right, twins[op.then], twins[op.otherwise], op.bits)
    return op


def _final_target(block: Block, thread: dict[Block, Block]) -> Block:
    """Where a jump to `block` ends up when blocks that only jump on are skipped."""
    path = []
    seen = set()
    while block not in seen:
        known = thread.get(block)
        if known is not None:
            block = known
            break
        first = block.ops[0]
        if type(first) is not ops.Jump or first.target is block:
            break
        seen.add(block)
        path.append(block)
        block = first.target
    for passed in path:
        thread[passed] = block
    return block


def _thread_jumps(blocks: list[Block]) -> None:
    """Let jumps go to their final target; a jump to a block that only exits becomes that exit."""
    thread: dict[Block, Block] = {}
    for block in blocks:
        last = block.ops[-1]
        if type(last) is ops.Jump:
            target = _final_target(last.target, thread)
            first = target.ops[0]
            block.ops[-1] = first if type(first) is ops.Exit else ops.Jump(last.span, target)
        elif type(last) is ops.Branch:
            last.then = _final_target(last.then, thread)
            last.otherwise = _final_target(last.otherwise, thread)
            if last.then is last.otherwise:
                block.ops[-1] = ops.Jump(last.span, last.then)


def _reachable(blocks: list[Block]) -> list[Block]:
    """The blocks that the first one leads to, in the order they had."""
    seen = {blocks[0]}
    pending = [blocks[0]]
    while pending:
        for target in targets(pending.pop()):
            if target not in seen:
                seen.add(target)
                pending.append(target)
    return [block for block in blocks if block in seen]


def predecessors(blocks: list[Block]) -> dict[Block, list[Block]]:
    """The blocks that lead to each block (twice when both sides of a branch do)."""
    result: dict[Block, list[Block]] = {block: [] for block in blocks}
    for block in blocks:
        for target in targets(block):
            result[target].append(block)
    return result


def _merge_chains(blocks: list[Block]) -> list[Block]:
    """Append to each block what it jumps to when nothing else leads there."""
    before = predecessors(blocks)
    entry = blocks[0]
    gone: set[Block] = set()
    for block in blocks:
        if block in gone:
            continue
        while True:
            last = block.ops[-1]
            if type(last) is not ops.Jump:
                break
            target = last.target
            if target is entry or target is block or len(before[target]) != 1:
                break
            block.ops.pop()
            block.ops.extend(target.ops)
            gone.add(target)
    return [block for block in blocks if block not in gone]


def tidy(blocks: list[Block]) -> list[Block]:
    """Thread jumps, drop what cannot be reached, join chains. Changes the blocks in place; gives the list to go on with."""
    _thread_jumps(blocks)
    return _merge_chains(_reachable(blocks))


def with_plain_entry(blocks: list[Block]) -> list[Block]:
    """The same blocks, with a new first one if anything jumps back to the first."""
    first = blocks[0]
    if all(target is not first for block in blocks for target in targets(block)):
        return blocks
    count = next(index for index, op in enumerate(first.ops) if type(op) is not ops.Parameter)
    entry = Block(0, [*first.ops[:count], ops.Jump(first.ops[count].span, first)])
    first.ops = first.ops[count:]
    return [entry, *blocks]


def in_topological_order(blocks: list[Block]) -> list[Block]:
    """The same list when no edge but a loop's goes backwards, else a reverse post order."""
    position = {block: index for index, block in enumerate(blocks)}
    if all(position[target] > position[block] for block in blocks for target in targets(block)):
        return blocks
    order: list[Block] = []
    seen = {blocks[0]}
    stack = [(blocks[0], iter(sorted(targets(blocks[0]), key=position.__getitem__, reverse=True)))]
    while stack:
        block, following = stack[-1]
        for target in following:
            if target not in seen:
                seen.add(target)
                stack.append((target, iter(sorted(targets(target), key=position.__getitem__, reverse=True))))
                break
        else:
            order.append(block)
            stack.pop()
    order.reverse()
    return order


def split_long(blocks: list[Block]) -> list[Block]:
    """Cut overlong blocks into pieces that fall through to each other."""
    if all(len(block.ops) <= _SPLIT_OPS for block in blocks):
        return blocks
    result = []
    for block in blocks:
        rest = block.ops
        piece = block
        result.append(piece)
        while len(rest) > _SPLIT_OPS:
            following = Block(block.number)
            piece.ops = [*rest[:_SPLIT_OPS], ops.Jump(rest[_SPLIT_OPS - 1].span, following)]
            rest = rest[_SPLIT_OPS:]
            piece = following
            piece.ops = rest
            result.append(piece)
    return result
