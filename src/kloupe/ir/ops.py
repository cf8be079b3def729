"""Operations of the IR. A virtual register holds 64 bits; a slot is memory of the program's frame.

A function is a list of blocks, a block a list of operations that ends in one terminator (Jump, Branch, Exit).
Registers are not in SSA form: one may be written in several blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..base.source import Span


@dataclass(frozen=True, slots=True, eq=False)
class Reg:
    """A virtual register; compared by identity."""

    number: int

    def __repr__(self) -> str:
        return f"%{self.number}"


@dataclass(slots=True, eq=False)
class Slot:
    """Frame memory of the program: on the BPF stack when small, else in claimed scratch memory (codegen/frame decides).

    A `captured` slot belongs to the whole program: callbacks see it too. Others belong to the function that made them.
    Slots of one function whose uses do not overlap may share memory; what a slot holds before its first store is undefined.
    """

    number: int
    size: int
    align: int
    captured: bool
    name: str = ""

    def __repr__(self) -> str:
        return f"${self.number}{'.' + self.name if self.name else ''}"


Value = Reg | int
Base = Reg | Slot


@dataclass(slots=True)
class Op:
    """Root of operations."""

    span: Span


@dataclass(slots=True)
class Move(Op):
    """dst = src (a register or a 64-bit constant)."""

    dst: Reg
    src: Value


@dataclass(slots=True)
class Alu(Op):
    """dst = left op right, `bits` 64 or 32 (32 zero-extends). op: add sub mul div mod and or xor lsh rsh arsh sdiv smod neg.

    `neg` ignores right.
    """

    op: str
    dst: Reg
    left: Value
    right: Value
    bits: int = 64


@dataclass(slots=True)
class ByteSwap(Op):
    """dst = src with its low `bits` (16, 32, 64) byte-swapped and zero-extended."""

    dst: Reg
    src: Reg
    bits: int


@dataclass(slots=True)
class Load(Op):
    """dst = the `size` bytes at base+offset, zero- or sign-extended."""

    dst: Reg
    base: Base
    offset: int
    size: int
    signed: bool = False


@dataclass(slots=True)
class Store(Op):
    """The low `size` bytes of `value` to base+offset."""

    base: Base
    offset: int
    size: int
    value: Value


@dataclass(slots=True)
class Atomic(Op):
    """An atomic operation on `size` (4 or 8) bytes at base+offset. op: add and or xor xchg cmpxchg.

    With `dst` it fetches the old value (xchg and cmpxchg always do). cmpxchg compares with `expected`.
    """

    op: str
    base: Base
    offset: int
    size: int
    value: Reg
    dst: Reg | None = None
    expected: Reg | None = None


@dataclass(slots=True)
class Address(Op):
    """dst = address of slot + offset."""

    dst: Reg
    slot: Slot
    offset: int = 0


@dataclass(slots=True)
class Context(Op):
    """dst = the program's context pointer (in callbacks too)."""

    dst: Reg


@dataclass(slots=True)
class Captures(Op):
    """dst = the pointer to hand to bpf_loop or bpf_for_each_map_elem as the callback's context."""

    dst: Reg


@dataclass(slots=True)
class Parameter(Op):
    """dst = argument `index` of a callback function (only at its start)."""

    dst: Reg
    index: int


@dataclass(slots=True)
class MapHandle(Op):
    """dst = the map `name` (for helper calls)."""

    dst: Reg
    name: str


@dataclass(slots=True)
class MapValue(Op):
    """dst = address of element 0 of array map `name` plus `offset`."""

    dst: Reg
    name: str
    offset: int = 0


@dataclass(slots=True)
class FunctionRef(Op):
    """dst = a reference to a callback, for helpers."""

    dst: Reg
    function: Function


@dataclass(slots=True)
class CallHelper(Op):
    """dst = helper(args), at most five arguments; `helper` is a row of bpf/helpers.py."""

    dst: Reg | None
    helper: str
    args: tuple[Value, ...]


@dataclass(slots=True)
class CallKfunc(Op):
    """dst = a kernel function exported to BPF, by name."""

    dst: Reg | None
    kfunc: str
    args: tuple[Value, ...]


@dataclass(slots=True)
class Jump(Op):
    """Go to `target`."""

    target: Block


@dataclass(slots=True)
class Branch(Op):
    """Go to `then` if left op right else to `otherwise`. op: eq ne lt le gt ge (unsigned) slt sle sgt sge set (left & right)."""

    op: str
    left: Value
    right: Value
    then: Block
    otherwise: Block
    bits: int = 64


@dataclass(slots=True)
class Exit(Op):
    """Leave the function with `value`."""

    value: Value


@dataclass(slots=True, eq=False)
class Block:
    """A basic block; the last operation is its terminator."""

    number: int
    ops: list[Op] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"b{self.number}"


@dataclass(slots=True, eq=False)
class Function:
    """The program itself (`parameters` 1: the context) or a callback (bpf_loop 2, bpf_for_each_map_elem 4: `context_index` says which is ours)."""

    name: str
    parameters: int
    context_index: int
    blocks: list[Block] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class ProgramIR:
    """All functions of one program, main first."""

    name: str
    functions: list[Function]
    captured: list[Slot] = field(default_factory=list)
