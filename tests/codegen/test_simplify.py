"""What simplification makes of small pieces, seen in the emitted text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from agreement import check_agreement

from kloupe.bpf.asmtext import render_program
from kloupe.bpf.insn import decode_program
from kloupe.codegen.emit import EmitOptions, emit_program
from kloupe.ir.builder import Builder


def text_of(write: Callable[[Builder], None], options: EmitOptions | None = None) -> list[str]:
    """The instructions of a program, without their numbers."""
    b = Builder("piece")
    write(b)
    code = decode_program(emit_program(b.program, options).code)
    return [line.split(": ", 1)[1] for line in render_program(code)]


def returns(value: Callable[[Builder], object]) -> Callable[[Builder], None]:
    return lambda b: b.exit(value(b))


X = "r1 = *(u64 *)(r1 + 0)"


def x(b: Builder):
    return b.load(b.context(), 0, 8)


CASES = {
    "constants fold": (lambda b: b.alu("mul", b.const(6), b.const(7)), ["r0 = 42", "exit"]),
    "adding nothing": (lambda b: b.alu("add", x(b), 0), ["r0 = *(u64 *)(r1 + 0)", "exit"]),
    "division by a power of two": (lambda b: b.alu("div", x(b), 8), ["r0 = *(u64 *)(r1 + 0)", "r0 >>= 3", "exit"]),
    "division by zero": (lambda b: b.alu("div", x(b), 0), ["r0 = 0", "exit"]),
    "a mask of 32 bits": (lambda b: b.alu("and", x(b), 0xFFFFFFFF), ["r0 = *(u64 *)(r1 + 0)", "w0 = w0", "exit"]),
    "extension of what is extended": (
        lambda b: b.extend(b.load(b.context(), 0, 1), 1, False),
        ["r0 = *(u8 *)(r1 + 0)", "exit"],
    ),
    "extension is a mask": (lambda b: b.extend(x(b), 2, False), ["r0 = *(u64 *)(r1 + 0)", "r0 &= 65535", "exit"]),
    "a shift counts modulo the width": (
        lambda b: b.alu("lsh", x(b), 65),
        ["r0 = *(u64 *)(r1 + 0)", "r0 <<= 1", "exit"],
    ),
    "a comparison of constants": (
        lambda b: _both_ways(b, lambda then, other: b.branch("gt", 2, 1, then, other)),
        ["r0 = 1", "exit"],
    ),
}


def _both_ways(b: Builder, branch: Callable[..., None]) -> int:
    then, otherwise = b.block(), b.block()
    branch(then, otherwise)
    b.start(otherwise)
    b.exit(2)
    b.start(then)
    return 1


@pytest.mark.parametrize("name", CASES)
def test_piece(name: str) -> None:
    value, expected = CASES[name]
    assert text_of(returns(value)) == expected


def test_a_slot_stored_and_loaded_whole_is_a_register() -> None:
    def write(b: Builder) -> None:
        slot = b.slot(8)
        b.store(slot, 0, 8, 5)
        b.store(slot, 0, 8, b.alu("add", b.load(slot, 0, 8), x(b)))
        b.exit(b.load(slot, 0, 8))

    assert text_of(write) == ["r0 = *(u64 *)(r1 + 0)", "r0 += 5", "exit"]


def test_captured_slots_are_registers_when_there_is_no_callback() -> None:
    def write(b: Builder) -> None:
        slot = b.slot(4, captured=True)
        b.store(slot, 0, 4, x(b))
        b.exit(b.load(slot, 0, 4))

    assert text_of(write) == ["r0 = *(u64 *)(r1 + 0)", "w0 = w0", "exit"]


def test_fields_of_one_map_share_its_address() -> None:
    def write(b: Builder) -> None:
        b.store(b.map_value("m", 0), 0, 8, 1)
        b.store(b.map_value("m", 8), 0, 8, 2)
        b.exit(0)

    text = text_of(write)
    assert sum("ll" in line for line in text) == 1
    assert text[1:3] == ["*(u64 *)(r0 + 0) = 1", "*(u64 *)(r0 + 8) = 2"]


def test_arguments_are_made_in_their_registers() -> None:
    def write(b: Builder) -> None:
        key = b.slot(8)
        b.store(key, 0, 8, b.call("get_current_pid_tgid"))
        b.call("map_update_elem", b.map("m"), b.address(key), b.address(key), 0)
        b.exit(0)

    assert text_of(write) == [
        "call get_current_pid_tgid#14",
        "*(u64 *)(r10 - 24) = r0",
        "r1 = map[fd:0] ll",
        "r2 = r10",
        "r2 += -24",
        "r3 = r10",
        "r3 += -24",
        "r4 = 0",
        "call map_update_elem#2",
        "r0 = 0",
        "exit",
    ]


def test_a_pointer_that_was_checked_stays_in_its_register() -> None:
    def write(b: Builder) -> None:
        key = b.slot(8)
        b.store(key, 0, 8, 1)
        found = b.call("map_lookup_elem", b.map("m"), b.address(key))
        missing, present = b.block(), b.block()
        b.branch("eq", found, 0, missing, present)
        b.start(present)
        b.exit(b.load(found, 0, 8))
        b.start(missing)
        b.exit(0)

    assert text_of(write)[-5:] == ["if r0 == 0 goto +2", "r0 = *(u64 *)(r0 + 0)", "exit", "r0 = 0", "exit"]


def test_signed_division_needs_cpu_v4_or_is_expanded() -> None:
    write = returns(lambda b: b.alu("sdiv", x(b), b.load(b.context(), 8, 8)))
    assert any("s/=" in line for line in text_of(write, EmitOptions(cpu_v4=True)))
    assert not any("s/=" in line for line in text_of(write))


def test_a_loop_of_no_rounds_is_no_call() -> None:
    def write(b: Builder) -> None:
        with b.callback("step", 2, 1) as step:
            b.exit(0)
        b.exit(b.call("loop", 0, b.function_ref(step), b.captures(), 0))

    assert text_of(write) == ["r0 = 0", "exit"]


def test_numbers_that_branches_narrowed_survive_many_meetings() -> None:
    """More values than registers cross the meetings, so some live in stack words."""
    b = Builder("pressure")
    variables = []
    for index in range(12):
        value, above, done = b.load(b.context(), 4 * index, 4), b.block(), b.block()
        variable = b.reg()
        b.move(variable, value)
        b.branch("gt", variable, 64, above, done)
        b.start(above)
        b.move(variable, 64)
        b.jump(done)
        b.start(done)
        b.call("send_signal", variable)
        variables.append(variable)
    for index, variable in enumerate(variables):
        b.store(b.map_value("out"), 8 * index, 8, variable)
    b.exit(0)
    check_agreement(b.program)


def test_a_number_in_a_stack_word_is_stored_again_after_each_comparison() -> None:
    """Kernels before 6.8 do not carry what a comparison of a register teaches over to the word it came from."""

    def write(b: Builder) -> None:
        lengths = []
        for index in range(10):
            length, above, done = b.reg(), b.block(), b.block()
            b.move(length, b.load(b.context(), 4 * index, 4))
            b.branch("gt", length, 64, above, done)
            b.start(above)
            b.move(length, 64)
            b.jump(done)
            b.start(done)
            b.call("send_signal", length)
            lengths.append(length)
        for length in lengths:
            b.call("send_signal", length)
        b.exit(0)

    text = text_of(write)
    compared = [index for index, line in enumerate(text) if line.startswith("if ")]
    stored_again = [index for index in compared if text[index + 1].startswith("*(u64 *)(r10")]
    assert len(compared) == 10
    assert len(stored_again) >= 6
