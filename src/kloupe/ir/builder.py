"""Builds IR: the only way in which lowering makes operations. Keeps the current function, block and span."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..base.source import NOWHERE, Span
from . import ops
from .ops import Base, Block, Function, ProgramIR, Reg, Slot, Value


class Builder:
    """Writes one program. `reg()` names a value, every other method appends an operation at the current place."""

    def __init__(self, name: str) -> None:
        self.program = ProgramIR(name, [])
        self.span: Span = NOWHERE
        self._registers = 0
        self._slots = 0
        self._blocks = 0
        self.function = self._new_function(name, 1, 0)
        self._block: Block | None = None
        self.start(self.block())

    # -- structure ----------------------------------------------------------------------------------------------

    def _new_function(self, name: str, parameters: int, context_index: int) -> Function:
        function = Function(name, parameters, context_index)
        self.program.functions.append(function)
        return function

    @contextmanager
    def callback(self, name: str, parameters: int, context_index: int) -> Iterator[Function]:
        """Write a callback function inside the `with`; afterwards writing goes on where it was."""
        saved = (self.function, self._block)
        self.function = self._new_function(name, parameters, context_index)
        self.start(self.block())
        try:
            yield self.function
        finally:
            self.function, self._block = saved

    @contextmanager
    def at(self, span: Span) -> Iterator[None]:
        """Operations made inside the `with` belong to `span`."""
        saved, self.span = self.span, span
        try:
            yield
        finally:
            self.span = saved

    def block(self) -> Block:
        """A new, empty block, not yet placed."""
        self._blocks += 1
        return Block(self._blocks)

    @property
    def in_root(self) -> bool:
        """Whether the program's main function is being written."""
        return self.function is self.program.functions[0]

    @property
    def at_entry(self) -> bool:
        """Whether the block that comes before all others is being written."""
        return self.in_root and self._block is self.function.blocks[0]

    def start(self, block: Block) -> None:
        """Place `block` at the end of the function and go on writing in it."""
        self.function.blocks.append(block)
        self._block = block

    @property
    def is_open(self) -> bool:
        """False right after a terminator: what is written now can never run."""
        return self._block is not None

    def _add(self, op: ops.Op) -> None:
        if self._block is None:
            self.start(self.block())
        assert self._block is not None
        self._block.ops.append(op)

    def _end(self, op: ops.Op) -> None:
        self._add(op)
        self._block = None

    # -- values -------------------------------------------------------------------------------------------------

    def reg(self) -> Reg:
        """A fresh virtual register."""
        self._registers += 1
        return Reg(self._registers)

    def slot(self, size: int, align: int = 8, *, captured: bool = False, name: str = "") -> Slot:
        """Fresh frame memory."""
        self._slots += 1
        slot = Slot(self._slots, size, align, captured, name)
        (self.program.captured if captured else self.function.slots).append(slot)
        return slot

    def const(self, value: int) -> Reg:
        """A register that holds `value`."""
        dst = self.reg()
        self._add(ops.Move(self.span, dst, value))
        return dst

    def move(self, dst: Reg, src: Value) -> None:
        """dst = src."""
        self._add(ops.Move(self.span, dst, src))

    def alu(self, op: str, left: Value, right: Value, bits: int = 64) -> Reg:
        """A register with `left op right`; see ops.Alu."""
        dst = self.reg()
        self._add(ops.Alu(self.span, op, dst, left, right, bits))
        return dst

    def byte_swap(self, src: Reg, bits: int) -> Reg:
        """The low `bits` of `src` byte-swapped."""
        dst = self.reg()
        self._add(ops.ByteSwap(self.span, dst, src, bits))
        return dst

    def extend(self, value: Reg, size: int, signed: bool) -> Reg:
        """The low `size` bytes of `value`, zero- or sign-extended to 64 bits."""
        if size >= 8:
            return value
        if not signed and size == 4:
            return self.alu("add", value, 0, bits=32)
        shift = 64 - 8 * size
        return self.alu("arsh" if signed else "rsh", self.alu("lsh", value, shift), shift)

    # -- memory -------------------------------------------------------------------------------------------------

    def load(self, base: Base, offset: int, size: int, signed: bool = False) -> Reg:
        """A register with the `size` bytes at base+offset."""
        dst = self.reg()
        self._add(ops.Load(self.span, dst, base, offset, size, signed))
        return dst

    def store(self, base: Base, offset: int, size: int, value: Value) -> None:
        """Store the low bytes of `value`."""
        self._add(ops.Store(self.span, base, offset, size, value))

    def atomic(
        self,
        op: str,
        base: Base,
        offset: int,
        size: int,
        value: Reg,
        *,
        fetch: bool = False,
        expected: Reg | None = None,
    ) -> Reg | None:
        """An atomic operation; gives the old value when it fetches."""
        dst = self.reg() if fetch or op in ("xchg", "cmpxchg") else None
        self._add(ops.Atomic(self.span, op, base, offset, size, value, dst, expected))
        return dst

    def address(self, slot: Slot, offset: int = 0) -> Reg:
        """A pointer into `slot`."""
        dst = self.reg()
        self._add(ops.Address(self.span, dst, slot, offset))
        return dst

    # -- references ---------------------------------------------------------------------------------------------

    def context(self) -> Reg:
        """The program's context pointer."""
        dst = self.reg()
        self._add(ops.Context(self.span, dst))
        return dst

    def captures(self) -> Reg:
        """The context to hand to a callback."""
        dst = self.reg()
        self._add(ops.Captures(self.span, dst))
        return dst

    def parameter(self, index: int) -> Reg:
        """Argument `index` of the current callback."""
        dst = self.reg()
        self._add(ops.Parameter(self.span, dst, index))
        return dst

    def map(self, name: str) -> Reg:
        """A map handle."""
        dst = self.reg()
        self._add(ops.MapHandle(self.span, dst, name))
        return dst

    def map_value(self, name: str, offset: int = 0) -> Reg:
        """The address of an array map's first element plus `offset`."""
        dst = self.reg()
        self._add(ops.MapValue(self.span, dst, name, offset))
        return dst

    def function_ref(self, function: Function) -> Reg:
        """A callback reference."""
        dst = self.reg()
        self._add(ops.FunctionRef(self.span, dst, function))
        return dst

    def call(self, helper: str, *args: Value) -> Reg:
        """Call a BPF helper; gives its result."""
        return self.call_own(helper, *args)

    def call_own(self, helper: str, *args: Value) -> Reg:
        """Call a BPF helper that only works on the program's own memory: recordings need not know its answer."""
        dst = self.reg()
        self._add(ops.CallHelper(self.span, dst, helper, args))
        return dst

    def call_kfunc(self, kfunc: str, *args: Value) -> Reg:
        """Call a kernel function exported to BPF; gives its result."""
        dst = self.reg()
        self._add(ops.CallKfunc(self.span, dst, kfunc, args))
        return dst

    # -- control ------------------------------------------------------------------------------------------------

    def jump(self, target: Block) -> None:
        """End the block: go to `target`."""
        if self.is_open:
            self._end(ops.Jump(self.span, target))

    def branch(self, op: str, left: Value, right: Value, then: Block, otherwise: Block, bits: int = 64) -> None:
        """End the block: go to `then` if left op right, else to `otherwise`."""
        if self.is_open:
            self._end(ops.Branch(self.span, op, left, right, then, otherwise, bits))

    def exit(self, value: Value = 0) -> None:
        """End the block: leave the function."""
        if self.is_open:
            self._end(ops.Exit(self.span, value))
