"""MachineEngine: loading, intervals on a virtual clock, fed probes, what it refuses."""

from __future__ import annotations

import os
import struct
import time

import pytest
from machine_programs import EXIT, R0, R1, R2, R3, R4, R6, R10, Build, alu, call, image, load, mov, store

from kloupe.base.errors import InternalError, NotSupported
from kloupe.engine.machine.clock import RealClock, VirtualClock
from kloupe.engine.machine.engine import MachineEngine
from kloupe.engine.machine.faults import ProgramFault
from kloupe.engine.machine.task import Task
from kloupe.engine.protocol import Engine
from kloupe.image import AttachSpec, MapSpec, ProgramSpec

EVENTS = MapSpec(".events", "ringbuf", 0, 0, 4096)
LOST = MapSpec(".lost", "percpu_array", 4, 8, 1)
SECOND_NS = 1_000_000_000


def telling(helper: str = "ktime_get_ns", **attach: object) -> ProgramSpec:
    """A program that puts what a helper gives into a record of eight bytes."""
    build = Build().add(mov(R6, R1), call(helper), store(R10, -8, 8, R0)).map(R1, ".events")
    build.add(mov(R2, R10), alu("add", R2, -8), mov(R3, 8), mov(R4, 0), call("ringbuf_output"), mov(R0, 0), EXIT)
    return build.program(**attach)  # type: ignore[arg-type]


def numbers(records: object) -> list[int]:
    return [struct.unpack("=Q", record)[0] for record in records]  # type: ignore[attr-defined]


def loaded(*programs: ProgramSpec, **options: object) -> MachineEngine:
    machine = MachineEngine(**{"clock": VirtualClock(0), **options})  # type: ignore[arg-type]
    machine.load(image(*programs, maps=[EVENTS, LOST]))
    return machine


def test_it_is_an_engine() -> None:
    engine: Engine = MachineEngine()
    assert engine.name == "machine" and engine.fileno() == -1


def test_begin_runs_once() -> None:
    program = telling()
    with loaded(program) as machine:
        assert machine.attach() == []
        assert machine.run_once(program) == 0
        assert numbers(machine.poll(0)) == [0]
        assert machine.poll(1000) == []


def test_interval_on_a_virtual_clock_takes_no_time() -> None:
    machine = loaded(telling(kind="interval", period_ns=SECOND_NS))
    assert machine.attach() == []
    start = time.monotonic()
    assert [numbers(machine.poll(10_000)) for _ in range(3)] == [[SECOND_NS], [2 * SECOND_NS], [3 * SECOND_NS]]
    assert machine.poll(500) == []
    assert numbers(machine.poll(500)) == [4 * SECOND_NS]
    assert time.monotonic() - start < 3  # of the clock: 4
    machine.detach()
    assert machine.poll(5000) == []


def test_intervals_take_turns() -> None:
    fast = telling(name="fast", kind="interval", period_ns=400)
    slow = telling(name="slow", kind="interval", period_ns=1000)
    machine = loaded(fast, slow)
    machine.attach()
    times = []
    while len(times) < 7:
        times += numbers(machine.poll(1))
    assert times == [400, 800, 1000, 1200, 1600, 2000, 2000]


def test_late_intervals_are_counted_not_run() -> None:
    clock = VirtualClock(0)
    machine = loaded(telling(kind="interval", period_ns=100), clock=clock)
    machine.attach()
    clock.now_ns = 350
    assert numbers(machine.poll(0)) == [350]
    assert machine.missed_intervals == 2
    assert numbers(machine.poll(1)) == [400]


def test_interval_on_the_real_clock() -> None:
    machine = loaded(telling(kind="interval", period_ns=5_000_000), clock=RealClock())
    before_ns = time.monotonic_ns()
    machine.attach()
    [when_ns] = numbers(machine.poll(2000))
    assert before_ns + 5_000_000 <= when_ns <= time.monotonic_ns()


def test_probes_are_found_by_name_and_know_their_cookie() -> None:
    program = telling("get_attach_cookie", kind="tracepoint")
    points = tuple(AttachSpec("tracepoint", f"tracepoint:a:{n}", {}, cookie=n) for n in (3, 4))
    program = ProgramSpec(**{**{f: getattr(program, f) for f in program.__slots__}, "attach": points})
    machine = loaded(program, feeds=frozenset({"tracepoint"}))
    assert machine.attach() == []
    for name in ("main", "tracepoint:a:3", "tracepoint:a:4"):
        machine.fire(name)
    machine.fire("tracepoint:a:4", cookie=9)
    assert numbers(machine.poll(0)) == [3, 3, 4, 9]
    with pytest.raises(InternalError, match="no program or probe tracepoint:a:5"):
        machine.fire("tracepoint:a:5")


@pytest.mark.parametrize(
    "kind,reason",
    [("tracepoint", "ptrace engine"), ("uprobe", "ptrace engine"), ("kprobe", "only the kernel engine can run kprobe")],
)
def test_what_cannot_be_attached_says_where_it_could(kind: str, reason: str) -> None:
    machine = loaded(telling(kind=kind), telling(name="other"))
    [failure] = machine.attach()
    assert failure.spec.kind == kind and reason in failure.reason


def test_unknown_kind_of_map() -> None:
    with pytest.raises(NotSupported, match="no maps of type prog_array"):
        MachineEngine().load(image(maps=[MapSpec("x", "prog_array", 4, 4, 1)]))


def test_lost_events_are_summed_over_cpus() -> None:
    machine = loaded(telling(), cpus=3)
    assert machine.lost_events() == 0
    machine.map(".lost").update(bytes(4), struct.pack("=Q", 5))
    assert machine.lost_events() == 15


def test_timing_gives_nanoseconds() -> None:
    program = telling()
    machine = loaded(program)
    assert 100 < machine.run_timed(program, 50) < 10_000_000
    assert len(machine.poll(0)) == 50


def test_maps_are_readable_after_close() -> None:
    machine = loaded(telling())
    machine.close()
    machine.close()
    assert machine.map(".lost").per_cpu_lookup(bytes(4)) == [bytes(8)]


def test_the_machine_goes_on_after_a_fault() -> None:
    bad = (
        Build()
        .map(R1, ".events")
        .add(mov(R2, 8), mov(R3, 0), call("ringbuf_reserve"), mov(R1, 0), load(R0, R1, 0, 8), EXIT)
    )
    good = telling()
    machine = loaded(bad.program("bad"), good)
    for _ in range(3):
        with pytest.raises(ProgramFault, match="program bad, instruction 6"):
            machine.fire("bad")
    machine.fire("main")
    assert numbers(machine.poll(0)) == [0]


def test_the_parent_is_found_through_made_up_task_structs() -> None:
    """curtask->real_parent->tgid with probe reads, as `ppid` does."""
    build = Build().add(call("get_current_task"), mov(R3, R0), alu("add", R3, 100), mov(R1, R10), alu("add", R1, -8))
    build.add(mov(R2, 8), call("probe_read_kernel"), load(R3, R10, -8, 8), alu("add", R3, 60), mov(R1, R10))
    build.add(alu("add", R1, -8), mov(R2, 4), call("probe_read_kernel"), load(R0, R10, -8, 4), EXIT)
    machine = MachineEngine(task_fields={"real_parent": 100, "tgid": 60})
    machine.load(image(build.program()))
    assert machine.fire("main", task=Task(pid=5, tid=6, ppid=77)) == 77
    assert machine.fire("main") == os.getppid()
    without = MachineEngine()
    without.load(image(build.program()))
    assert without.fire("main") == 0
