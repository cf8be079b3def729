"""Where a C function's arguments are when it is entered, from its signature.

Sources: System V ABI, AMD64 supplement, section 3.2.3 (classes; structs above 16 bytes in memory); Procedure Call Standard for
the Arm 64-bit Architecture, section 6.8.2 (structs above 16 bytes by reference). Floating-point arguments are in
registers that programs do not see, so they are left out; so are structs passed by value.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..base.ctype import Array, CType, Float, Function, Pointer, Struct
from ..base.place import NamedValue, Place, Register, StackArgument
from ..kernel.target import ArchTable

_VECTOR_REGISTERS = 8


def entry_arguments(function: Function, arch: ArchTable) -> tuple[NamedValue, ...]:
    """The arguments that sit in general registers or on the stack, up to the first whose place is not certain."""
    values: list[NamedValue] = []
    registers = [arch.registers[name] for name in arch.arguments]
    used, vectors, stack = 0, 0, arch.stack_argument_offset
    for name, t in function.parameters:
        if isinstance(t, Float):
            vectors += 1
            if t.size > 8 or vectors > _VECTOR_REGISTERS:
                return tuple(values)
            continue
        if isinstance(t, (Struct, Array)):
            if any(isinstance(leaf, Float) for leaf in _leaves(t)):
                return tuple(values)
            needs = -(-t.size // 8)
            if t.size > 16 and arch.name == "aarch64":
                values.append(NamedValue(name, Pointer(t), Register(registers[used]))) if used < len(
                    registers
                ) else None
                used += 1
            elif t.size > 16 or used + needs > len(registers):
                stack += 8 * needs
            else:
                used += needs
            continue
        place: Place
        if used < len(registers):
            place = Register(registers[used], t.size)
            used += 1
        else:
            place = StackArgument(stack, user=True, size=t.size)
            stack += 8
        values.append(NamedValue(name, t, place))
    return tuple(values)


def _leaves(t: CType) -> Iterator[CType]:
    if isinstance(t, Struct):
        for field in t.fields:
            yield from _leaves(field.type)
    elif isinstance(t, Array):
        yield from _leaves(t.element)
    else:
        yield t
