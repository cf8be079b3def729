"""One program to one Python module: a Python function for each eBPF function, registers as its local variables.

Straight code, if/else and early exits become the same in Python; what does not nest (loops, cross jumps) becomes a
`while True` that dispatches on the number of a block. Addresses known here (the stack, values of array maps) become
indexing; other loads and stores look their region up by the address's upper half. Anything out of bounds raises a
plain KeyError, IndexError or struct.error, which faults.py turns into a ProgramFault through the line's instruction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...base.errors import InternalError
from ...bpf import isa
from ...bpf.check import check_program
from ...bpf.insn import Instruction
from ...image import ProgramSpec
from . import templates
from .binding import Binding
from .core import Core
from .emit import Emitter, register
from .flow import CLOBBERED, MASK64, Block, Flow
from .maps import Map

_SHORT_EXIT_SLOTS = 12  # a block of at most so many that ends the function is copied to where it is jumped to
_MAX_DEPTH = 70  # Python allows 100 levels of indentation
_MAX_ROUNDS = 5  # of nesting; then every block with several sources is dispatched to
_MAX_ARGUMENTS = 5
_INVERSE = "not ({})"
_UNWRITTEN = "not written on every path"


class Translation(NamedTuple):
    """A program ready to run: `run(context address)` gives r0. `origin[line]` is the instruction of a line of `text`."""

    run: Callable[[int], int]
    filename: str
    text: str
    origin: list[int]
    code: list[Instruction]
    spec: ProgramSpec
    frames: dict[int, int]  # start of a function -> what its r10 is


def translate_program(spec: ProgramSpec, core: Core, maps: dict[str, Map]) -> Translation:
    """Translate all functions of a program. Raises InternalError when it is not well-formed eBPF."""
    binding = Binding(spec, core, maps)
    starts = sorted({0, *(info.start_insn for info in spec.functions), *binding.called()})
    # Reads of unwritten registers are found when they happen.
    problems = [
        p for p in check_program(binding.code, [(start, _MAX_ARGUMENTS) for start in starts]) if _UNWRITTEN not in p
    ]
    if problems:
        raise InternalError(f"program {spec.name} is not well-formed: {problems[0]}")
    lines, origin = [""], [0, 0]
    done: set[int] = set()
    pending = [0]
    while pending:
        entry = pending.pop()
        if entry in done:
            continue
        done.add(entry)
        function = _Function(binding, binding.flow(entry))
        function.emit()
        pending += function.emitter.references
        lines += [line for line, _ in function.out]
        origin += [index for _, index in function.out]
    text = "\n".join(lines)
    filename = f"<ebpf {spec.name}>"
    exec(compile(text, filename, "exec"), binding.names)
    for entry, handle in binding.callbacks.items():
        core.functions[handle] = binding.names[f"f{entry}"]
    return Translation(binding.names["f0"], filename, text, origin, binding.code, spec, binding.frames)


class _Function:
    """Emits one function."""

    def __init__(self, program: Binding, flow: Flow) -> None:
        self.program, self.flow = program, flow
        self.code = program.code
        self.emitter = Emitter(program, flow)
        self.out: list[tuple[str, int]] = []
        self.labels: dict[int, int] = {}  # start of a block -> its number in the dispatcher
        self.wanted: set[int] = set()
        self._texts: dict[int, list[tuple[str, int]]] = {}  # lines of a block, not indented

    def emit(self) -> None:
        """The function's text in `out`: lines with the instruction each is of."""
        entry, flow = self.flow.entry, self.flow
        wanted = {entry, *flow.loops}
        rounds = 0
        while wanted:  # again with more labels, until nothing jumps to a block that is not one
            rounds += 1
            if rounds == _MAX_ROUNDS:
                wanted.update(block.start for block in flow.blocks.values() if len(block.sources) > 1)
            self.labels = {start: number for number, start in enumerate(sorted({*self.labels, *wanted}))}
            self.out, self.wanted = [], set()
            self._function(entry)
            wanted = self.wanted

    def _line(self, depth: int, text: str, index: int) -> None:
        self.out.append((" " * depth + text, index))

    def _function(self, entry: int) -> None:
        count = self.program.parameters(entry) if entry else 1
        parameters = ", ".join(f"r{n}" for n in range(1, count + 1))
        self._line(0, f"def f{entry}({parameters}{', *_' if parameters else '*_'}):", entry)
        if entry:
            self._charge(1, max(block.end for block in self.flow.blocks.values()) - entry, entry)
        if len(self.labels) == 1 and entry not in self.flow.loops:
            self._region(entry, None, 1)
            return
        self._line(1, "b = 0", entry)
        self._line(1, "while True:", entry)
        self._dispatch(list(self.labels), 0, len(self.labels), 2)

    def _charge(self, depth: int, slots: int, index: int) -> None:
        self._line(depth, f"B[0] -= {slots}", index)
        self._line(depth, "if B[0] < 0: core.over_limit()", index)

    def _dispatch(self, labels: list[int], low: int, high: int, depth: int) -> None:
        """Choose among labels low to high (exclusive) by the number in b, by halves."""
        if high - low == 1:
            label = labels[low]
            if label in self.flow.loops:
                self._charge(depth, self.flow.loops[label], label)
            self._region(label, None, depth)
            return
        middle = (low + high) // 2
        index = labels[middle]
        self._line(depth, f"if b < {middle}:", index)
        self._dispatch(labels, low, middle, depth + 1)
        self._line(depth, "else:", index)
        self._dispatch(labels, middle, high, depth + 1)

    def _is_short_exit(self, start: int) -> bool:
        block = self.flow.blocks[start]
        return not block.targets and block.end - block.start <= _SHORT_EXIT_SLOTS

    def _needs_label(self, target: int, depth: int) -> bool:
        """Whether the way to `target` is a jump through the dispatcher, rather than its text right here."""
        if target in self.labels:
            return True
        if self._is_short_exit(target) or (len(self.flow.blocks[target].sources) == 1 and depth < _MAX_DEPTH):
            return False
        self.wanted.add(target)
        return True

    def _region(self, start: int, follow: int | None, depth: int) -> bool:
        """The text from a block on, up to exits, dispatched jumps and `follow`. True when control can run on into `follow`."""
        while True:
            block = self.flow.blocks[start]
            self._block(block, depth)
            if not block.targets:
                return False
            if len(block.targets) == 1:
                target = block.targets[0]
            else:
                next_start, falls = self._branch(block, follow, depth)
                if next_start is None:
                    return falls
                target = next_start
                if falls:  # the join of the two arms: its text follows here, however many jump to it
                    start = target
                    continue
            if target == follow:
                return True
            if self._needs_label(target, depth):
                self._jump(target, block.last, depth)
                return False
            start = target

    def _jump(self, target: int, index: int, depth: int) -> None:
        self._line(depth, f"b = {self.labels.get(target, 0)}; continue", index)

    def _arm(self, target: int, follow: int | None, depth: int, index: int) -> tuple[list[tuple[str, int]], bool]:
        """The lines of one side of a branch, and whether it runs on into `follow`."""
        if target == follow:
            return [], True
        outer, self.out = self.out, []
        if self._needs_label(target, depth):
            self._jump(target, index, depth)
            falls = False
        else:
            falls = self._region(target, follow, depth)
        lines, self.out = self.out, outer
        return lines, falls

    def _branch(self, block: Block, follow: int | None, depth: int) -> tuple[int | None, bool]:
        """Both sides of a conditional jump. Gives (where the text goes on, whether as a join), or (None, falls into follow)."""
        other, taken = block.targets
        join = self.flow.join.get(block.start)
        is_join = (
            join in self.flow.blocks
            and join != follow
            and join not in self.labels
            and self.flow.dominator.get(join) == block.start
        )
        inner = join if is_join else follow
        condition = self._condition(block)
        if other != inner and (other in self.labels or self._is_short_exit(other)) and taken != inner:
            condition, taken, other = _INVERSE.format(condition), other, taken
        lines, falls = self._arm(taken, inner, depth + 1, block.last)
        if not falls:
            self._line(depth, f"if {condition}:", block.last)
            self.out += lines
            return (other, False) if other != inner or not is_join else (other, True)
        rest, rest_falls = self._arm(other, inner, depth + 1, block.last)
        if lines:
            self._line(depth, f"if {condition}:", block.last)
            self.out += lines
            if rest:
                self._line(depth, "else:", block.last)
                self.out += rest
        elif rest:
            self._line(depth, f"if {_INVERSE.format(condition)}:", block.last)
            self.out += rest
        return (join, True) if is_join else (None, falls or rest_falls)

    def _condition(self, block: Block) -> str:
        insn = self.code[block.last]
        wide = insn.instruction_class == isa.JMP
        name = templates.JUMP_NAMES[insn.opcode & isa.OPERATION_MASK]
        known = list(block.constants or ())
        left = register(insn.dst, known)
        mask = MASK64 if wide else 0xFFFFFFFF
        right = register(insn.src, known) if insn.opcode & isa.SOURCE_MASK else str(insn.imm & mask)
        if not wide:
            left = f"({left} & {templates.M32})"
            right = f"({right} & {templates.M32})" if insn.opcode & isa.SOURCE_MASK else right
        return templates.JUMP[name].format(a=left, b=right, sign=templates.S64 if wide else templates.S32)

    def _block(self, block: Block, depth: int) -> None:
        lines = self._texts.get(block.start)
        if lines is None:
            lines = self._texts[block.start] = self._block_lines(block)
        indent = " " * depth
        self.out += [(indent + text, index) for text, index in lines]

    def _block_lines(self, block: Block) -> list[tuple[str, int]]:
        known = list(block.constants or [None] * 11)
        steps = self.flow.steps(block)
        live = self._live_after_calls(block, steps)
        lines = []
        for index in steps:
            lines += [(text, index) for text in self.emitter.lines(index, known)]
            self.flow.step(index, known)
            spoiled = live.get(index, 0)
            if spoiled:  # read later although a call spoils them: unbind, so that the read is seen
                names = [f"r{n}" for n in range(1, 6) if spoiled >> n & 1]
                lines.append((f"{' = '.join(names)} = 0; del {', '.join(names)}", index))
        return lines

    def _live_after_calls(self, block: Block, steps: list[int]) -> dict[int, int]:
        result = {}
        live = block.live_out
        for index in reversed(steps):
            if self.code[index].opcode == isa.JMP | isa.CALL:
                result[index] = live & CLOBBERED & ~1
            reads, writes = self.flow.uses(index)
            live = live & ~writes | reads
        return result
