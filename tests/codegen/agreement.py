"""Run one program as IR and as eBPF and compare everything that can be seen of it."""

from __future__ import annotations

from toymachine import BpfMachine, IrMachine, World

from kloupe.bpf.check import check_program as check_code
from kloupe.bpf.insn import decode_program
from kloupe.codegen.emit import EmitOptions, EmittedProgram, emit_program
from kloupe.ir.check import check_program
from kloupe.ir.ops import ProgramIR

MAPS = {"out": 4096, "data": 4096}


def check_agreement(program: ProgramIR, options: EmitOptions | None = None) -> tuple[EmittedProgram, BpfMachine]:
    """Emit `program`, run both forms, and give the emitted program and the machine that ran it."""
    assert check_program(program) == []
    ir_world, bpf_world = World(MAPS), World(MAPS)
    expected = IrMachine(program, ir_world).run()
    emitted = emit_program(program, options)
    code = decode_program(emitted.code)
    assert check_code(code, [(f.start_insn, f.arguments) for f in emitted.functions]) == []
    machine = BpfMachine(emitted, bpf_world)
    assert machine.run() == expected
    assert ir_world.content == bpf_world.content
    assert ir_world.calls == bpf_world.calls
    if emitted.scratch_bytes:
        assert all(bpf_world.memory.read(at, 8, strict=True) == 0 for at in machine.elements), "scratch is not released"
    return emitted, machine
