"""Helpers, called by programs: results, errors, memory they leave."""

from __future__ import annotations

import struct
from errno import E2BIG, EFAULT, EINVAL, ENAMETOOLONG, EOPNOTSUPP, EPERM

import pytest
from machine_programs import (
    EXIT,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R10,
    Build,
    alu,
    call,
    const,
    engine,
    function_ref,
    load,
    mov,
    store,
)

from kloupe.bpf.helpers import HELPERS
from kloupe.bpf.insn import Instruction
from kloupe.engine.machine.clock import VirtualClock
from kloupe.engine.machine.engine import MachineEngine
from kloupe.engine.machine.faults import ProgramFault
from kloupe.engine.machine.helpers import ROWS
from kloupe.engine.machine.memory import BytesMemory
from kloupe.engine.machine.task import Stacks, Task, this_task
from kloupe.image import MapSpec

M64 = (1 << 64) - 1
TASK = Task(pid=10, tid=11, uid=5, gid=6, comm=b"worker", cgroup_id=77, numa_node=1, ns_pid=2, ns_tid=3)
OUT = MapSpec(".out", "array", 4, 64, 1)
MAPS = [
    OUT,
    MapSpec("@", "hash", 4, 8, 16),
    MapSpec("@cpu", "percpu_hash", 4, 8, 16),
    MapSpec(".stacks", "stack_trace", 4, 32, 64),
    MapSpec(".events", "ringbuf", 0, 0, 4096),
]


def calling(helper: str, *arguments: int | str) -> Build:
    """A program that calls a helper and returns its result; "out" is the 64-byte buffer, a map's name the map."""
    build = Build()
    for register, argument in enumerate(arguments, 1):
        if argument == "ctx":
            assert register == 1
        elif argument == "out":
            build.value(register, ".out")
        elif isinstance(argument, str):
            build.map(register, argument)
        else:
            build.add(const(register, argument))
    return build.add(call(helper), EXIT)


def result(helper: str, *arguments: int | str, **event: object) -> tuple[int, bytes]:
    """(r0 as a signed number, the buffer)."""
    machine = engine(calling(helper, *arguments), MAPS, clock=VirtualClock(5_000_000_000), seed=1, cpus=4)
    machine.map(".out").update(bytes(4), b"\xee" * 64)
    r0 = machine.fire("main", **{"task": TASK, **event})  # type: ignore[arg-type]
    return (r0 ^ 1 << 63) - (1 << 63), machine.map(".out").lookup(bytes(4)) or b""


SIMPLE = [
    ("get_current_pid_tgid", (), {}, 10 << 32 | 11),
    ("get_current_uid_gid", (), {}, 6 << 32 | 5),
    ("get_current_cgroup_id", (), {}, 77),
    ("get_numa_node_id", (), {}, 1),
    ("get_smp_processor_id", (), {"task": Task(1, 1, cpu=3)}, 3),
    ("get_smp_processor_id", (), {"task": Task(1, 1, cpu=9)}, 0),
    ("get_current_task", (), {"task": Task(1, 1, address=0x7000)}, 0x7000),
    ("get_current_task_btf", (), {"task": Task(1, 1, address=0x7000)}, 0x7000),
    ("ktime_get_ns", (), {}, 5_000_000_000),
    ("ktime_get_boot_ns", (), {}, 5_000_000_000),
    ("ktime_get_tai_ns", (), {}, 5_000_000_000),
    ("ktime_get_coarse_ns", (), {}, 5_000_000_000),
    ("jiffies64", (), {}, 0xFFFFFFFF - 300 * 250 + 1 + 5 * 250),
    ("get_attach_cookie", ("ctx",), {"cookie": 42}, 42),
    ("get_func_ip", ("ctx",), {"function_address": 0x1234}, 0x1234),
    ("get_func_arg_cnt", ("ctx",), {"context": bytes(24)}, 3),
    ("get_func_arg_cnt", ("ctx",), {"context": bytes(24), "is_return": True}, 2),
    ("send_signal", (9,), {}, -EPERM),
    ("send_signal_thread", (9,), {}, -EPERM),
    ("override_return", ("ctx", 1), {}, -EPERM),
    ("map_lookup_elem", ("@", "out"), {}, 0),
    ("ringbuf_query", (".events", 1), {}, 64 << 20),
    ("for_each_map_elem", ("@", 0, 0, 0), None, None),
]


@pytest.mark.parametrize("helper,arguments,event,expected", SIMPLE)
def test_plain_results(helper: str, arguments: tuple[int | str, ...], event: dict | None, expected: int | None) -> None:
    if event is None:
        with pytest.raises(ProgramFault, match="0x0 is not a function"):
            result(helper, *arguments)
        return
    assert result(helper, *arguments, **event)[0] == expected


def test_rows_are_known_helpers() -> None:
    assert set(ROWS) <= set(HELPERS)


def test_random_numbers_are_seeded_and_32_bits() -> None:
    machine = engine(calling("get_prandom_u32"), seed=7)
    other = engine(calling("get_prandom_u32"), seed=7)
    numbers = [machine.fire("main") for _ in range(50)]
    assert numbers == [other.fire("main") for _ in range(50)]
    assert len(set(numbers)) == 50 and max(numbers) < 1 << 32 and max(numbers) > 1 << 30


def test_comm_is_cut_and_padded() -> None:
    assert result("get_current_comm", "out", 8) == (0, b"worker\0\0" + b"\xee" * 56)
    assert result("get_current_comm", "out", 4)[1][:5] == b"wor\0\xee"
    assert result("get_current_comm", "out", 0)[0] == -EINVAL
    assert result("get_current_comm", "out", 24, task=Task(1, 1, comm=b"x" * 40))[1][:24] == b"x" * 15 + bytes(9)


def test_ids_in_the_pid_namespace() -> None:
    assert result("get_ns_current_pid_tgid", 0, 0, "out", 8)[1][:8] == struct.pack("=II", 3, 2)
    assert result("get_ns_current_pid_tgid", 0, 0, "out", 4)[0] == -EINVAL


USER, KERNEL = 0x7F00_0000_1000, 0xFFFF_8880_0000_0000
MEMORY = BytesMemory(user={USER: b"hello\0world\0" + b"z" * 300}, kernel={KERNEL: b"kernel text\0"})

READS = [
    ("probe_read_user", 5, USER, 0, b"hello\xee"),
    ("probe_read_kernel", 6, KERNEL, 0, b"kernel\xee"),
    ("probe_read", 5, USER, 0, b"hello\xee"),
    ("probe_read", 6, KERNEL, 0, b"kernel\xee"),
    ("copy_from_user", 5, USER, 0, b"hello\xee"),
    ("probe_read_kernel", 4, USER, -EFAULT, bytes(4) + b"\xee"),
    ("probe_read_user", 4, KERNEL, -EFAULT, bytes(4) + b"\xee"),
    ("probe_read_user", 4, 0, -EFAULT, bytes(4) + b"\xee"),
    ("probe_read_user", 4, 0x0B00_0001_0000_0000, -EFAULT, bytes(4) + b"\xee"),
    ("probe_read_kernel", 0, 0, 0, b"\xee"),
    ("probe_read_user_str", 16, USER, 6, b"hello\0\xee"),
    ("probe_read_user_str", 16, USER + 6, 6, b"world\0\xee"),
    ("probe_read_user_str", 4, USER, 4, b"hel\0\xee"),
    ("probe_read_user_str", 6, USER, 6, b"hello\0\xee"),
    ("probe_read_user_str", 1, USER, 1, b"\0\xee"),
    ("probe_read_user_str", 0, USER, 0, b"\xee"),
    ("probe_read_user_str", 40, USER + 12, 40, b"z" * 39 + b"\0\xee"),
    ("probe_read_kernel_str", 64, KERNEL, 12, b"kernel text\0\xee"),
    ("probe_read_str", 64, KERNEL, 12, b"kernel text\0\xee"),
    ("probe_read_kernel_str", 8, KERNEL + 50, -EFAULT, bytes(8) + b"\xee"),
    ("probe_read_user_str", 64, USER + 290, -EFAULT, bytes(64)),
]


@pytest.mark.parametrize("helper,size,address,expected,left", READS)
def test_reading_memory(helper: str, size: int, address: int, expected: int, left: bytes) -> None:
    r0, buffer = result(helper, "out", size, address, memory=MEMORY)
    assert r0 == expected
    assert buffer.startswith(left)


def test_reading_without_memory_fails() -> None:
    assert result("probe_read_user", "out", 4, USER) == (-EFAULT, bytes(4) + b"\xee" * 60)


def test_kernel_reads_reach_the_program_itself() -> None:
    build = Build().add(store(R10, -8, 8, 0x41424344), mov(R3, R10), alu("add", R3, -8)).value(R1, ".out")
    machine = engine(build.add(mov(R2, 8), call("probe_read_kernel_str"), EXIT), MAPS)
    assert machine.fire("main") == 5
    assert (machine.map(".out").lookup(bytes(4)) or b"").startswith(b"DCBA\0")


def test_a_read_beyond_its_buffer_is_a_fault() -> None:
    with pytest.raises(ProgramFault, match=r"write of 65 bytes at .*outside of map \.out \(64 bytes\)"):
        result("probe_read_user", "out", 65, USER, memory=MEMORY)


@pytest.mark.parametrize("size,expected", [(20, 9), (9, 9), (8, -ENAMETOOLONG), (0, 0)])
def test_d_path(size: int, expected: int) -> None:
    r0, buffer = result("d_path", 0x500, "out", size, paths={0x500: b"/etc/tmp"})
    assert r0 == expected
    assert buffer.startswith(b"/etc/tmp\0\xee" if expected > 0 else b"\xee")
    assert result("d_path", 0x501, "out", 20, paths={0x500: b"/"})[0] == -EINVAL


@pytest.mark.parametrize(
    "first,second,size,expected",
    [
        (b"abc", b"abd", 3, -1),
        (b"abd", b"abc", 3, 1),
        (b"abc", b"abd", 2, 0),
        (b"ab\0x", b"ab\0y", 4, 0),
        (b"", b"a", 8, -1),
    ],
)
def test_strncmp(first: bytes, second: bytes, size: int, expected: int) -> None:
    build = Build().value(R1, ".out").add(mov(R2, size)).value(R3, ".out", 32).add(call("strncmp"), EXIT)
    machine = engine(build, [MapSpec(".out", "array", 4, 64, 1, initial=first.ljust(32, b"\0") + second)])
    assert machine.fire("main") == expected & M64


STACKS = Stacks(kernel=(1, 2, 3), user=(0x10, 0x20))
USER_STACK = 1 << 8


def test_stack_ids() -> None:
    machine = engine(calling("get_stackid", "ctx", ".stacks", USER_STACK), MAPS)
    number = machine.fire("main", stacks=STACKS)
    assert machine.map(".stacks").lookup(struct.pack("=I", number)) == struct.pack("=4Q", 0x10, 0x20, 0, 0)
    assert machine.fire("main", stacks=STACKS) == number
    assert machine.fire("main") == -EFAULT & M64
    assert machine.fire("main", stacks=Stacks(user=())) == -EFAULT & M64
    assert result("get_stackid", "ctx", ".stacks", 3, stacks=STACKS)[0] == -EFAULT
    assert result("get_stackid", "ctx", ".stacks", 2, stacks=STACKS)[0] >= 0
    assert result("get_stackid", "ctx", ".stacks", 1 << 20, stacks=STACKS)[0] == -EINVAL


def test_stacks_as_bytes() -> None:
    assert result("get_stack", "ctx", "out", 32, 1, stacks=STACKS) == (16, struct.pack("=2Q", 2, 3) + b"\xee" * 48)
    assert result("get_stack", "ctx", "out", 16, 0, stacks=STACKS)[0] == 16
    assert result("get_stack", "ctx", "out", 32, 0) == (-EFAULT, bytes(32) + b"\xee" * 32)
    assert result("get_stack", "ctx", "out", 30, 0, stacks=STACKS)[0] == -EINVAL


def test_function_arguments_and_result() -> None:
    context = struct.pack("=3Q", 7, 8, 9)
    assert result("get_func_arg", "ctx", 1, "out", context=context)[1][:8] == struct.pack("=Q", 8)
    assert result("get_func_arg", "ctx", 3, "out", context=context)[0] == -EINVAL
    assert result("get_func_arg", "ctx", 2, "out", context=context, is_return=True)[0] == -EINVAL
    assert result("get_func_ret", "ctx", "out", context=context, is_return=True)[1][:8] == struct.pack("=Q", 9)
    assert result("get_func_ret", "ctx", "out", context=context)[0] == -EOPNOTSUPP


def test_effects_are_recorded_when_allowed() -> None:
    for helper, arguments, kind, value in [
        ("send_signal", (9,), "signal", 9),
        ("send_signal_thread", (10,), "signal_thread", 10),
        ("override_return", ("ctx", -5), "override", -5 & M64),
        ("probe_write_user", (USER, "out", 4), "write_user", 4),
    ]:
        machine = engine(calling(helper, *arguments), MAPS, allow_effects=True)
        assert machine.fire("main", task=TASK) == 0
        assert [(effect.kind, effect.value, effect.task) for effect in machine.effects] == [(kind, value, TASK)]


def test_map_calls_from_a_program() -> None:
    """m[7] = 5; m[7] += 1 through the pointer; r0 = m[7]; delete; r0 += the delete's result."""
    build = Build().add(store(R10, -4, 4, 7), store(R10, -16, 8, 5)).map(R1, "@")
    build.add(mov(R2, R10), alu("add", R2, -4), mov(R3, R10), alu("add", R3, -16), mov(R4, 0), call("map_update_elem"))
    build.map(R1, "@").add(mov(R2, R10), alu("add", R2, -4), call("map_lookup_elem"))
    build.add(load(R6, R0, 0, 8), alu("add", R6, 1), store(R0, 0, 8, R6), load(R6, R0, 0, 8)).map(R1, "@")
    build.add(mov(R2, R10), alu("add", R2, -4), call("map_delete_elem"), alu("add", R0, R6), EXIT)
    machine = engine(build, MAPS)
    assert machine.fire("main") == 6
    assert list(machine.map("@").items()) == []


def test_map_pointer_that_is_not_known_at_translation() -> None:
    build = Build().map(R1, "@").add(store(R10, -8, 8, R1), load(R1, R10, -8, 8), store(R10, -16, 8, 1), mov(R2, R10))
    machine = engine(build.add(alu("add", R2, -16), call("map_lookup_elem"), load(R0, R0, 0, 8), EXIT), MAPS)
    machine.map("@").update(struct.pack("=I", 1), struct.pack("=Q", 99))
    assert machine.fire("main") == 99


def test_unchecked_lookup_is_a_null_pointer() -> None:
    build = (
        Build().add(store(R10, -8, 8, 0)).map(R1, "@").add(mov(R2, R10), alu("add", R2, -8), call("map_lookup_elem"))
    )
    with pytest.raises(ProgramFault, match="null pointer"):
        engine(build.add(load(R0, R0, 0, 8), EXIT), MAPS).fire("main")


def test_value_of_one_cpu() -> None:
    build = Build().add(store(R10, -8, 8, 1)).map(R1, "@cpu").add(mov(R2, R10), alu("add", R2, -8), mov(R3, 2))
    machine = engine(build.add(call("map_lookup_percpu_elem"), store(R0, 0, 8, 5), mov(R0, 0), EXIT), MAPS, cpus=3)
    machine.map("@cpu").update(struct.pack("=I", 1), bytes(8))
    machine.fire("main")
    assert machine.map("@cpu").per_cpu_lookup(struct.pack("=I", 1)) == [bytes(8), bytes(8), struct.pack("=Q", 5)]


def summing(stop_at: int) -> MachineEngine:
    """for_each over @ that adds key * value to the context, and stops at a key."""
    build = (
        Build()
        .add(store(R10, -8, 8, 0))
        .map(R1, "@")
        .add(function_ref(R2, 10), mov(R3, R10), alu("add", R3, -8), mov(R4, 0))
    )
    start = len(build.code) - 5
    build.add(call("for_each_map_elem"), alu("lsh", R0, 32), load(R1, R10, -8, 8), alu("or", R0, R1), EXIT)
    target = len(build.code)
    build.code[start] = build.code[start]._replace(imm=target - start - 1)
    build.function("each").add(load(R5, R2, 0, 4), load(R3, R3, 0, 8), alu("mul", R3, R5), load(R1, R4, 0, 8))
    build.add(
        alu("add", R1, R3), store(R4, 0, 8, R1), mov(R0, 0), Instruction(0x55, R5, 0, 1, stop_at), mov(R0, 1), EXIT
    )
    machine = engine(build, MAPS)
    for number in (1, 2, 3):
        machine.map("@").update(struct.pack("=I", number), struct.pack("=Q", 10 * number))
    return machine


def test_for_each_entry() -> None:
    assert summing(stop_at=9).fire("main") == 3 << 32 | 10 + 40 + 90
    assert summing(stop_at=2).fire("main") == 2 << 32 | 10 + 40


@pytest.mark.parametrize("count,flags,expected", [(4, 0, 4), (0, 0, 0), ((1 << 23) + 1, 0, -E2BIG), (4, 1, -EINVAL)])
def test_loop_results(count: int, flags: int, expected: int) -> None:
    build = Build().add(mov(R1, count), function_ref(R2, 5), mov(R3, 0), mov(R4, flags), call("loop"), EXIT)
    build.function("body").add(mov(R0, 0), EXIT)
    assert engine(build).fire("main") == expected & M64


def test_loop_stops() -> None:
    build = Build().add(mov(R1, 100), function_ref(R2, 5), mov(R3, 0), mov(R4, 0), call("loop"), EXIT)
    build.function("body").add(mov(R0, 0), Instruction(0x55, R1, 0, 1, 7), mov(R0, 1), EXIT)
    assert engine(build).fire("main") == 8


def test_callback_with_more_parameters_than_arguments() -> None:
    build = Build().add(mov(R1, 100), function_ref(R2, 5), mov(R3, 0), mov(R4, 0), call("loop"), EXIT)
    build.function("body").add(mov(R0, R3), EXIT)
    with pytest.raises(ProgramFault, match="reads more arguments than it is given"):
        engine(build).fire("main")


def reserving(*end: Instruction) -> Build:
    """Reserve 16 bytes, fill them, and `end` with the record in r6."""
    build = Build().map(R1, ".events").add(mov(R2, 16), mov(R3, 0), call("ringbuf_reserve"), mov(R6, R0))
    return build.add(store(R6, 0, 8, 1), store(R6, 8, 8, 2), mov(R1, R6), mov(R2, 0), *end, mov(R0, 0), EXIT)


def test_ring_buffer_from_a_program() -> None:
    machine = engine(reserving(call("ringbuf_submit")), MAPS)
    machine.fire("main")
    machine.fire("main")
    assert list(machine.poll(0)) == [struct.pack("=QQ", 1, 2)] * 2
    assert list(machine.poll(0)) == []
    machine = engine(reserving(call("ringbuf_discard")), MAPS)
    machine.fire("main")
    assert list(machine.poll(0)) == []


def test_ring_buffer_output() -> None:
    build = Build().map(R1, ".events").value(R2, ".out").add(mov(R3, 8), mov(R4, 0), call("ringbuf_output"), EXIT)
    machine = engine(build, [*MAPS[1:], MapSpec(".out", "array", 4, 64, 1, initial=b"12345678")])
    assert machine.fire("main") == 0
    assert list(machine.poll(0)) == [b"12345678"]


def test_ring_buffer_misuse() -> None:
    with pytest.raises(ProgramFault, match="not a reserved ring-buffer record"):
        engine(reserving(call("ringbuf_submit"), mov(R1, R6), mov(R2, 0), call("ringbuf_submit")), MAPS).fire("main")
    with pytest.raises(ProgramFault, match=r"not in any region|is not memory"):
        engine(reserving(call("ringbuf_submit"), store(R6, 0, 8, 1)), MAPS).fire("main")
    machine = engine(reserving(), MAPS)
    with pytest.raises(Exception, match="left a ring-buffer record reserved"):
        machine.fire("main")
    assert list(machine.poll(0)) == []


def test_full_ring_gives_null() -> None:
    build = reserving(call("ringbuf_submit"))
    machine = engine(build, [MapSpec(".events", "ringbuf", 0, 0, 48)], exact_ring=True)
    machine.fire("main")
    machine.fire("main")
    with pytest.raises(ProgramFault, match="null pointer"):
        machine.fire("main")
    assert len(machine.poll(0)) == 2


def test_direct_kernel_loads_of_tracing_programs() -> None:
    build = Build().add(load(R2, R1, 0, 8), load(R0, R2, 0, 8), EXIT)
    tracing = engine(build.program(kind="fentry", type="tracing"))
    memory = BytesMemory(kernel={KERNEL: struct.pack("=Q", 1234)})
    assert tracing.fire("main", struct.pack("=Q", KERNEL), memory=memory) == 1234
    assert tracing.fire("main", struct.pack("=Q", KERNEL + 8), memory=memory) == 0
    assert tracing.fire("main", bytes(8), memory=memory) == 0
    with pytest.raises(ProgramFault, match="needs probe_read"):
        engine(build).fire("main", struct.pack("=Q", KERNEL), memory=memory)


def test_this_task_is_this_process() -> None:
    task = this_task()
    with open("/proc/self/comm", "rb") as file:
        assert task.comm == file.read().rstrip(b"\n")
    assert task.pid_tgid == task.pid << 32 | task.tid
    assert task.pointer >> 63 == 1


def test_trace_printk_is_kept() -> None:
    machine = engine(
        calling("trace_printk", "out", 64, 1, 2, 3), [MapSpec(".out", "array", 4, 64, 1, initial=b"n %d"), *MAPS[1:]]
    )
    assert machine.fire("main") == 4
    assert machine._core.printed == ["n %d 0x1 0x2 0x3"]
