"""Where the members of structs and unions sit: System V ABI, x86-64 psABI 3.1.2 and AAPCS64 5.9, 10.1.8 (both LP64)."""

from __future__ import annotations

from collections.abc import Iterable

from ..base.ctype import CType, Field
from ..base.layout import align_up
from ..base.record import record


@record(frozen=True)
class Member:
    """A member before it is placed: `width` is a bit-field's bits (None: no bit-field), `align` an `aligned(N)` in bytes."""

    name: str
    type: CType
    decl: str = ""
    width: int | None = None
    align: int = 0
    packed: bool = False


def place_members(
    members: Iterable[Member], *, union: bool = False, packed: bool = False, align: int = 0, machine: str = "x86_64"
) -> tuple[int, int, tuple[Field, ...]]:
    """(size in bytes, alignment, fields with their offsets).

    A bit-field lies in a unit of its declared type that it does not cross (unless packed); `T : 0` closes the unit. An
    unnamed bit-field does not raise the alignment on x86-64, but does on AArch64 (AAPCS64 10.1.8.2).
    """
    bits = size_bits = 0
    whole = 1
    fields: list[Field] = []
    for member in members:
        tight = packed or member.packed
        step = max(1 if tight else member.type.align, member.align)
        if union:
            bits = 0
        if member.width is None:
            whole = max(whole, step)
            bits = align_up(bits, 8 * step)
            fields.append(Field(member.name, member.type, bits // 8, decl=member.decl))
            bits += 8 * member.type.size
        else:
            bits = _start_of_bits(member, bits, tight)
            if member.name or machine == "aarch64":
                whole = max(whole, step)
            if member.name:
                fields.append(_bit_field(member, bits))
            bits += member.width
        size_bits = max(size_bits, bits)
    whole = max(whole, align)
    return align_up(align_up(size_bits, 8) // 8, whole), whole, tuple(fields)


def _start_of_bits(member: Member, bits: int, tight: bool) -> int:
    unit = 8 * max(1, member.type.size)
    width = member.width or 0
    if member.align:
        bits = align_up(bits, 8 * member.align)
    if width == 0:
        return align_up(bits, unit)
    crosses = bits // unit != (bits + width - 1) // unit
    return align_up(bits, unit) if crosses and not tight else bits


def _bit_field(member: Member, bits: int) -> Field:
    width = member.width or 0
    unit = 8 * max(1, member.type.size)
    offset, bit = bits // unit * member.type.size, bits % unit
    if bit + width > unit:  # packed: the unit is the bytes it lies in
        offset, bit = bits // 8, bits % 8
    return Field(member.name, member.type, offset, bit, width, member.decl)
