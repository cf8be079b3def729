"""What an expression becomes: a value in a register, a place in memory, or something that writes itself where it is wanted."""

from __future__ import annotations

from collections.abc import Callable

from ..base.ctype import VOID, CType, Space
from ..base.record import record
from ..ir.ops import Base, Value


@record(frozen=True)
class Scalar:
    """A 64-bit value: sign- or zero-extended as its type says, or a constant."""

    value: Value
    type: CType


@record(frozen=True)
class Mem:
    """`type.size` bytes at base+offset. Space.BPF can be loaded directly; KERNEL and USER must be probe-read.

    A bit-field has `bit_size` bits from bit `bit_offset` of the unit at `offset`.
    """

    base: Base
    offset: int
    type: CType
    space: Space
    bit_offset: int = 0
    bit_size: int = 0

    def at(self, offset: int, t: CType, bit_offset: int = 0, bit_size: int = 0) -> Mem:
        """The part of type `t` at `offset` inside this one."""
        return Mem(self.base, self.offset + offset, t, self.space, bit_offset, bit_size)


@record(frozen=True)
class Deferred:
    """A value that `into` writes to a place in BPF memory (of its size or the place's). With the flag false it may leave
    garbage behind string terminators.
    """

    type: CType
    into: Callable[[Mem, bool], None]


@record(frozen=True)
class Nothing:
    """No value."""

    type: CType = VOID


Operand = Scalar | Mem | Deferred | Nothing
