"""Architecture tables."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest

from kloupe.base.errors import NotSupported
from kloupe.kernel.arch import arch_table, parse_syscalls


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_tables_are_whole(machine: str) -> None:
    table = arch_table(machine)
    named = (*table.arguments, *table.syscall_arguments, *table.dwarf_registers)
    assert set(named) | {table.result, table.stack_pointer, table.instruction_pointer} <= table.registers.keys()
    numbers = table.syscall_numbers
    assert len(set(numbers.values())) == len(numbers) > 320
    assert numbers["io_uring_setup"] == 425 and numbers["file_setattr"] == 469 and numbers["listns"] == 470


def test_known_values() -> None:
    x86, arm = arch_table("x86_64"), arch_table("aarch64")
    assert (x86.registers["r15"], x86.registers["di"], x86.registers["ip"], x86.registers["ss"]) == (0, 112, 128, 160)
    assert (x86.syscall_numbers["openat"], x86.syscall_numbers["bpf"], x86.syscall_numbers["rseq"]) == (257, 321, 334)
    assert (arm.registers["r0"], arm.registers["x30"], arm.registers["sp"], arm.registers["pstate"]) == (
        0,
        240,
        248,
        264,
    )
    assert (arm.syscall_numbers["openat"], arm.syscall_numbers["bpf"], arm.syscall_numbers["wait4"]) == (56, 280, 260)
    assert x86.dwarf_registers[7] == "sp" and arm.dwarf_registers[31] == "sp"
    assert arch_table("arm64") is arm


def test_unknown_architecture() -> None:
    with pytest.raises(NotSupported):
        arch_table("vax")


def test_runs() -> None:
    assert parse_syscalls("0: a b 7: c") == {"a": 0, "b": 1, "c": 7}


def test_numbers_agree_with_this_systems_headers() -> None:
    header = Path(f"/usr/include/{platform.machine()}-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("needs the kernel's user-space headers")
    numbers = arch_table(platform.machine()).syscall_numbers
    pairs = re.findall(r"#define __NR_(\w+)\s+(\d+)", header.read_text())
    assert [(n, v) for n, v in pairs if n != "syscalls" and numbers.get(n) != int(v)] == []
