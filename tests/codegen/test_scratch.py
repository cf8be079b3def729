"""Claimed scratch memory: taken at entry, released at every exit, counted when there is none left."""

from __future__ import annotations

import pytest
from agreement import MAPS, check_agreement
from toymachine import BpfMachine, World

from kloupe.base.errors import InternalError
from kloupe.codegen.emit import EmitOptions, emit_program
from kloupe.ir.builder import Builder
from kloupe.ir.ops import ProgramIR


def big_slot_program() -> ProgramIR:
    """Fills 600 bytes, passes them to a helper, leaves in two places."""
    b = Builder("big")
    slot = b.slot(600)
    for offset in range(0, 600, 8):
        b.store(slot, offset, 8, offset)
    result = b.call("strncmp", b.address(slot), 600, b.load(b.context(), 8, 8))
    small, large = b.block(), b.block()
    b.branch("slt", result, 0, small, large)
    b.start(small)
    b.exit(1)
    b.start(large)
    b.store(b.map_value("out"), 0, 8, result)
    b.exit(2)
    return b.program


@pytest.mark.parametrize("atomic_fetch", [True, False])
def test_scratch_is_claimed_and_released(atomic_fetch: bool) -> None:
    emitted, machine = check_agreement(big_slot_program(), EmitOptions(atomic_fetch=atomic_fetch))
    assert emitted.scratch_claim_needed
    assert emitted.scratch_bytes == 600
    assert machine.lookups == 1


@pytest.mark.parametrize("atomic_fetch", [True, False])
@pytest.mark.parametrize("busy", [1, 2, 3])
def test_a_busy_element_is_passed_over(busy: int, atomic_fetch: bool) -> None:
    emitted = emit_program(big_slot_program(), EmitOptions(atomic_fetch=atomic_fetch))
    world = World(MAPS, cpu=1)
    machine = BpfMachine(emitted, world)
    machine.busy = busy
    assert machine.run() in (1, 2)
    assert machine.lookups == busy + 1
    held = [world.memory.read(at, 8, strict=True) for at in machine.elements]
    assert held == [0] * 4 + [1] * busy + [0] * (4 - busy), "elements of others stay taken, our own is given back"


@pytest.mark.parametrize("atomic_fetch", [True, False])
def test_with_all_elements_busy_the_event_is_lost_and_counted(atomic_fetch: bool) -> None:
    emitted = emit_program(big_slot_program(), EmitOptions(atomic_fetch=atomic_fetch))
    world = World(MAPS)
    machine = BpfMachine(emitted, world)
    machine.busy = 4
    assert machine.run() == 0
    assert world.memory.read(0x6F00_0000, 8, strict=True) == 1
    assert world.calls == []


def test_what_fits_the_stack_claims_nothing() -> None:
    b = Builder("small")
    slot = b.slot(300)
    b.call("probe_read_kernel", b.address(slot), 300, 5)
    b.exit(b.load(slot, 8, 8))
    emitted, _ = check_agreement(b.program)
    assert not emitted.scratch_claim_needed
    assert {relocation.name for relocation in emitted.relocations} == set()


def test_callbacks_reach_scratch_context_and_captured_slots() -> None:
    b = Builder("callbacks")
    big = b.slot(1000, captured=True)
    total = b.slot(8, captured=True)
    b.store(total, 0, 8, 0)
    b.store(big, 992, 8, 7)
    with b.callback("step", 2, 1) as step:
        index = b.parameter(0)
        own = b.slot(400)
        b.call("probe_read_kernel", b.address(own), 400, index)
        b.call("send_signal", index)
        seen = b.alu("add", b.load(own, 392, 8), b.load(big, 992, 8))
        seen = b.alu("add", seen, b.load(b.context(), 16, 4))
        b.store(total, 0, 8, b.alu("add", b.load(total, 0, 8), seen))
        b.exit(0)
    b.call("loop", 5, b.function_ref(step), b.captures(), 0)
    b.exit(b.load(total, 0, 8))
    emitted, _ = check_agreement(b.program)
    assert emitted.scratch_bytes == 1400
    assert [(f.name, f.arguments) for f in emitted.functions] == [("callbacks", 1), ("step", 2)]


def test_without_scratch_memory_a_frame_too_large_is_an_error() -> None:
    with pytest.raises(InternalError, match="stack"):
        emit_program(big_slot_program(), EmitOptions(scratch=False))


def test_slots_that_are_not_in_use_together_share_memory() -> None:
    b = Builder("sharing")
    for seed in range(40):
        slot = b.slot(600)
        b.call("probe_read_kernel", b.address(slot), 600, seed)
        b.store(b.map_value("out"), 8 * seed, 8, b.call("strncmp", b.address(slot), 600, seed))
    b.exit(0)
    emitted, _ = check_agreement(b.program)
    assert emitted.scratch_bytes == 600


def test_slots_used_through_a_pointer_that_two_ways_give_do_not_share() -> None:
    b = Builder("pointers")
    first, second, third = b.slot(64), b.slot(64), b.slot(64)
    b.call("probe_read_kernel", b.address(first), 64, 1)
    b.call("probe_read_kernel", b.address(second), 64, 2)
    pointer, left, right, done = b.reg(), b.block(), b.block(), b.block()
    b.branch("eq", b.load(b.context(), 0, 1), 0, left, right)
    b.start(left)
    b.move(pointer, b.address(first))
    b.jump(done)
    b.start(right)
    b.move(pointer, b.address(second))
    b.jump(done)
    b.start(done)
    b.call("probe_read_kernel", b.address(third), 64, 3)
    b.exit(b.call("strncmp", pointer, 64, b.load(third, 0, 8)))
    check_agreement(b.program)
