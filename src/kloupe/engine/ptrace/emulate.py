"""Instructions that stand where breakpoints are set: done without running them, or known to do the same at another place.

Both ways no other thread has to be stopped. x86-64 encodings: Intel SDM volume 2. Unknown instructions are stepped in their place.
"""

from __future__ import annotations

from collections.abc import Callable

from .records import RegisterFile

Write = Callable[[int, bytes], bool]
Read = Callable[[int, int], bytes]
Changes = dict[str, int]

# Register numbers of an x86-64 instruction, by their names in pt_regs.
_NAMES = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di", *(f"r{n}" for n in range(8, 16)))
_ENDBR = b"\xf3\x0f\x1e\xfa"
_PLAIN_HINTS = {0xD503_201F, 0xD503_241F, 0xD503_245F, 0xD503_249F, 0xD503_24DF}  # nop, bti, bti c, bti j, bti jc
_CF, _PF, _AF, _ZF, _SF, _OF = 0x1, 0x4, 0x10, 0x40, 0x80, 0x800
_SIGN, _MASK = 1 << 63, (1 << 64) - 1


def emulate(
    arch: str, code: bytes, at: int, registers: Callable[[str], int], read: Read, write: Write
) -> Changes | None:
    """Do the instruction `code` (at least 16 bytes if there are) at address `at`; the registers it changes, or None."""
    if arch == "aarch64":
        word = int.from_bytes(code[:4], "little")
        return {"pc": at + 4} if word in _PLAIN_HINTS else None
    return _x86_64(code, at, registers, read, write)


def _x86_64(code: bytes, at: int, registers: Callable[[str], int], read: Read, write: Write) -> Changes | None:
    if code.startswith(_ENDBR):
        return {"ip": at + 4}
    size = _nop_bytes(code)
    if size:
        return {"ip": at + size}
    prefix = code[0] if code[0] & 0xF0 == 0x40 else 0
    body, start = (code[1:], 1) if prefix else (code, 0)
    if body[0] & 0xF8 == 0x50 and prefix in (0, 0x40, 0x41):  # push
        name = _NAMES[(body[0] & 7) + 8 * (prefix & 1)]
        sp = registers("sp") - 8 & _MASK
        return {"sp": sp, "ip": at + start + 1} if write(sp, registers(name).to_bytes(8, "little")) else None
    if prefix & 0x48 == 0x48 and body[0] == 0x89 and body[1] & 0xC0 == 0xC0 and not prefix & 2:  # mov between registers
        source, target = (body[1] >> 3 & 7) + 8 * (prefix >> 2 & 1), (body[1] & 7) + 8 * (prefix & 1)
        return {_NAMES[target]: registers(_NAMES[source]), "ip": at + 3}
    if prefix == 0x48 and body[:2] in (b"\x83\xec", b"\x81\xec"):  # sub sp
        width = 1 if body[0] == 0x83 else 4
        amount = int.from_bytes(body[2 : 2 + width], "little", signed=True)
        value, flags = _subtract(registers("sp"), amount & _MASK, registers("flags"))
        return {"sp": value, "flags": flags, "ip": at + 3 + width}
    return _jump(code, at, registers, read, write)


def _jump(code: bytes, at: int, registers: Callable[[str], int], read: Read, write: Write) -> Changes | None:
    """Returns, and jumps and calls to places relative to the instruction."""
    start = 1 if code[0] in (0xF2, 0xF3) else 0  # prefixes that mean nothing here (bnd, rep ret)
    opcode, sp = code[start], registers("sp")
    if opcode == 0xC3:
        data = read(sp, 8)
        return {"sp": sp + 8 & _MASK, "ip": int.from_bytes(data, "little")} if len(data) == 8 else None
    near = int.from_bytes(code[start + 1 : start + 2], "little", signed=True) + at + start + 2
    far = int.from_bytes(code[start + 1 : start + 5], "little", signed=True) + at + start + 5
    if opcode == 0xE8:
        sp = sp - 8 & _MASK
        return {"sp": sp, "ip": far} if write(sp, (at + start + 5).to_bytes(8, "little")) else None
    if opcode in (0xE9, 0xEB):
        return {"ip": far if opcode == 0xE9 else near}
    if opcode & 0xF0 == 0x70:
        return {"ip": near if _holds(opcode, registers("flags")) else at + start + 2}
    if opcode == 0x0F and code[start + 1] & 0xF0 == 0x80:
        target = int.from_bytes(code[start + 2 : start + 6], "little", signed=True) + at + start + 6
        return {"ip": target if _holds(code[start + 1], registers("flags")) else at + start + 6}
    return None


def _holds(opcode: int, flags: int) -> bool:
    """Whether a conditional jump's condition (its low four bits) holds."""
    carry, zero, sign, overflow = (bool(flags & bit) for bit in (_CF, _ZF, _SF, _OF))
    less = sign != overflow
    conditions = (overflow, carry, zero, carry or zero, sign, bool(flags & _PF), less, less or zero)
    return conditions[opcode >> 1 & 7] != bool(opcode & 1)


# Opcodes that do the same wherever they stand, unless their operand is relative to the instruction pointer.
_PLAIN = frozenset(
    [*range(0x50, 0x60), *range(0xB0, 0xC0), *range(0x91, 0x9A), 0xA8, 0xA9]
    + [row + column for row in range(0, 0x40, 8) for column in (4, 5)]
)
_WITH_OPERAND = frozenset(
    [row + column for row in range(0, 0x40, 8) for column in range(4)]
    + [0x63, 0x69, 0x6B, 0x80, 0x81, 0x83, *range(0x84, 0x8C), 0x8D, 0xC0, 0xC1, 0xC6, 0xC7, 0xD0, 0xD1, 0xD2, 0xD3]
    + [0xF6, 0xF7, 0xFE]
)
_WITH_OPERAND_0F = frozenset(
    (
        *(0x10, 0x11, 0x12, 0x13, 0x16, 0x17, 0x28, 0x29, 0x2A, 0x2C, 0x2D, 0x2E, 0x2F, *range(0x40, 0x50), 0x51, 0x54),
        *(0x57, 0x58, 0x59, 0x5C, 0x5E, 0x6C, 0x6E, 0x6F, 0x70, 0x7E, 0x7F, *range(0x90, 0xA0), 0xAF),
        *(0xB6, 0xB7, 0xBE, 0xBF, 0xD6, 0xEF),
    )
)
_PREFIXES = frozenset((0x66, 0xF2, 0xF3, 0x64, 0x65))


def does_same_elsewhere(arch: str, code: bytes) -> bool:
    """Whether an instruction may be run at another address: it neither jumps nor uses its own address."""
    if arch != "x86_64":
        return False
    at = 0
    while at < 4 and code[at] in _PREFIXES:
        at += 1
    if code[at] & 0xF0 == 0x40:
        at += 1
    opcode = code[at]
    if opcode in _PLAIN:
        return True
    if opcode == 0x0F:
        at += 1
        known = code[at] in _WITH_OPERAND_0F
    else:
        known = opcode in _WITH_OPERAND
    return known and code[at + 1] & 0xC7 != 0x05  # memory relative to the instruction pointer


def _nop_bytes(code: bytes) -> int:
    """The length of a no-operation of one or several bytes, or 0."""
    start = 0
    while start < len(code) and code[start] in (0x66, 0x2E):
        start += 1
    if code[start : start + 1] == b"\x90":
        return start + 1
    if code[start : start + 2] != b"\x0f\x1f":
        return 0
    mode, base = code[start + 2] >> 6, code[start + 2] & 7
    size = start + 3 + (0, 1, 4, 0)[mode]
    if mode != 3 and base == 4:  # an index byte
        size += 1 + (4 if mode == 0 and code[start + 3] & 7 == 5 else 0)
    elif mode == 0 and base == 5:
        size += 4
    return size


def _subtract(value: int, amount: int, flags: int) -> tuple[int, int]:
    """(value - amount, flags afterwards)."""
    result = value - amount & _MASK
    flags &= ~(_CF | _PF | _AF | _ZF | _SF | _OF)
    flags |= _CF if value < amount else 0
    flags |= _PF if bin(result & 0xFF).count("1") % 2 == 0 else 0
    flags |= _AF if (value ^ amount ^ result) & 0x10 else 0
    flags |= _ZF if result == 0 else 0
    flags |= _SF if result & _SIGN else 0
    flags |= _OF if (value ^ amount) & (value ^ result) & _SIGN else 0
    return result, flags


def apply(file: RegisterFile, registers: bytes, changes: Changes) -> bytes:
    """The registers after the changes."""
    return file.changed(registers, {file.arch.registers[name]: value for name, value in changes.items()})
