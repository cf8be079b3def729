"""Operations of the IR. A virtual register holds 64 bits; a slot is memory of the program's frame.

A function is a list of blocks, a block a list of operations that ends in one terminator (Jump, Branch, Exit).
Registers are not in SSA form: one may be written in several blocks.
"""

from __future__ import annotations

from ..base.record import field, record
from ..base.source import Span


@record(frozen=True, eq=False)
class Reg:
    """A virtual register; compared by identity."""

    number: int

    def __repr__(self) -> str:
        return f"%{self.number}"


@record(eq=False)
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


@record
class Op:
    """Root of operations."""

    span: Span


@record
class Move(Op):
    """dst = src (a register or a 64-bit constant)."""

    dst: Reg
    src: Value


@record
class Alu(Op):
    """dst = left op right, `bits` 64 or 32 (32 zero-extends). op: add sub mul div mod and or xor lsh rsh arsh sdiv smod neg.

    `neg` ignores right.
    """

    op: str
    dst: Reg
    left: Value
    right: Value
    bits: int = 64


@record
class ByteSwap(Op):
    """dst = src with its low `bits` (16, 32, 64) byte-swapped and zero-extended."""

    dst: Reg
    src: Reg
    bits: int


@record
class Load(Op):
    """dst = the `size` bytes at base+offset, zero- or sign-extended."""

    dst: Reg
    base: Base
    offset: int
    size: int
    signed: bool = False


@record
class Store(Op):
    """The low `size` bytes of `value` to base+offset."""

    base: Base
    offset: int
    size: int
    value: Value


@record
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


@record
class Address(Op):
    """dst = address of slot + offset."""

    dst: Reg
    slot: Slot
    offset: int = 0


@record
class Context(Op):
    """dst = the program's context pointer (in callbacks too)."""

    dst: Reg


@record
class Captures(Op):
    """dst = the pointer to hand to bpf_loop or bpf_for_each_map_elem as the callback's context."""

    dst: Reg


@record
class Parameter(Op):
    """dst = argument `index` of a callback function (only at its start)."""

    dst: Reg
    index: int


@record
class MapHandle(Op):
    """dst = the map `name` (for helper calls)."""

    dst: Reg
    name: str


@record
class MapValue(Op):
    """dst = address of element 0 of array map `name` plus `offset`."""

    dst: Reg
    name: str
    offset: int = 0


@record
class FunctionRef(Op):
    """dst = a reference to a callback, for helpers."""

    dst: Reg
    function: Function


@record
class CallHelper(Op):
    """dst = helper(args), at most five arguments; `helper` is a row of bpf/helpers.py."""

    dst: Reg | None
    helper: str
    args: tuple[Value, ...]


@record
class CallKfunc(Op):
    """dst = a kernel function exported to BPF, by name."""

    dst: Reg | None
    kfunc: str
    args: tuple[Value, ...]


@record
class Jump(Op):
    """Go to `target`."""

    target: Block


@record
class Branch(Op):
    """Go to `then` if left op right else to `otherwise`. op: eq ne lt le gt ge (unsigned) slt sle sgt sge set (left & right)."""

    op: str
    left: Value
    right: Value
    then: Block
    otherwise: Block
    bits: int = 64


@record
class Exit(Op):
    """Leave the function with `value`."""

    value: Value


@record(eq=False)
class Block:
    """A basic block; the last operation is its terminator."""

    number: int
    ops: list[Op] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"b{self.number}"


@record(eq=False)
class Function:
    """The program itself (`parameters` 1: the context) or a callback (bpf_loop 2, bpf_for_each_map_elem 4: `context_index` says which is ours)."""

    name: str
    parameters: int
    context_index: int
    blocks: list[Block] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)


@record(eq=False)
class ProgramIR:
    """All functions of one program, main first."""

    name: str
    functions: list[Function]
    captured: list[Slot] = field(default_factory=list)
