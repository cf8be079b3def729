"""Contexts: bytes laid out as the kernel lays them out for programs."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ...base.ctype import Array, Field
from .facts import Arch

# Kernel addresses that stand for the registers of the call that is under way (what __x64_sys_* functions get).
FAKE_REGISTERS = 0xFFFF_C900_0000_0000
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class RecordLayout:
    """Packs a tracepoint's record from its values in the order of its fields; `__data_loc` texts go behind it."""

    def __init__(self, fields: Sequence[Field]) -> None:
        form, at = "=", 0
        self._texts: list[int] = []  # numbers of the values that are texts behind the record
        for index, each in enumerate(fields):
            size = 4 if each.data_loc else each.type.size
            form += f"{each.offset - at}x" if each.offset > at else ""
            form += _code(each, size)
            at = each.offset + size
            if each.data_loc:
                self._texts.append(index)
        self._struct = struct.Struct(form + "x" * (-at % 8))
        self.pack_plain = self._struct.pack  # for records without texts

    def pack(self, values: Sequence[int | bytes]) -> bytes:
        """The record. Integers must be in range of their field."""
        ready = list(values)
        tail = b""
        for index in self._texts:
            text = values[index]
            assert isinstance(text, bytes)
            place = self._struct.size + len(tail)
            ready[index] = (len(text) + 1) << 16 | place  # include/trace/stages/init.h: length above, offset below
            tail += text + b"\0"
        return self._struct.pack(*ready) + tail


def _code(each: Field, size: int) -> str:
    if isinstance(each.type, Array) and not each.data_loc:
        if each.type.element.size == 1:
            return f"{size}s"
        return f"{each.type.count}{_CODES[each.type.element.size]}"
    signed = bool(getattr(each.type, "signed", False)) and not each.data_loc
    return _CODES[size].lower() if signed else _CODES[size]


class RegisterFile:
    """Builds pt_regs from named registers."""

    def __init__(self, arch: Arch) -> None:
        self.arch = arch
        self.size = max(arch.registers.values()) + 8
        self._slots = {name: offset // 8 for name, offset in arch.registers.items()}
        self._pack = struct.Struct(f"={self.size // 8}Q").pack
        self._arguments = [self._slots[name] for name in arch.syscall_arguments]
        self._number = self._slots.get("orig_ax", self._slots.get("r8", 0))
        self._pc, self._sp = self._slots[arch.instruction_pointer], self._slots[arch.stack_pointer]
        self._result, self._first = self._slots[arch.result], self._slots[arch.arguments[0]]
        self.pc_at, self.sp_at = arch.registers[arch.instruction_pointer], arch.registers[arch.stack_pointer]

    def of_call(self, number: int, arguments: Sequence[int], pc: int, sp: int, result: int = 0) -> bytes:
        """The user's registers in a system call."""
        words = [0] * (self.size // 8)
        words[self._result] = result & 0xFFFF_FFFF_FFFF_FFFF
        words[self._number] = number & 0xFFFF_FFFF_FFFF_FFFF
        for slot, value in zip(self._arguments, arguments, strict=False):
            words[slot] = value
        words[self._pc], words[self._sp] = pc, sp
        return self._pack(*words)

    @property
    def holds_call_number(self) -> bool:
        """Whether the number of the call that is about to begin is one of the registers."""
        return "orig_ax" in self._slots

    def of_refused_call(self, registers: bytes, error: int) -> bytes:
        """The registers at the beginning of a call that is not to be made but fails with `error`."""
        changes = {self.arch.registers[self.arch.result]: -error & 0xFFFF_FFFF_FFFF_FFFF}
        if self.holds_call_number:
            changes[self.arch.registers["orig_ax"]] = 0xFFFF_FFFF_FFFF_FFFF
        return self.changed(registers, changes)

    def of_function(self, argument: int, result: int = 0) -> bytes:
        """The kernel's registers in a function that serves a call: one argument, or a result."""
        words = [0] * (self.size // 8)
        words[self._result] = result & 0xFFFF_FFFF_FFFF_FFFF
        words[self._first] = argument if argument else words[self._first]
        return self._pack(*words)

    def pc(self, registers: bytes) -> int:
        """The instruction pointer."""
        return int.from_bytes(registers[self.pc_at : self.pc_at + 8], "little")

    def sp(self, registers: bytes) -> int:
        """The stack pointer."""
        return int.from_bytes(registers[self.sp_at : self.sp_at + 8], "little")

    def changed(self, registers: bytes, values: dict[int, int]) -> bytes:
        """A copy with the words at some offsets replaced."""
        copy = bytearray(registers)
        for offset, value in values.items():
            copy[offset : offset + 8] = (value & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little")
        return bytes(copy)
