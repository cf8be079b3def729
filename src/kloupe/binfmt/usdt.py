"""USDT probes: the notes that <sys/sdt.h> leaves in an ELF file, and their argument strings.

Format: SystemTap's "User Space Probe Implementation" (the .note.stapsdt layout) and GDB's stap-probe operand forms. An argument is
`SIZE@OPERAND`, SIZE negative for signed; the operand is written as the assembler of the machine does.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from .elf import Elf

_ADDRESSES = struct.Struct("<QQQ")
_OWNER, _TYPE = "stapsdt", 3


class Argument(NamedTuple):
    """One argument: `size` bytes from a constant, a register, or memory at register + offset (+ index * scale).

    Registers have the names of the machine's pt_regs members ("di", "r12"; "r0", "sp"). With `is_memory` and no register the
    address is `offset` alone (an address in the file). Neither constant nor register nor memory: not understood.
    """

    text: str
    size: int
    signed: bool
    constant: int | None = None
    register: str = ""
    is_memory: bool = False
    offset: int = 0
    index_register: str = ""
    scale: int = 1


class Note(NamedTuple):
    """A probe: where its nop is (virtual address, moved if the file was), and its semaphore's address (0: none)."""

    provider: str
    name: str
    address: int
    semaphore: int
    arguments: tuple[Argument, ...]


def read_notes(elf: Elf) -> list[Note]:
    """All USDT notes of a file in order; damaged ones are left out. Raises FormatError for a damaged file."""
    base = elf.section(".stapsdt.base")
    found = []
    for section in elf.sections:
        if section.name != ".note.stapsdt":
            continue
        for owner, kind, data in elf.notes(section):
            parts = data[_ADDRESSES.size :].split(b"\0") if owner == _OWNER and kind == _TYPE else []
            if len(data) < _ADDRESSES.size or len(parts) < 3:
                continue
            address, link_base, semaphore = _ADDRESSES.unpack_from(data)
            moved = base.address - link_base if base is not None and link_base else 0
            provider, name, text = (part.decode("utf-8", "replace") for part in parts[:3])
            arguments = parse_arguments(text, elf.machine)
            found.append(Note(provider, name, address + moved, semaphore + moved if semaphore else 0, arguments))
    return found


# -- argument strings -----------------------------------------------------------------------------------------------

_X86_NAMED = {"ax", "bx", "cx", "dx", "si", "di", "bp", "sp"}

_SPLIT = re.compile(r"\s+(?=-?\d+f?@)")
_FORM = re.compile(r"(?:(?P<size>-?\d+)(?P<float>f)?@)?(?P<operand>.+)", re.S)
_NUMBER = r"[-+]?(?:0x[0-9a-fA-F]+|\d+)"
_X86_CONSTANT = re.compile(rf"\$({_NUMBER})$")
_X86_REGISTER = re.compile(r"%(\w+)$")
_X86_MEMORY = re.compile(
    rf"(?P<disp>(?:[-+]?(?:0x[0-9a-fA-F]+|\d+))*)(?P<symbol>[A-Za-z_.$][\w.$]*)?(?P<more>(?:{_NUMBER})*)"
    r"\((?:%(?P<base>\w+))?(?:,\s*%(?P<index>\w+)(?:,\s*(?P<scale>\d+))?)?\)$"
)
_ARM_CONSTANT = re.compile(rf"#?({_NUMBER})$")
_ARM_REGISTER = re.compile(r"([xw]\d+|sp|wsp|fp|lr|xzr|wzr)$")
_ARM_MEMORY = re.compile(
    rf"\[(?P<base>x\d+|sp|fp|lr)(?:,\s*#?(?P<disp>{_NUMBER})|,\s*(?P<index>[xw]\d+)(?:,\s*(?:lsl|sxtw|uxtw|sxtx)(?:\s+#?(?P<shift>\d+))?)?)?\]$"
)


def parse_arguments(text: str, machine: str) -> tuple[Argument, ...]:
    """The arguments of a note's string for "x86_64" or "aarch64"; without sizes they are 8 bytes."""
    parse = {"x86_64": _x86_operand, "aarch64": _arm_operand}.get(machine)
    found = []
    for part in _SPLIT.split(text.strip()) if "@" in text else text.split():
        form = _FORM.match(part)
        if form is None:
            continue
        size = int(form["size"] or 8)
        plain = Argument(part, min(abs(size), 8), size < 0)
        if abs(size) not in (1, 2, 4, 8) or form["float"] or parse is None:
            found.append(plain)
        else:
            found.append(parse(plain, form["operand"].strip()))
    return tuple(found)


def _x86_name(text: str) -> str:
    """The pt_regs name of an x86_64 register of any width; "" for others (xmm0, st) and for ah, bh, ch, dh."""
    if text in ("rip", "eip"):
        return "ip"
    if len(text) == 3 and text[0] in "re" and text[1:] in _X86_NAMED:
        return text[1:]
    if text in _X86_NAMED:
        return text
    if text[:-1] in _X86_NAMED and text[-1] == "l":  # sil, dil, bpl, spl
        return text[:-1]
    if len(text) == 2 and text[1] == "l" and text[0] + "x" in _X86_NAMED:  # al, bl, cl, dl
        return text[0] + "x"
    number = text[1:].rstrip("dwb")
    if text[:1] == "r" and number.isdigit() and 8 <= int(number) <= 15:
        return f"r{number}"
    return ""


def _integer(text: str) -> int:
    """A number as assemblers write it, decimal or hexadecimal."""
    return int(text, 16 if "x" in text else 10)


def _sum(text: str) -> int:
    return sum(_integer(part) for part in re.findall(r"[-+]?(?:0x[0-9a-fA-F]+|\d+)", text or ""))


def _x86_operand(plain: Argument, operand: str) -> Argument:
    if found := _X86_CONSTANT.match(operand):
        return plain._replace(constant=_integer(found[1]))
    if found := _X86_REGISTER.match(operand):
        return plain._replace(register=_x86_name(found[1]))
    if (found := _X86_MEMORY.match(operand)) and not found["symbol"]:
        base, index = _x86_name(found["base"] or ""), _x86_name(found["index"] or "")
        offset = _sum(found["disp"]) + _sum(found["more"])
        if base or index:
            return plain._replace(
                register=base, is_memory=True, offset=offset, index_register=index, scale=int(found["scale"] or 1)
            )
    return plain


def _arm_name(text: str) -> str:
    if text in ("sp", "wsp"):
        return "sp"
    aliases = {"fp": "r29", "lr": "r30"}
    if text in aliases:
        return aliases[text]
    return f"r{text[1:]}" if text[1:].isdigit() and int(text[1:]) <= 30 else ""


def _arm_operand(plain: Argument, operand: str) -> Argument:
    if found := _ARM_CONSTANT.match(operand):
        return plain._replace(constant=_integer(found[1]))
    if found := _ARM_REGISTER.match(operand):
        if found[1] in ("xzr", "wzr"):
            return plain._replace(constant=0)
        return plain._replace(register=_arm_name(found[1]))
    if found := _ARM_MEMORY.match(operand):
        return plain._replace(
            register=_arm_name(found["base"]),
            is_memory=True,
            offset=_integer(found["disp"] or "0"),
            index_register=_arm_name(found["index"]) if found["index"] else "",
            scale=1 << int(found["shift"] or 0) if found["index"] else 1,
        )
    return plain
