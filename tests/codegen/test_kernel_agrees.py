"""The kernel takes what we emit and computes what the IR says. Skipped without the privilege to load programs."""

from __future__ import annotations

import os

import pytest
from agreement import MAPS
from randomir import KernelProgram
from toymachine import IrMachine, World

from kloupe.base.errors import PermissionNeeded
from kloupe.codegen.emit import EmitOptions, emit_program
from kloupe.engine.kernel import KernelEngine
from kloupe.image import AttachSpec, Image, MapSpec, ProgramSpec, SourcePlace
from kloupe.ir.builder import Builder

PLACE = SourcePlace("test.bt", 1, 1, 2, "x")
SCRIPT_MAPS = (
    MapSpec("out", "array", 4, 4096, 1),
    MapSpec("data", "array", 4, 4096, 1),
    MapSpec("@hash", "hash", 8, 8, 64),
)


def run_in_kernel(program, options: EmitOptions, compare) -> int:
    """Load, run once, call `compare(engine)`; gives the result as u32."""
    emitted = emit_program(program, options)
    lines = tuple((function.start_insn, 0) for function in emitted.functions)
    attach = (AttachSpec("begin", "begin"),)
    spec = ProgramSpec(
        program.name,
        "raw_tracepoint",
        "",
        emitted.code,
        emitted.relocations,
        emitted.functions,
        lines,
        (PLACE,),
        attach,
    )
    maps = SCRIPT_MAPS
    if emitted.scratch_claim_needed:
        cpus = os.sysconf("SC_NPROCESSORS_CONF")
        maps += (
            MapSpec(".scratch", "array", 4, 8 + emitted.scratch_bytes, 4 * cpus),
            MapSpec(".lost", "percpu_array", 4, 8, 1),
        )
    with KernelEngine() as engine:
        try:
            engine.load(Image("test", "x86_64", (spec,), maps, (), (), {}))
        except PermissionNeeded as error:
            pytest.skip(f"cannot load programs: {error}")
        result = engine.run_once(spec)
        compare(engine)
        if emitted.scratch_claim_needed:
            assert all(value[:8] == bytes(8) for _, value in engine.map(".scratch").items())
            assert engine.lost_events() == 0
    return result


@pytest.mark.parametrize("start", range(0, 60, 20))
def test_the_kernel_agrees(start: int) -> None:
    for seed in range(start, start + 20):
        program = KernelProgram(seed, size=30, big_slots=seed % 3 == 0).build()
        world = World(MAPS)
        expected = IrMachine(program, world).run()

        def compare(engine: KernelEngine, world: World = world) -> None:
            for name in MAPS:
                assert engine.map(name).lookup(bytes(4)) == bytes(world.content[name])
            hashed = {key: world.bytes_at(address, 8) for key, address in world.hash.items()}
            assert dict(engine.map("@hash").items()) == hashed

        options = EmitOptions(cpu_v4=False, atomic_fetch=bool(seed & 1))
        assert run_in_kernel(program, options, compare) == expected & 0xFFFFFFFF


def test_lengths_that_branches_bounded_stay_bounded_in_memory() -> None:
    """More bounded lengths than registers live across the places where ways meet; the verifier must believe each."""
    b = Builder("lengths")
    lengths = []
    for index in range(10):
        length, above, done = b.reg(), b.block(), b.block()
        b.move(length, b.load(b.map_value("data"), 8 * index, 8))
        b.branch("gt", length, 64, above, done)
        b.start(above)
        b.move(length, 64)
        b.jump(done)
        b.start(done)
        lengths.append(length)
    target = b.slot(64)
    for index, length in enumerate(lengths):
        b.call("probe_read_kernel", b.address(target), length, 0)
        b.store(b.map_value("out"), 8 * index, 8, length)
    b.exit(0)
    assert run_in_kernel(b.program, EmitOptions(), lambda engine: None) == 0
