"""Instruction selection: IR operations to eBPF instructions, with registers taken from regalloc as they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..bpf import isa
from ..bpf.helpers import HELPERS
from ..ir import ops
from ..ir.ops import Base, Block, Op, Reg, Slot, Value
from .fold import fits_s32, signed
from .layout import Body
from .lineinfo import Lines
from .liveness import SCRATCH, Places
from .regalloc import LOAD_WORD, MOV_X, STORE_WORD, Insn, Registers

_ALU64 = {name: code for name, (code, _) in isa.ALU_OPERATIONS.items()}
_ALU_OFFSET = {name: offset for name, (_, offset) in isa.ALU_OPERATIONS.items()}
_COMMUTATIVE = frozenset({"add", "mul", "and", "or", "xor"})
_ZERO_COPIES = frozenset({"add", "sub", "or", "xor", "lsh", "rsh", "arsh"})
_MOV32_X = isa.ALU | isa.MOV | isa.X
_LSH_K, _ARSH_K = isa.ALU64 | isa.K | _ALU64["lsh"], isa.ALU64 | isa.K | _ALU64["arsh"]
_GOTO = isa.JMP | isa.JA
_EXIT = isa.JMP | isa.EXIT
_CALL = isa.JMP | isa.CALL
_S16 = range(-0x8000, 0x8000)


class Selector:
    """Writes the blocks of one function into `body`."""

    def __init__(
        self,
        body: Body,
        registers: Registers,
        places: Places,
        meetings: dict[Block, set[Reg]],
        *,
        cpu_v4: bool,
        releases: bool,
        big_endian: bool,
    ) -> None:
        self.body = body
        self.code = body.code
        self.registers = registers
        self.places = places
        self.meetings = meetings  # blocks that several ways lead to -> what is alive there
        self.cpu_v4 = cpu_v4
        self.releases = releases
        self.swap_source = isa.TO_LE if big_endian else isa.TO_BE
        self.lines: Lines = []
        self.kfuncs: list[tuple[int, str]] = []
        self.position = 0
        self.next_block: Block | None = None

    def write(self, operations: Sequence[Op], next_block: Block | None) -> None:
        """The operations of a block; `next_block` is the one that will follow it in the code."""
        self.next_block = next_block
        handlers, lines, code = _HANDLERS, self.lines, self.code
        span = None
        for position, op in enumerate(operations):
            if op.span is not span:
                span = op.span
                lines.append((len(code), span))
            self.position = position
            handlers[type(op)](self, op)

    # -- operands -----------------------------------------------------------------------------------------------

    def _place(self, base: Base, offset: int) -> tuple[int, int, Reg]:
        """(machine register, offset, register to consume) for an access."""
        if isinstance(base, Slot):
            base, distance = self.places[base]
            offset += distance
        number = self.registers.fetch(base)
        if offset in _S16:
            return number, offset, base
        moved = self.registers.temporary()
        self.registers.add_to(moved, number, offset)
        return moved, 0, base

    def _operand(self, value: Value) -> int:
        """A machine register with the value."""
        if isinstance(value, int):
            return self.registers.constant(value)
        return self.registers.fetch(value)

    def _consume(self, *values: object) -> None:
        for value in values:
            if isinstance(value, Reg):
                self.registers.consume(value, self.position)

    # -- arithmetic ---------------------------------------------------------------------------------------------

    def move(self, op: ops.Move) -> None:
        registers, dst, src = self.registers, op.dst, op.src
        if isinstance(src, int):
            number = registers.target(dst)
            registers.load_constant(number, src)
            registers.define(dst, number)
            return
        held = registers.place.get(src)
        if held is None:
            number = registers.target(dst)
            registers.materialise(src, number)
            registers.consume(src, self.position)
            registers.define(dst, number)
            return
        registers.pinned = 1 << held
        dead = registers.consume(src, self.position)
        number = registers.target(dst, held if dead and src not in registers.home else None)
        registers.unpin()
        if number != held:
            self.code.append((MOV_X, number, held, 0, 0))
        registers.define(dst, number)

    def alu(self, op: ops.Alu) -> None:
        registers, dst, left, right = self.registers, op.dst, op.left, op.right
        name = op.op
        if isinstance(right, int) and op.bits == 32:
            right = signed(right, 32)
        a = registers.fetch(left) if isinstance(left, Reg) else -1
        by_immediate = name == "neg" or (isinstance(right, int) and fits_s32(right))
        b = -1 if by_immediate else self._operand(right)
        a_is_dead = registers.consume(left, self.position) if isinstance(left, Reg) else False
        if isinstance(right, Reg) and not by_immediate:
            registers.consume(right, self.position)
        reuse = a if a >= 0 and (a_is_dead or left is dst) and left not in registers.home else None
        number = registers.target(dst, reuse)
        if op.bits == 32 and by_immediate and right == 0 and name in _ZERO_COPIES and a >= 0:
            self.code.append((_MOV32_X, number, a, 0, 0))
        else:
            self._two_address(op, number, a, b, right if isinstance(right, int) and by_immediate else 0)
        registers.unpin()
        registers.define(dst, number)

    def _two_address(self, op: ops.Alu, number: int, a: int, b: int, immediate: int) -> None:
        """number = a op b, where a < 0 means the constant `op.left` and b < 0 the immediate."""
        name, code, registers = op.op, self.code, self.registers
        if number == b and number != a:
            if name in _COMMUTATIVE and a >= 0:
                a, b = b, a
            else:
                registers.pinned |= 1 << number
                moved = registers.temporary()
                code.append((MOV_X, moved, b, 0, 0))
                b = moved
        if a < 0:
            assert isinstance(op.left, int)
            registers.load_constant(number, op.left)
        elif number != a:
            code.append((MOV_X, number, a, 0, 0))
        kind = isa.ALU64 if op.bits == 64 else isa.ALU
        if b >= 0:
            code.append((kind | _ALU64[name] | isa.X, number, b, _ALU_OFFSET[name], 0))
        else:
            code.append((kind | _ALU64[name] | isa.K, number, 0, _ALU_OFFSET[name], 0 if name == "neg" else immediate))

    def byte_swap(self, op: ops.ByteSwap) -> None:
        registers = self.registers
        held = registers.fetch(op.src)
        dead = registers.consume(op.src, self.position)
        number = registers.target(op.dst, held if dead and op.src not in registers.home else None)
        if number != held:
            self.code.append((MOV_X, number, held, 0, 0))
        self.code.append((isa.ALU | isa.END | self.swap_source, number, 0, 0, op.bits))
        registers.unpin()
        registers.define(op.dst, number)

    # -- memory -------------------------------------------------------------------------------------------------

    def load(self, op: ops.Load) -> None:
        registers = self.registers
        base, offset, read = self._place(op.base, op.offset)
        registers.consume(read, self.position)
        self._consume(op.base)
        registers.unpin()
        number = registers.target(op.dst)
        size = isa.SIZE_OF_BYTES[op.size]
        if op.signed and op.size < 8:
            if self.cpu_v4:
                self.code.append((isa.LDX | isa.MEMSX | size, number, base, offset, 0))
            else:
                shift = 64 - 8 * op.size
                self.code.append((isa.LDX | isa.MEM | size, number, base, offset, 0))
                self.code.append((_LSH_K, number, 0, 0, shift))
                self.code.append((_ARSH_K, number, 0, 0, shift))
        else:
            self.code.append((isa.LDX | isa.MEM | size, number, base, offset, 0))
        registers.define(op.dst, number)

    def store(self, op: ops.Store) -> None:
        registers, value, size = self.registers, op.value, isa.SIZE_OF_BYTES[op.size]
        base, offset, read = self._place(op.base, op.offset)
        if isinstance(value, int) and (op.size < 8 or fits_s32(value)):
            immediate = signed(value, 8 * op.size) if op.size < 4 else signed(value, 32)
            self.code.append((isa.ST | isa.MEM | size, base, 0, offset, immediate))
        else:
            number = self._operand(value)
            self.code.append((isa.STX | isa.MEM | size, base, number, offset, 0))
        self._consume(read, op.base, value)
        registers.unpin()

    def atomic(self, op: ops.Atomic) -> None:
        registers = self.registers
        if op.expected is not None:
            self._compare_exchange(op)
            return
        base, offset, read = self._place(op.base, op.offset)
        value = registers.fetch(op.value)
        opcode = isa.STX | isa.ATOMIC | isa.SIZE_OF_BYTES[op.size]
        operation = isa.ATOMIC_OPERATIONS[op.op]
        if op.dst is None:
            self.code.append((opcode, base, value, offset, operation))
            self._consume(read, op.base, op.value)
            registers.unpin()
            return
        self._consume(read, op.base, op.value)
        moved = registers.temporary()
        self.code.append((MOV_X, moved, value, 0, 0))
        self.code.append((opcode, base, moved, offset, operation | isa.FETCH))
        self._result(op.dst, moved)

    def _result(self, dst: Reg, held: int) -> None:
        """`dst` gets what an instruction left in `held`, a register that nothing else wants."""
        registers = self.registers
        registers.unpin()
        number = registers.target(dst, held)
        if number != held:
            self.code.append((MOV_X, number, held, 0, 0))
        registers.define(dst, number)

    def _compare_exchange(self, op: ops.Atomic) -> None:
        registers = self.registers
        assert op.expected is not None and op.dst is not None
        registers.clear(0)
        registers.pinned = 1
        base, offset, read = self._place(op.base, op.offset)
        value = registers.fetch(op.value)
        expected = registers.fetch(op.expected)
        self.code.append((MOV_X, 0, expected, 0, 0))
        self._consume(read, op.base, op.value, op.expected)
        opcode = isa.STX | isa.ATOMIC | isa.SIZE_OF_BYTES[op.size]
        self.code.append((opcode, base, value, offset, isa.ATOMIC_OPERATIONS["cmpxchg"]))
        self._result(op.dst, 0)

    # -- calls --------------------------------------------------------------------------------------------------

    def helper(self, op: ops.CallHelper) -> None:
        self._pass_arguments(op.args)
        self.code.append((_CALL, 0, isa.CALL_HELPER, 0, HELPERS[op.helper].number))
        self._after_call(op.dst)

    def kfunc(self, op: ops.CallKfunc) -> None:
        self._pass_arguments(op.args)
        self.kfuncs.append((len(self.code), op.kfunc))
        self.code.append((_CALL, 0, isa.CALL_KFUNC, 0, 0))
        self._after_call(op.dst)

    def _after_call(self, dst: Reg | None) -> None:
        registers = self.registers
        if dst is not None and registers.is_alive(dst):
            number = registers.target(dst, 0)
            if number != 0:
                self.code.append((MOV_X, number, 0, 0, 0))
            registers.define(dst, number)

    def _pass_arguments(self, args: tuple[Value, ...]) -> None:
        """Put the arguments into r1 up; what is wanted after the call leaves r0 to r5."""
        registers = self.registers
        registers.calls.pop()
        moves: dict[int, int] = {}
        later: list[tuple[int, Value]] = []
        adds: list[tuple[int, int]] = []
        loads: list[tuple[int, int]] = []
        sources = []
        for number, arg in enumerate(args, 1):
            held = None
            if isinstance(arg, Reg):
                held = registers.place.get(arg)
                if held is None:
                    held = self._passed_by_base(arg, number, adds, loads)
            if held is None:
                later.append((number, arg))
            else:
                moves[number] = held
                sources.append(held)
        for number in moves:
            self._consume(args[number - 1])
        registers.pinned = sum(1 << held for held in set(sources) if held < 10)
        registers.leave_caller_saved()
        registers.unpin()
        self._move_in_parallel(moves)
        for number, distance in loads:
            self.code.append((LOAD_WORD, number, number, distance, 0))
        for number, distance in adds:
            self.code.append((isa.ALU64 | isa.K, number, 0, 0, distance))
        registers.clobber_caller_saved()
        for number, value in later:
            if isinstance(value, int):
                registers.load_constant(number, value)
            else:
                registers.materialise(value, number)
        for _, value in later:
            self._consume(value)

    def _passed_by_base(
        self, arg: Reg, number: int, adds: list[tuple[int, int]], loads: list[tuple[int, int]]
    ) -> int | None:
        """The register to move when `arg` is made from one that is at hand; notes what is to be done afterwards."""
        registers = self.registers
        source = registers.derived.get(arg)
        if source is not None:
            held = registers.place.get(source[0])
            if held is not None and source[1]:
                adds.append((number, source[1]))
            return held
        source = registers.loaded.get(arg)
        if source is not None:
            held = registers.place.get(source[0])
            if held is not None:
                loads.append((number, source[1]))
            return held
        return None

    def _move_in_parallel(self, moves: dict[int, int]) -> None:
        """All of dst <- src at once; r0 is free to break cycles among r1 to r5."""
        pending = {dst: src for dst, src in moves.items() if dst != src}
        while pending:
            wanted = set(pending.values())
            ready = [dst for dst in pending if dst not in wanted]
            if not ready:
                broken = next(iter(pending))
                self.code.append((MOV_X, 0, broken, 0, 0))
                for dst, src in pending.items():
                    if src == broken:
                        pending[dst] = 0
                continue
            for dst in ready:
                self.code.append((MOV_X, dst, pending.pop(dst), 0, 0))

    # -- control ------------------------------------------------------------------------------------------------

    def _before_leaving(self, target: Block) -> None:
        if self.registers.narrowed and target in self.meetings:
            self.registers.store_narrowed(self.meetings[target])

    def jump(self, op: ops.Jump) -> None:
        self._before_leaving(op.target)
        if op.target is not self.next_block:
            self._goto(op.target)

    def _goto(self, target: Block) -> None:
        self.body.jumps.append((len(self.code), target))
        self.code.append((_GOTO, 0, 0, 0, 0))

    def branch(self, op: ops.Branch) -> None:
        registers, right = self.registers, op.right
        self._before_leaving(op.then)
        self._before_leaving(op.otherwise)
        a = self._operand(op.left)
        if isinstance(right, int) and op.bits == 32:
            right = signed(right, 32)
        kind = isa.JMP if op.bits == 64 else isa.JMP32
        if isinstance(right, int) and fits_s32(right):
            compare = (kind | isa.K, a, 0, right)
        else:
            compare = (kind | isa.X, a, self._operand(right), 0)
        self._consume(op.left, op.right)
        registers.unpin()
        name, then, otherwise = op.op, op.then, op.otherwise
        for value in (op.left, op.right):
            if isinstance(value, Reg):
                registers.narrow(value)
        stores_then, stores_otherwise = self._learnt_stores(op, then), self._learnt_stores(op, otherwise)
        swap = (stores_then and not stores_otherwise) or (then is self.next_block and not stores_otherwise)
        if swap and name in isa.INVERSE_JUMP:
            name, then, otherwise = isa.INVERSE_JUMP[name], otherwise, then
            stores_then, stores_otherwise = stores_otherwise, stores_then
        opcode, dst, src, immediate = compare
        at = len(self.code)
        self.code.append((opcode | isa.JUMP_OPERATIONS[name], dst, src, 0, immediate))
        self.code.extend(stores_otherwise)
        if stores_then or otherwise is not self.next_block:
            self._goto(otherwise)
        if not stores_then:
            self.body.jumps.append((at, then))
            return
        self.code[at] = (opcode | isa.JUMP_OPERATIONS[name], dst, src, len(self.code) - at - 1, immediate)
        self.code.extend(stores_then)
        if then is not self.next_block:
            self._goto(then)

    def _learnt_stores(self, op: ops.Branch, target: Block) -> list[Insn]:
        """What to store on the way to a meeting, so that stack words know what the comparison taught."""
        meeting = self.meetings.get(target)
        if meeting is None:
            return []
        registers = self.registers
        stores = []
        for value in (op.left, op.right):
            if isinstance(value, Reg) and value in meeting and value in registers.homes.words:
                number = registers.place.get(value)
                if number is not None:
                    stores.append((STORE_WORD, isa.FP, number, registers.homes.words[value], 0))
        return stores

    def exit(self, op: ops.Exit) -> None:
        registers = self.registers
        value = registers.fetch(op.value) if isinstance(op.value, Reg) else -1
        if self.releases:
            base = registers.fetch(SCRATCH)
            self.code.append((isa.ST | isa.MEM | isa.DW, base, 0, 0, 0))
        if isinstance(op.value, int):
            registers.load_constant(0, op.value)
        elif value:
            self.code.append((MOV_X, 0, value, 0, 0))
        self.code.append((_EXIT, 0, 0, 0, 0))
        registers.unpin()


_HANDLERS: dict[type[Op], Callable[..., None]] = {
    ops.Move: Selector.move,
    ops.Alu: Selector.alu,
    ops.ByteSwap: Selector.byte_swap,
    ops.Load: Selector.load,
    ops.Store: Selector.store,
    ops.Atomic: Selector.atomic,
    ops.CallHelper: Selector.helper,
    ops.CallKfunc: Selector.kfunc,
    ops.Jump: Selector.jump,
    ops.Branch: Selector.branch,
    ops.Exit: Selector.exit,
}
