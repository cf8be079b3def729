"""What each instruction does, on edge values. Expected values are written as the standard (RFC 9669) says, not computed alike."""

from __future__ import annotations

import struct

import pytest
from machine_programs import (
    EXIT,
    R0,
    R1,
    R2,
    R3,
    R6,
    R10,
    Build,
    alu,
    atomic,
    call,
    call_local,
    const,
    engine,
    function_ref,
    goto,
    jump,
    load,
    mov,
    movsx,
    run,
    store,
)

from kloupe.base.errors import InternalError, NotSupported
from kloupe.bpf import isa
from kloupe.bpf.insn import Instruction
from kloupe.engine.machine.core import LimitFault
from kloupe.engine.machine.faults import ProgramFault
from kloupe.image import MapSpec

M64, M32 = (1 << 64) - 1, (1 << 32) - 1
MIN64, MIN32 = 1 << 63, 1 << 31

# operation, left, right, 64-bit result, 32-bit result
ALU = [
    ("add", M64, 1, 0, 0),
    ("add", 5, M64, 4, 4),
    ("add", M32, 1, 1 << 32, 0),
    ("sub", 0, 1, M64, M32),
    ("sub", 7, 7, 0, 0),
    ("mul", 1 << 40, 1 << 40, 0, 0),
    ("mul", M64, M64, 1, 1),
    ("mul", 0x1_0000_0003, 5, 0x5_0000_000F, 15),
    ("div", 17, 5, 3, 3),
    ("div", M64, 2, M64 >> 1, M32 >> 1),
    ("div", 17, 0, 0, 0),
    ("div", 17, 1 << 32, 0, 0),
    ("mod", 17, 5, 2, 2),
    ("mod", 0x5_0000_0011, 0, 0x5_0000_0011, 0x11),
    ("mod", 0x5_0000_0011, 1 << 32, 0x5_0000_0011 % (1 << 32), 0x11),
    ("sdiv", -17 & M64, 5, -3 & M64, -3 & M32),
    ("sdiv", 17, -5 & M64, -3 & M64, -3 & M32),
    ("sdiv", MIN64, M64, MIN64, 0),
    ("sdiv", MIN32, M64, -MIN32 & M64, MIN32),
    ("sdiv", -17 & M64, 0, 0, 0),
    ("smod", -17 & M64, 5, -2 & M64, -2 & M32),
    ("smod", 17, -5 & M64, 2, 2),
    ("smod", MIN64, M64, 0, 0),
    ("smod", -17 & M64, 0, -17 & M64, -17 & M32),
    ("or", 0xF0_0000_00F0, 0x0F, 0xF0_0000_00FF, 0xFF),
    ("and", 0xFF_0000_00FF, 0xF0_0000_000F, 0xF0_0000_000F, 0x0F),
    ("xor", M64, 0xFF, M64 ^ 0xFF, M32 ^ 0xFF),
    ("lsh", 1, 63, MIN64, MIN32),
    ("lsh", 1, 64, 1, 1),
    ("lsh", 3, 31, 3 << 31, MIN32),
    ("lsh", 1, 33, 1 << 33, 2),
    ("rsh", M64, 63, 1, 1),
    ("rsh", 0x8_0000_0000, 35, 1, 0),
    ("rsh", MIN64, 64, MIN64, 0),
    ("arsh", MIN64, 63, M64, 0),
    ("arsh", MIN32, 31, 1, M32),
    ("arsh", -8 & M64, 1, -4 & M64, -4 & M32),
    ("arsh", 0x7FFF_FFFF_8000_0000, 4, 0x07FF_FFFF_F800_0000, 0xF800_0000),
    ("mov", 1, M64, M64, M32),
    ("neg", 1, 0, M64, M32),
    ("neg", MIN64, 0, MIN64, 0),
    ("neg", 0, 0, 0, 0),
]


@pytest.mark.parametrize("name,left,right,wide,narrow", ALU)
def test_alu_on_registers(name: str, left: int, right: int, wide: int, narrow: int) -> None:
    for bits, expected in ((64, wide), (32, narrow)):
        # Through the stack, so that nothing is known at translation.
        code = [const(R6, left), store(R10, -8, 8, R6), const(R6, right), store(R10, -16, 8, R6)]
        code += [load(R0, R10, -8, 8), load(R1, R10, -16, 8)]
        operation = alu(name, R0, 0, bits) if name == "neg" else alu(name, R0, R1, bits)
        assert run(*code, operation, EXIT) == expected, f"{bits} bits"


@pytest.mark.parametrize("name,left,right,wide,narrow", [row for row in ALU if row[0] != "neg"])
def test_alu_on_immediates(name: str, left: int, right: int, wide: int, narrow: int) -> None:
    signed = right - (1 << 64) if right >> 63 else right
    if not -(1 << 31) <= signed < 1 << 31:
        pytest.skip("the operand is no 32-bit immediate")
    for bits, expected in ((64, wide), (32, narrow)):
        code = [const(R6, left), store(R10, -8, 8, R6), load(R0, R10, -8, 8)]
        assert run(*code, alu(name, R0, signed, bits), EXIT) == expected, f"{bits} bits"


def test_known_sums_are_wrapped() -> None:
    assert run(const(R0, M64), alu("add", R0, 2), EXIT) == 1
    assert run(mov(R0, -1), EXIT) == M64
    assert run(alu("mov", R0, -1, 32), EXIT) == M32


@pytest.mark.parametrize(
    "value,from_bits,wide,narrow",
    [
        (0x80, 8, -128 & M64, -128 & M32),
        (0x17F, 8, 0x7F, 0x7F),
        (0x8000, 16, -32768 & M64, -32768 & M32),
        (MIN32, 32, -MIN32 & M64, MIN32),
    ],
)
def test_mov_with_sign_extension(value: int, from_bits: int, wide: int, narrow: int) -> None:
    assert run(const(R1, value), movsx(R0, R1, from_bits), EXIT) == wide
    if from_bits < 32:
        assert run(const(R1, value), movsx(R0, R1, from_bits, 32), EXIT) == narrow


@pytest.mark.parametrize(
    "bits,swapped,cut",
    [(16, 0x8877, 0x7788), (32, 0x88776655, 0x55667788), (64, 0x8877665544332211, 0x1122334455667788)],
)
def test_byte_order(bits: int, swapped: int, cut: int) -> None:
    start = const(R0, 0x1122334455667788)
    assert run(start, Instruction(isa.ALU64 | isa.END, R0, 0, 0, bits), EXIT) == swapped
    big, little = (swapped, cut) if struct.pack("=H", 1) == b"\1\0" else (cut, swapped)
    assert run(start, Instruction(isa.ALU | isa.END | isa.TO_BE, R0, 0, 0, bits), EXIT) == big
    assert run(start, Instruction(isa.ALU | isa.END | isa.TO_LE, R0, 0, 0, bits), EXIT) == little


# operation, left, right, taken with 64 bits, taken with 32 bits
JUMPS = [
    ("eq", 1 << 32, 0, False, True),
    ("ne", 1 << 32, 0, True, False),
    ("gt", M64, 1, True, True),
    ("gt", 5, 5, False, False),
    ("ge", 5, 5, True, True),
    ("lt", 1 << 32, 1, False, True),
    ("le", 5, 5, True, True),
    ("sgt", M64, 0, False, False),
    ("sgt", MIN32, 0, True, False),
    ("sge", 0, M64, True, True),
    ("slt", MIN64, 0, True, False),
    ("slt", M64, 0, True, True),
    ("sle", 3, -3 & M64, False, False),
    ("set", 6, 2, True, True),
    ("set", 1 << 32, M64, True, False),
]


@pytest.mark.parametrize("name,left,right,wide,narrow", JUMPS)
def test_conditional_jumps(name: str, left: int, right: int, wide: bool, narrow: bool) -> None:
    for bits, expected in ((64, wide), (32, narrow)):
        for reverse in (False, True):  # with the result behind the jump, and at its target
            tail = [mov(R0, 1), EXIT, mov(R0, 2), EXIT] if reverse else [mov(R0, 1), goto(1), mov(R0, 2), EXIT]
            got = run(const(R6, left), const(R1, right), jump(name, R6, R1, 2, bits), *tail)
            assert got == (2 if expected else 1)
    signed = right - (1 << 64) if right >> 63 else right
    assert run(const(R6, left), jump(name, R6, signed, 2), mov(R0, 1), EXIT, mov(R0, 2), EXIT) == (2 if wide else 1)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("known", [True, False])
def test_loads_and_stores_of_the_stack(size: int, known: bool) -> None:
    value = 0xF1E2D3C4B5A69788
    start = [mov(R2, R10)] if known else [mov(R2, R10), store(R10, -64, 8, R2), load(R2, R10, -64, 8)]
    code = [*start, const(R1, value), store(R2, -16, 8, 0), store(R2, -16, size, R1)]
    unsigned = value & (1 << 8 * size) - 1
    assert run(*code, load(R0, R2, -16, size), EXIT) == unsigned
    assert run(*code, load(R0, R2, -16, 8), EXIT) == unsigned
    if size < 8:
        assert run(*code, load(R0, R2, -16, size, signed=True), EXIT) == unsigned | M64 & ~((1 << 8 * size) - 1)
    assert run(*start, store(R2, -16, size, -2), load(R0, R2, -16, size), EXIT) == -2 & (1 << 8 * size) - 1


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_map_values_need_no_alignment(size: int) -> None:
    build = (
        Build().value(R2, "m").add(const(R1, 0xF1E2D3C4B5A69788), store(R2, 5, size, R1), load(R0, R2, 5, size), EXIT)
    )
    machine = engine(build, [MapSpec("m", "array", 4, 16, 1)])
    assert machine.fire("main") == 0xF1E2D3C4B5A69788 & (1 << 8 * size) - 1


ATOMICS = [("add", 0xFFFF_FFF0, 0x20), ("or", 0xF0, 0x0F), ("and", 0xFF, 0x3C), ("xor", 0xFF, 0x0F), ("xchg", 1, 2)]
RESULTS = {"add": lambda a, b: a + b, "or": int.__or__, "and": int.__and__, "xor": int.__xor__, "xchg": lambda a, b: b}


@pytest.mark.parametrize("name,old,operand", ATOMICS)
@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("known", [True, False])
def test_atomics(name: str, old: int, operand: int, size: int, known: bool) -> None:
    start = [mov(R2, R10)] if known else [mov(R2, R10), store(R10, -64, 8, R2), load(R2, R10, -64, 8)]
    high = 0x1234 << 32 if size == 4 else 0  # must stay as it is, and not come into the register
    start += [const(R3, old | high), store(R2, -8, 8, R3), const(R1, operand | 0x7 << 32 if size == 4 else operand)]
    fetch = atomic(name, R2, -8, size, R1, fetch=True)
    expected = RESULTS[name](old, operand) & (1 << 8 * size) - 1
    assert run(*start, fetch, mov(R0, R1), EXIT) == old
    assert run(*start, fetch, load(R0, R10, -8, 8), EXIT) == expected | high
    if name != "xchg":
        assert run(*start, atomic(name, R2, -8, size, R1), load(R0, R10, -8, 8), EXIT) == expected | high


@pytest.mark.parametrize("size", [4, 8])
def test_compare_and_exchange(size: int) -> None:
    def program(expected: int, *end: Instruction) -> int:
        return run(store(R10, -8, 8, 5), mov(R0, expected), mov(R1, 9), atomic("cmpxchg", R10, -8, size, R1), *end)

    assert program(5, EXIT) == 5
    assert program(5, load(R0, R10, -8, 8), EXIT) == 9
    assert program(6, EXIT) == 5
    assert program(6, load(R0, R10, -8, 8), EXIT) == 5


def test_acquire_and_release() -> None:
    release = Instruction(isa.STX | isa.DW | isa.ATOMIC, R10, R1, -8, isa.STORE_RELEASE)
    acquire = Instruction(isa.STX | isa.DW | isa.ATOMIC, R0, R10, -8, isa.LOAD_ACQUIRE)
    assert run(mov(R0, 1), mov(R1, 77), release, acquire, alu("add", R0, 1), EXIT) == 78


def test_context_is_read() -> None:
    context = struct.pack("=QQ", 11, 22)
    assert run(load(R0, R1, 8, 8), EXIT, context=context) == 22


def test_loop() -> None:
    # r0 = 10 + 9 + ... + 1
    assert run(mov(R0, 0), mov(R1, 10), alu("add", R0, R1), alu("sub", R1, 1), jump("ne", R1, 0, -3), EXIT) == 55


def test_nested_loops_and_breaks() -> None:
    code = [
        mov(R0, 0),
        mov(R1, 0),
        mov(R2, 0),  # 2: outer
        alu("add", R0, 1),  # 3: inner
        alu("add", R2, 1),
        jump("eq", R2, 3, 2),  # continue the outer loop
        jump("gt", R0, 100, 3),  # leave both
        goto(-5),
        alu("add", R1, 1),  # 8
        jump("lt", R1, 4, -8),
        EXIT,
    ]
    assert run(*code) == 12


def test_cross_jumps() -> None:
    """Blocks with several sources that do not nest."""

    def program(a: int, b: int) -> int:
        return run(
            *[load(R2, R1, 0, 8), load(R3, R1, 8, 8), mov(R0, 0)],
            jump("eq", R2, 1, 3),  # 3 -> 7
            jump("eq", R3, 1, 4),  # 4 -> 9
            alu("add", R0, 1),
            goto(4),  # 6 -> 11
            alu("add", R0, 10),
            jump("eq", R3, 1, 1),  # 8 -> 10
            alu("add", R0, 100),
            alu("add", R0, 1000),
            alu("add", R0, 10000),
            EXIT,
            context=struct.pack("=QQ", a, b),
        )

    assert program(0, 0) == 10001
    assert program(0, 1) == 11100
    assert program(1, 0) == 11110
    assert program(1, 1) == 11010


def test_many_branches_in_a_row() -> None:
    code = [load(R2, R1, 0, 8), mov(R0, 0)]
    for bit in range(60):
        code += [mov(R3, R2), alu("rsh", R3, bit), jump("set", R3, 1, 1), alu("add", R0, 1)]
    assert run(*code, EXIT, context=struct.pack("=Q", 0b1011)) == 57


def test_deep_nesting() -> None:
    """A ladder of conditions, each inside the one before, with long ways out."""
    depth = 300
    code = [load(R2, R1, 0, 8), mov(R0, 0)]
    for step in range(depth):
        code += [jump("le", R2, step, 2 * (depth - step) - 1), alu("add", R0, 1)]
    code += [alu("add", R0, 1000), EXIT]
    for value in (0, 1, 77, 500):
        assert run(*code, context=struct.pack("=Q", value)) == 1000 + min(value, depth)


def test_functions_keep_their_registers_and_stacks() -> None:
    code = [mov(R6, 7), store(R10, -8, 8, 1), mov(R1, 3), mov(R2, 4), call_local(4)]
    code += [alu("add", R0, R6), load(R1, R10, -8, 8), alu("add", R0, R1), EXIT]
    code += [mov(R6, 100), store(R10, -8, 8, 50), mov(R0, R1), alu("mul", R0, R2), EXIT]
    assert run(*code) == 12 + 7 + 1


def test_loop_callback() -> None:
    build = Build().add(store(R10, -8, 8, 0), mov(R1, 5), function_ref(R2, 7))
    build.add(mov(R3, R10), alu("add", R3, -8), mov(3 + 1, 0), call("loop"), load(R0, R10, -8, 8), EXIT)
    build.function("callback").add(load(R3, R2, 0, 8), alu("add", R3, R1), store(R2, 0, 8, R3), mov(R0, 0), EXIT)
    assert build.code[2].imm + 3 == build.functions[1].start_insn
    assert engine(build).fire("main") == 10


def test_loop_without_end_is_stopped() -> None:
    with pytest.raises(ProgramFault, match="more than 1000 instructions"):
        run(mov(R0, 0), alu("add", R0, 1), goto(-2), EXIT, limit_insns=1000)
    assert issubclass(ProgramFault, Exception) and LimitFault


FAULTS = [
    ("null pointer", [mov(R1, 0), load(R0, R1, 8, 4), EXIT], "read of 4 bytes at 0x8: null pointer"),
    ("null store", [mov(R1, 0), store(R1, 0, 8, 1), mov(R0, 0), EXIT], "write of 8 bytes at 0x0: null pointer"),
    ("above the stack", [load(R0, R10, 0, 8), EXIT], "offset 512 is outside of the stack of main (512 bytes)"),
    ("below the stack", [store(R10, -520, 8, 1), mov(R0, 0), EXIT], "offset -8 is outside of the stack of main"),
    ("misaligned", [mov(R2, R10), load(R0, R2, -9, 4), EXIT], "not aligned"),
    ("misaligned in the context", [load(R0, R1, 2, 4), EXIT], "not aligned"),
    ("foreign memory", [const(R1, 0xFFFF888000000000), load(R0, R1, 0, 1), EXIT], "needs probe_read"),
    ("context", [load(R0, R1, 16, 8), EXIT], "outside of the context (16 bytes)"),
    ("context store", [store(R1, 0, 8, 1), mov(R0, 0), EXIT], "the context is read-only"),
    ("never written", [mov(R0, R3), EXIT], "r3 has no value"),
    ("no result", [EXIT], "r0 has no value"),
    ("spoiled", [mov(R1, 1), call("ktime_get_ns"), mov(R0, R1), EXIT], "r1 has no value"),
    ("no map", [mov(R1, 5), mov(R2, R10), call("map_lookup_elem"), EXIT], "0x5 is not a map"),
    ("no callback", [mov(R1, 5), mov(R2, 0), mov(R3, 0), mov(R3 + 1, 0), call("loop"), EXIT], "is not a function"),
]


@pytest.mark.parametrize("code,reason", [pytest.param(code, reason, id=name) for name, code, reason in FAULTS])
def test_faults(code: list[Instruction], reason: str) -> None:
    with pytest.raises(ProgramFault) as info:
        run(*code, context=bytes(16))
    assert reason in str(info.value)
    assert info.value.program == "main"


def test_faults_name_instruction_and_place() -> None:
    build = Build().line(4).add(mov(R0, 1), mov(R2, 0)).line(9).add(mov(R3, 1), load(R1, R2, 16, 8), EXIT)
    with pytest.raises(ProgramFault) as info:
        engine(build).fire("main")
    fault = info.value
    assert (fault.insn, fault.place.line) == (3, 9)
    assert str(fault) == (
        "s.bt:9:3-7: program main, instruction 3 (r1 = *(u64 *)(r2 + 16)): read of 8 bytes at 0x10: null pointer"
    )


def test_what_the_machine_lacks_is_said_when_it_runs() -> None:
    with pytest.raises(NotSupported, match="no helper sk_assign"):
        run(mov(R1, 0), mov(R2, 0), mov(R3, 0), call("sk_assign"), EXIT)


@pytest.mark.parametrize("code", [[mov(R0, 1)], [], [goto(5), EXIT], [call_local(-1), EXIT]])
def test_malformed_programs_are_refused(code: list[Instruction]) -> None:
    with pytest.raises(InternalError, match="not well-formed"):
        run(*code)
