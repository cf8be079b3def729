"""Call stacks from registers and memory, by call frame information or else by frame pointers.

Stack operations: DWARF 5, section 2.5.1; frame records: AAPCS64 section 6.4.6 and the System V ABI for AMD64, section 3.2.2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from . import eh_frame
from .eh_frame import FrameTable, Row

_MASK = (1 << 64) - 1
_CODE_BITS = (1 << 48) - 1  # aarch64 signs return addresses in the bits above
_OPERANDS = {0x08: "<B", 0x09: "<b", 0x0A: "<H", 0x0B: "<h", 0x0C: "<I", 0x0D: "<i", 0x0E: "<Q", 0x0F: "<q", 0x03: "<Q"}
_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda a, b: a & b,
    0x1C: lambda a, b: a - b,
    0x1E: lambda a, b: a * b,
    0x21: lambda a, b: a | b,
    0x22: lambda a, b: a + b,
    0x24: lambda a, b: a << (b & 63),
    0x25: lambda a, b: a >> (b & 63),
    0x29: lambda a, b: int(a == b),
    0x2A: lambda a, b: int(a >= b),
    0x2B: lambda a, b: int(a > b),
    0x2C: lambda a, b: int(a <= b),
    0x2D: lambda a, b: int(a < b),
}

# address -> (frame table or None, what to subtract to get the file's address), or None for no code
Locate = Callable[[int], tuple[FrameTable | None, int] | None]
Read = Callable[[int], int | None]  # 8 bytes of memory as a number


class Layout:
    """Numbers of an architecture's registers in DWARF: stack pointer, frame pointer, program counter (never saved by itself)."""

    def __init__(self, arch: str) -> None:
        self.is_x86 = arch == "x86_64"
        self.sp, self.fp = (7, 6) if self.is_x86 else (31, 29)


def unwind(
    registers: dict[int, int], pc: int, layout: Layout, locate: Locate, read: Read, limit: int = 127
) -> tuple[int, ...]:
    """The stack's code addresses, innermost first. `registers` by DWARF number."""
    frames = [pc]
    exact = True  # pc is where the code stopped, not where it will return to
    while len(frames) < limit:
        found = locate(pc if exact else pc - 1)
        row = None
        if found is not None and found[0] is not None:
            row = found[0].row((pc if exact else pc - 1) - found[1])
        step = _by_row(row, registers, layout, read) if row is not None else _by_pointer(registers, layout, read)
        if step is None:
            break
        caller, above = step
        moved = above[layout.sp] - registers[layout.sp]
        if not caller or moved < 0 or (moved == 0 and not exact):
            break
        pc, registers = caller, above
        exact = row is not None and row.is_signal
        if locate(pc if exact else pc - 1) is None:
            break
        frames.append(pc)
    return tuple(frames)


def _by_pointer(registers: dict[int, int], layout: Layout, read: Read) -> tuple[int, dict[int, int]] | None:
    base = registers.get(layout.fp, 0)
    if base < registers[layout.sp] or base % 8:
        return None
    saved, caller = read(base), read(base + 8)
    if saved is None or caller is None:
        return None
    above = dict(registers)
    above[layout.fp], above[layout.sp] = saved, base + 16
    return caller if layout.is_x86 else caller & _CODE_BITS, above


def _by_row(row: Row, registers: dict[int, int], layout: Layout, read: Read) -> tuple[int, dict[int, int]] | None:
    if row.expression:
        base = evaluate(row.expression, registers, read)
    else:
        register = registers.get(row.register)
        base = register + row.offset & _MASK if register is not None else None
    if base is None:
        return None
    above = dict(registers)
    above[layout.sp] = base
    for number, (kind, value) in row.rules.items():
        found = _restored(kind, value, base, registers, read)
        if found is None:
            above.pop(number, None)
        else:
            above[number] = found
    caller = above.get(row.return_register)
    if caller is None or (layout.is_x86 and row.return_register not in row.rules):
        return None
    return caller if layout.is_x86 else caller & _CODE_BITS, above


def _restored(kind: int, value: int | bytes, base: int, registers: dict[int, int], read: Read) -> int | None:
    if isinstance(value, bytes):
        found = evaluate(value, registers, read, base)
        return read(found) if kind == eh_frame.EXPRESSION and found is not None else found
    if kind == eh_frame.OFFSET:
        return read(base + value & _MASK)
    if kind == eh_frame.VALUE_OFFSET:
        return base + value & _MASK
    return registers.get(value) if kind == eh_frame.REGISTER else None


def evaluate(code: bytes, registers: dict[int, int], read: Read, *initial: int) -> int | None:
    """What a DWARF expression leaves on top; None when something in it is not known."""
    stack, at = list(initial), 0
    try:
        while at < len(code):
            opcode = code[at]
            at += 1
            if 0x30 <= opcode <= 0x4F:
                stack.append(opcode - 0x30)
            elif 0x70 <= opcode <= 0x8F:
                offset, at = eh_frame.Reader(code).sleb(at)
                stack.append(registers[opcode - 0x70] + offset & _MASK)
            elif opcode in _OPERANDS:
                form = struct.Struct(_OPERANDS[opcode])
                stack.append(form.unpack_from(code, at)[0] & _MASK)
                at += form.size
            elif opcode in _BINARY:
                right, left = stack.pop(), stack.pop()
                stack.append(_BINARY[opcode](left, right) & _MASK)
            elif opcode == 0x06:  # deref
                value = read(stack.pop())
                if value is None:
                    return None
                stack.append(value)
            elif opcode == 0x23:  # plus_uconst
                amount, at = eh_frame.Reader(code).uleb(at)
                stack.append(stack.pop() + amount & _MASK)
            elif opcode == 0x12:
                stack.append(stack[-1])
            elif opcode == 0x13:
                stack.pop()
            elif opcode == 0x14:
                stack.append(stack[-2])
            elif opcode == 0x16:
                stack[-1], stack[-2] = stack[-2], stack[-1]
            elif opcode != 0x96:  # nop
                return None
        return stack[-1]
    except (IndexError, KeyError, struct.error):
        return None
