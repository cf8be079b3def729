"""The rules of the IR and its text form."""

from __future__ import annotations

import pytest

from kloupe.base.source import NOWHERE
from kloupe.ir import ops
from kloupe.ir.builder import Builder
from kloupe.ir.check import check_program
from kloupe.ir.text import render_program


def sample() -> Builder:
    """A program with a callback, a branch, a captured slot and a helper call."""
    b = Builder("sample")
    count = b.slot(8, captured=True, name="count")
    b.store(count, 0, 8, 0)
    with b.callback("step", 2, 1) as step:
        index = b.parameter(0)
        b.store(count, 0, 8, b.alu("add", b.load(count, 0, 8), index))
        b.exit(0)
    b.call("loop", 3, b.function_ref(step), b.captures(), 0)
    found = b.call("map_lookup_elem", b.map("@m"), b.address(count))
    present, done = b.block(), b.block()
    b.branch("ne", found, 0, present, done)
    b.start(present)
    b.atomic("add", found, 8, 8, b.const(1))
    b.jump(done)
    b.start(done)
    b.exit(b.load(b.context(), 16, 4, True))
    return b


def test_a_program_that_keeps_the_rules() -> None:
    assert check_program(sample().program) == []


def test_text() -> None:
    lines = list(render_program(sample().program))
    assert lines[0] == "captured $1.count: 8 bytes"
    assert lines[1] == "function sample(1):"
    text = "\n".join(line.strip() for line in lines)
    for expected in (
        "u64[$1.count] = 0",
        "%4 = function step",
        "%6 = loop(3, %4, %5, 0)",
        "if %9 != 0 then b3 else b4",
        "atomic add u64[%9+8], %10",
        "%12 = s32[%11+16]",
        "exit %12",
    ):
        assert expected in text


def broken(change: str) -> list[str]:
    b = Builder("broken")
    reg = b.reg()
    other = Builder("other")
    span = NOWHERE
    entry = b.function.blocks[0]
    operations: dict[str, list[ops.Op]] = {
        "no terminator": [ops.Move(span, reg, 1)],
        "two terminators": [ops.Exit(span, 0), ops.Exit(span, 0)],
        "unplaced": [ops.Jump(span, b.block())],
        "never written": [ops.Exit(span, reg)],
        "late parameter": [ops.Move(span, reg, 1), ops.Parameter(span, reg, 0), ops.Exit(span, 0)],
        "no such parameter": [ops.Parameter(span, reg, 3), ops.Exit(span, 0)],
        "foreign slot": [ops.Address(span, reg, other.slot(8)), ops.Exit(span, 0)],
        "beyond the slot": [ops.Store(span, b.slot(8), 4, 8, 0), ops.Exit(span, 0)],
        "size": [ops.Move(span, reg, 1), ops.Load(span, reg, reg, 0, 3), ops.Exit(span, 0)],
        "helper": [ops.CallHelper(span, None, "no_such", ()), ops.Exit(span, 0)],
        "arguments": [ops.CallHelper(span, None, "ktime_get_ns", (1,)), ops.Exit(span, 0)],
        "operation": [ops.Alu(span, "pow", reg, 1, 2), ops.Exit(span, 0)],
        "comparison": [ops.Branch(span, "like", 1, 2, entry, entry)],
        "atomic": [ops.Move(span, reg, 1), ops.Atomic(span, "xchg", b.slot(8), 0, 8, reg), ops.Exit(span, 0)],
    }
    entry.ops = operations[change]
    return check_program(b.program)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("no terminator", "does not end in a terminator"),
        ("two terminators", "is not the last operation"),
        ("unplaced", "not placed"),
        ("never written", "never written"),
        ("late parameter", "not at the start"),
        ("no such parameter", "has 1 parameters"),
        ("foreign slot", "neither the function's nor captured"),
        ("beyond the slot", "beyond slot"),
        ("size", "access of 3 bytes"),
        ("helper", "no helper no_such"),
        ("arguments", "takes 0 arguments"),
        ("operation", "no operation pow"),
        ("comparison", "no comparison like"),
        ("atomic", "needs a result register"),
    ],
)
def test_a_broken_rule_is_found(change: str, problem: str) -> None:
    assert any(problem in found for found in broken(change))
