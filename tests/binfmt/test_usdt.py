"""USDT notes and every operand form of both machines."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from elf_samples import PROBES, build

from kloupe.binfmt.usdt import Argument, parse_arguments
from kloupe.kernel.binary import open_binary

X86 = {
    "8@%rdi": Argument("8@%rdi", 8, False, register="di"),
    "-4@%eax": Argument("-4@%eax", 4, True, register="ax"),
    "1@%dil": Argument("1@%dil", 1, False, register="di"),
    "-1@%al": Argument("-1@%al", 1, True, register="ax"),
    "2@%r10w": Argument("2@%r10w", 2, False, register="r10"),
    "4@%r9d": Argument("4@%r9d", 4, False, register="r9"),
    "1@%r15b": Argument("1@%r15b", 1, False, register="r15"),
    "2@%bp": Argument("2@%bp", 2, False, register="bp"),
    "-4@$-12": Argument("-4@$-12", 4, True, constant=-12),
    "8@$0x10": Argument("8@$0x10", 8, False, constant=16),
    "8@(%rsp)": Argument("8@(%rsp)", 8, False, register="sp", is_memory=True),
    "-4@-1204(%rbp)": Argument("-4@-1204(%rbp)", 4, True, register="bp", is_memory=True, offset=-1204),
    "8@8+16(%rdx)": Argument("8@8+16(%rdx)", 8, False, register="dx", is_memory=True, offset=24),
    "4@4(%rdx,%rcx)": Argument("4@4(%rdx,%rcx)", 4, False, None, "dx", True, 4, "cx", 1),
    "8@-8(%rax,%r12,8)": Argument("8@-8(%rax,%r12,8)", 8, False, None, "ax", True, -8, "r12", 8),
    "8@(,%rsi,4)": Argument("8@(,%rsi,4)", 8, False, None, "", True, 0, "si", 4),
    "8f@%xmm0": Argument("8f@%xmm0", 8, False),
    "8@nowhere(%rip)": Argument("8@nowhere(%rip)", 8, False),
}
ARM = {
    "8@x0": Argument("8@x0", 8, False, register="r0"),
    "-4@w19": Argument("-4@w19", 4, True, register="r19"),
    "4@5": Argument("4@5", 4, False, constant=5),
    "-4@-5": Argument("-4@-5", 4, True, constant=-5),
    "8@xzr": Argument("8@xzr", 8, False, constant=0),
    "8@sp": Argument("8@sp", 8, False, register="sp"),
    "8@[sp]": Argument("8@[sp]", 8, False, register="sp", is_memory=True),
    "-4@[sp, 60]": Argument("-4@[sp, 60]", 4, True, register="sp", is_memory=True, offset=60),
    "8@[x29, -16]": Argument("8@[x29, -16]", 8, False, register="r29", is_memory=True, offset=-16),
    "8@[x1, x2, lsl 3]": Argument("8@[x1, x2, lsl 3]", 8, False, None, "r1", True, 0, "r2", 8),
    "8@[x1,x2]": Argument("8@[x1,x2]", 8, False, None, "r1", True, 0, "r2", 1),
}


@pytest.mark.parametrize(
    ("machine", "text", "expected"),
    [("x86_64", t, a) for t, a in X86.items()] + [("aarch64", t, a) for t, a in ARM.items()],
)
def test_operands(machine: str, text: str, expected: Argument) -> None:
    assert parse_arguments(text, machine) == (expected,)


def test_argument_lists() -> None:
    assert [a.text for a in parse_arguments("8@%rdi -4@-8(%rbp) 4@$1", "x86_64")] == ["8@%rdi", "-4@-8(%rbp)", "4@$1"]
    assert [a.offset for a in parse_arguments("-4@[sp, 12] 8@[x29, -8]", "aarch64")] == [12, -8]
    assert parse_arguments("", "x86_64") == ()
    assert [a.register for a in parse_arguments("%rax %rbx", "x86_64")] == ["ax", "bx"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the sample is x86_64 assembly")
@pytest.mark.parametrize("flags", [("-no-pie",), ("-fPIE", "-pie")])
def test_notes_of_a_program(tmp_path: Path, flags: tuple[str, ...]) -> None:
    binary = open_binary(build(tmp_path, "shop", PROBES, "-O0", *flags))
    (probe,) = binary.usdt()
    fire, gate = binary.symbol("fire"), binary.symbol("gate")
    assert fire is not None and gate is not None
    assert (probe.provider, probe.name) == ("shop", "sale")
    assert fire.file_offset < probe.file_offset < fire.file_offset + fire.size
    assert probe.semaphore_offset == gate.file_offset > 0
    assert Path(binary.path).read_bytes()[probe.file_offset] == 0x90  # the nop
    first, second, third = probe.arguments
    assert (first.register, first.size, first.signed) == ("di", 4, True)
    assert (second.register, second.index_register, second.scale, second.offset) == ("bp", "ax", 8, -16)
    assert third.constant == -5
