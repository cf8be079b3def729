"""Control and data flow of one eBPF function: blocks, dominators, live registers, constants. No Python text yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...bpf import isa
from ...bpf.check import reads_and_writes, successors
from ...bpf.insn import Instruction

MASK64 = (1 << 64) - 1
ARGUMENTS = 0b111110  # r1 to r5
CLOBBERED = 0b111111  # r0 to r5, by a call

Constants = tuple[int | None, ...]  # the value of each register r0 to r10, None: not known


class Block:
    """Instructions `start` to `end` (exclusive, in slots), the last one at `last`; `targets` are the starts of what may follow.

    A conditional jump has two targets: not taken, taken.
    """

    __slots__ = ("constants", "end", "last", "live_in", "live_out", "sources", "start", "targets")

    def __init__(self, start: int, end: int, last: int, targets: tuple[int, ...]) -> None:
        self.start, self.end, self.last = start, end, last
        self.targets = targets
        self.sources: list[int] = []
        self.live_in = self.live_out = 0
        self.constants: Constants | None = None  # at its start; None: never reached


def insn_steps(code: Sequence[Instruction], start: int, end: int) -> list[int]:
    """The indices of the instructions in a range, second slots left out."""
    steps = []
    index = start
    while index < end:
        steps.append(index)
        index += 2 if code[index].is_wide else 1
    return steps


def _split(code: Sequence[Instruction], entry: int) -> dict[int, Block]:
    """The blocks that can be reached from `entry`, by start."""
    leaders, reached, pending = {entry}, set(), [entry]
    while pending:
        index = pending.pop()
        if index in reached:
            continue
        reached.add(index)
        following = successors(code, index)
        is_jump = code[index].instruction_class in (isa.JMP, isa.JMP32)
        if is_jump and code[index].opcode != isa.JMP | isa.CALL:
            leaders.update(following)
        pending.extend(following)
    blocks: dict[int, Block] = {}
    for leader in leaders:
        index = leader
        while True:
            following = successors(code, index)
            if len(following) != 1 or following[0] in leaders:
                break
            index = following[0]
        # A conditional jump to the next instruction has one target only.
        targets = following if len(set(following)) > 1 else following[:1]
        blocks[leader] = Block(leader, index + (2 if code[index].is_wide else 1), index, targets)
    for block in blocks.values():
        for target in block.targets:
            blocks[target].sources.append(block.start)
    return blocks


def reverse_postorder(entry: int, targets: Callable[[int], Sequence[int]]) -> list[int]:
    """The nodes reachable from `entry`, each before what follows it where there is no loop."""
    order: list[int] = []
    seen = {entry}
    stack = [(entry, iter(targets(entry)))]
    while stack:
        node, rest = stack[-1]
        for target in rest:
            if target not in seen:
                seen.add(target)
                stack.append((target, iter(targets(target))))
                break
        else:
            order.append(node)
            stack.pop()
    order.reverse()
    return order


def immediate_dominators(order: Sequence[int], sources: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """node -> the nearest other node on every path from order[0] (itself for order[0]).

    Source: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm".
    """
    place = {node: index for index, node in enumerate(order)}
    above: dict[int, int] = {order[0]: order[0]}

    def common(a: int, b: int) -> int:
        while a != b:
            while place[a] > place[b]:
                a = above[a]
            while place[b] > place[a]:
                b = above[b]
        return a

    changed = True
    while changed:
        changed = False
        for node in order[1:]:
            known = [source for source in sources[node] if source in above]
            best = known[0]
            for source in known[1:]:
                best = common(best, source)
            if above.get(node) != best:
                above[node] = best
                changed = True
    return above


_NOTHING = (None,) * 6
_EXIT = -1  # the node behind every exit, for post-dominance


class Flow:
    """The flow of the function that starts at `entry`.

    `call_arguments(index)` gives the mask of registers that the call there reads; `constant(index)` what the
    64-bit load there gives (None: not known); `initial` what is known at the start.
    """

    def __init__(
        self,
        code: Sequence[Instruction],
        entry: int,
        call_arguments: Callable[[int], int],
        constant: Callable[[int], int | None],
        initial: Constants,
    ) -> None:
        self.code = code
        self.entry = entry
        self._call_arguments = call_arguments
        self._constant = constant
        self._uses: dict[int, tuple[int, int]] = {}
        self._steps: dict[int, list[int]] = {}
        self.blocks = _split(code, entry)
        self.order = reverse_postorder(entry, lambda node: self.blocks[node].targets)
        self.dominator = immediate_dominators(self.order, {b.start: b.sources for b in self.blocks.values()})
        self.join = self._post_dominators()
        # Starts of blocks that are jumped to from behind: every loop passes one. -> slots from there to the jump.
        self.loops: dict[int, int] = {}
        for block in self.blocks.values():
            for target in block.targets:
                if target <= block.last:
                    self.loops[target] = max(self.loops.get(target, 0), block.end - target)
        self._find_live()
        self._find_constants(initial)

    def _post_dominators(self) -> dict[int, int]:
        exits = [block.start for block in self.blocks.values() if not block.targets]
        followers: dict[int, list[int]] = {
            block.start: list(block.targets) or [_EXIT] for block in self.blocks.values()
        }
        order = reverse_postorder(_EXIT, lambda node: exits if node == _EXIT else self.blocks[node].sources)
        return immediate_dominators(order, followers)

    def uses(self, index: int) -> tuple[int, int]:
        """Masks of the registers that an instruction reads and writes (or spoils)."""
        known = self._uses.get(index)
        if known is None:
            insn = self.code[index]
            if insn.opcode == isa.JMP | isa.CALL:
                known = self._call_arguments(index), CLOBBERED
            elif insn.imm == isa.LOAD_ACQUIRE and insn.opcode & ~isa.SIZE_MASK == isa.STX | isa.ATOMIC:
                known = 1 << insn.src, 1 << insn.dst  # the one STX that loads
            else:
                known = reads_and_writes(insn)
            self._uses[index] = known
        return known

    def steps(self, block: Block) -> list[int]:
        """The indices of a block's instructions."""
        known = self._steps.get(block.start)
        if known is None:
            known = self._steps[block.start] = insn_steps(self.code, block.start, block.end)
        return known

    def live_before(self, block: Block) -> int:
        """Registers that are read before they are written from the start of `block`, given what is live at its end."""
        live = block.live_out
        for index in reversed(self.steps(block)):
            reads, writes = self.uses(index)
            live = live & ~writes | reads
        return live

    def _find_live(self) -> None:
        pending = list(self.order)
        while pending:
            block = self.blocks[pending.pop()]
            block.live_out = 0
            for target in block.targets:
                block.live_out |= self.blocks[target].live_in
            before = self.live_before(block)
            if before != block.live_in:
                block.live_in = before
                pending.extend(block.sources)

    def step(self, index: int, known: list[int | None]) -> None:
        """What is known after an instruction, given (and changing) what is known before."""
        insn = self.code[index]
        _, writes = self.uses(index)
        value: int | None = None
        if insn.opcode == isa.LD_IMM64:
            value = self._constant(index)
        elif insn.instruction_class == isa.ALU64 and insn.off == 0:
            operand = known[insn.src] if insn.opcode & isa.SOURCE_MASK else insn.imm & MASK64
            operation = insn.opcode & isa.OPERATION_MASK
            old = known[insn.dst]
            if operation == isa.MOV:
                value = operand
            elif old is not None and operand is not None and operation == isa.ALU_OPERATIONS["add"][0]:
                value = old + operand & MASK64
        if writes == CLOBBERED:
            known[:6] = _NOTHING
        elif writes:
            known[writes.bit_length() - 1] = value

    def _find_constants(self, initial: Constants) -> None:
        self.blocks[self.entry].constants = initial
        pending = [self.entry]
        while pending:
            block = self.blocks[pending.pop()]
            assert block.constants is not None
            known = list(block.constants)
            for index in self.steps(block):
                self.step(index, known)
            for target in block.targets:
                old = self.blocks[target].constants
                new = (
                    tuple(known)
                    if old is None
                    else tuple(a if a == b else None for a, b in zip(old, known, strict=True))
                )
                if new != old:
                    self.blocks[target].constants = new
                    pending.append(target)
