"""MachineEngine: runs an Image in user space. Begin, end, self, test, bench and interval probes by itself; others are fed."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence

from ...base.errors import InternalError, MachineFault, NotSupported
from ...image import AttachSpec, Image, MapSpec, ProgramSpec
from ..protocol import AttachFailure, MapAccess
from .clock import Clock, RealClock
from .core import Core, Effect
from .faults import program_fault
from .maps import ArrayMap, CurrentCpu, HashMap, Map, MapOfMaps, StackTraceMap
from .memory import AddressSpace, MemorySource
from .ringbuf import RingBuffer
from .task import NO_STACKS, Stacks, Task, this_task
from .task_memory import TaskMemory
from .translate import Translation, translate_program

MAP_CLASSES: dict[str, type[Map]] = {
    "array": ArrayMap,
    "percpu_array": ArrayMap,
    "hash": HashMap,
    "percpu_hash": HashMap,
    "lru_hash": HashMap,
    "lru_percpu_hash": HashMap,
    "ringbuf": RingBuffer,
    "stack_trace": StackTraceMap,
    "array_of_maps": MapOfMaps,
}

# Kinds that run on request.
ON_REQUEST = frozenset({"begin", "end", "self", "test", "bench"})

_OWN_PROCESSES = "it needs the ptrace engine (-c or -p), a recording, or the kernel engine"
# Why a kind cannot be attached here.
REASONS: dict[str, str] = {
    "tracepoint": f"the user-space machine sees no tracepoints: {_OWN_PROCESSES}",
    "rawtracepoint": f"the user-space machine sees no tracepoints: {_OWN_PROCESSES}",
    "tp_btf": f"the user-space machine sees no tracepoints: {_OWN_PROCESSES}",
    "uprobe": f"the user-space machine sees no other process: {_OWN_PROCESSES}",
}
_KERNEL_ONLY = "only the kernel engine can run {kind} probes"

MIN_RING_BYTES = 64 << 20
DEFAULT_LIMIT_INSNS = 10_000_000
_FOREVER_SLICE_NS = 100_000_000  # a wait without end still comes back, so that signals are seen


class _Timer:
    """An interval probe: its program and when it is due."""

    __slots__ = ("due_ns", "period_ns", "probe")

    def __init__(self, probe: _Probe, period_ns: int, now_ns: int) -> None:
        self.probe = probe
        self.period_ns = period_ns
        self.due_ns = now_ns + period_ns


class _Probe:
    """A program together with the place it is attached to."""

    __slots__ = ("cookie", "program", "translation")

    def __init__(self, program: ProgramSpec, cookie: int) -> None:
        self.program = program
        self.cookie = cookie
        self.translation: Translation | None = None


class MachineEngine:
    """The Engine in user space.

    `task` is who runs the own probes (default: this thread). `feeds` are attach kinds that somebody feeds with `fire`; others
    but the own ones fail to attach. `cpus` is the number of CPUs of per-CPU maps. `exact_ring` limits the ring buffer to the
    Image's size; otherwise it may hold 64 MiB, since nobody reads it while a program runs. `allow_effects` lets programs
    ask for signals, overrides and writes to user memory, which are then found in `effects`; nothing is done to anybody here. `task_fields` are byte offsets
    in task_struct of the target the Image is for (pid, tgid, comm, real_parent, parent), so that programs can follow the current task.
    """

    name = "machine"

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        task: Task | None = None,
        seed: int | None = None,
        cpus: int = 1,
        feeds: frozenset[str] = frozenset(),
        limit_insns: int = DEFAULT_LIMIT_INSNS,
        exact_ring: bool = False,
        allow_effects: bool = False,
        task_fields: Mapping[str, int] | None = None,
    ) -> None:
        self.clock: Clock = clock or RealClock()
        self.feeds = feeds
        self.missed_intervals = 0
        self._exact_ring = exact_ring
        self._core = Core(task or this_task(), self.clock, cpus=cpus, seed=seed, limit_insns=limit_insns)
        self._core.allow_effects = allow_effects
        if task_fields:
            self._core.made_up = TaskMemory(lambda: self._core.task, task_fields)
        self._maps: dict[str, Map] = {}
        self._probes: dict[str, _Probe] = {}
        self._timers: list[_Timer] = []
        self._image: Image | None = None

    # Loading.

    def load(self, image: Image) -> None:
        """Create the maps. Programs are translated when they first run. Raises NotSupported for a kind of map we lack."""
        self._image = image
        for spec in image.maps:
            self._maps[spec.name] = made = self._new_map(spec, self._core.space, self._core.cpu)
            if isinstance(made, MapOfMaps):
                made.hold([self._maps[name] for name in spec.members])
            self._core.add_map(made)
        for program in image.programs:
            by_program = _Probe(program, program.attach[0].cookie if program.attach else 0)
            self._probes[program.name] = by_program
            for point in program.attach:
                probe = by_program if point.cookie == by_program.cookie else _Probe(program, point.cookie)
                self._probes.setdefault(point.name, probe)

    def _new_map(self, spec: MapSpec, space: AddressSpace, cpu: CurrentCpu) -> Map:
        kind = MAP_CLASSES.get(spec.kind)
        if kind is None:
            raise NotSupported(f"the user-space machine has no maps of type {spec.kind}")
        if kind is RingBuffer:
            return RingBuffer(spec, space, cpu, 0 if self._exact_ring else max(spec.max_entries, MIN_RING_BYTES))
        return kind(spec, space, cpu)

    def _translation(self, probe: _Probe) -> Translation:
        if probe.translation is None:
            shared = self._probes[probe.program.name]
            if shared.translation is None:
                shared.translation = translate_program(probe.program, self._core, self._maps)
            probe.translation = shared.translation
        return probe.translation

    # Running.

    def fire(
        self,
        name: str,
        context: bytes = b"",
        *,
        task: Task | None = None,
        memory: MemorySource | None = None,
        stacks: Stacks = NO_STACKS,
        cookie: int | None = None,
        function_address: int = 0,
        paths: Mapping[int, bytes] | None = None,
        is_return: bool = False,
    ) -> int:
        """Run the program (or the program of the probe) `name` on an event; gives r0.

        `context` is laid out as the kernel's: pt_regs for kprobe and uprobe, u64 arguments for raw tracepoints, fentry and
        fexit, the record for tracepoints. `memory` answers probe_read, `stacks` the stack helpers, `paths` d_path by address of the
        `struct path`. Raises ProgramFault when the program does something illegal, NotSupported when it needs the kernel.
        """
        probe = self._probes.get(name)
        if probe is None:
            raise InternalError(f"the image has no program or probe {name}")
        core = self._core
        core.set_event(
            context,
            task or core.own_task,
            memory,
            stacks,
            probe.cookie if cookie is None else cookie,
            function_address,
            paths or {},
            is_return,
        )
        return self._run(probe.translation or self._translation(probe))

    def _run(self, translation: Translation) -> int:
        core = self._core
        core.budget[0] = core.limit_insns
        try:
            result = translation.run(core.context_address)
        except Exception as error:
            self._abandon_reservations()
            raise program_fault(error, translation, core) from error
        except BaseException:  # an interrupt
            self._abandon_reservations()
            raise
        for ring in core.rings:
            if ring.open:
                self._abandon_reservations()
                raise MachineFault(f"program {translation.spec.name} left a ring-buffer record reserved")
        return result

    def _abandon_reservations(self) -> None:
        for ring in self._core.rings:
            for address in list(ring.open):
                ring.finish(address, False)

    def run_once(self, program: ProgramSpec) -> int:
        """Run now, as this process; gives r0."""
        return self.fire(program.name)

    def run_timed(self, program: ProgramSpec, repeat: int) -> int:
        """Run `repeat` times; gives the mean nanoseconds of a run."""
        self._translation(self._probes[program.name])
        start_ns = time.perf_counter_ns()
        for _ in range(repeat):
            self.fire(program.name)
        return (time.perf_counter_ns() - start_ns) // max(1, repeat)

    # Attaching.

    def attach(self) -> list[AttachFailure]:
        """Start the intervals; gives what can only run elsewhere."""
        assert self._image is not None
        failures = []
        now_ns = self.clock.monotonic_ns()
        for program in self._image.programs:
            for spec in program.attach:
                if spec.kind == "interval":
                    self.add_timer(spec, now_ns)
                elif spec.kind not in ON_REQUEST and spec.kind not in self.feeds:
                    failures.append(AttachFailure(spec, self._reason(spec)))
        return failures

    def add_timer(self, spec: AttachSpec, now_ns: int) -> None:
        """Start an interval."""
        self._timers.append(_Timer(self._probes[spec.name], int(spec.params["period_ns"]), now_ns))

    def _reason(self, spec: AttachSpec) -> str:
        return REASONS.get(spec.kind) or _KERNEL_ONLY.format(kind=spec.kind)

    def detach(self) -> None:
        """Stop the intervals."""
        self._timers.clear()

    # User space.

    def map(self, name: str) -> MapAccess:
        """A map by its name in the Image."""
        found = self._maps.get(name)
        if found is None:
            raise InternalError(f"the image has no map {name}")
        return found

    def poll(self, timeout_ms: int) -> Sequence[bytes | memoryview]:
        """Run intervals that are due until there are records or the timeout is over; gives the records, oldest first.

        A negative timeout waits for 100 ms at most, too, when there are no intervals. With a virtual clock nothing is waited for:
        the clock moves.
        """
        now_ns = self.clock.monotonic_ns()
        end_ns = now_ns + (timeout_ms * 1_000_000 if timeout_ms >= 0 else _FOREVER_SLICE_NS)
        while True:
            self._run_due(now_ns)
            records = self._drain()
            if records or now_ns >= end_ns:
                return records
            self.clock.sleep_until_ns(min([end_ns, *(timer.due_ns for timer in self._timers)]))
            now_ns = self.clock.monotonic_ns()

    def _run_due(self, now_ns: int) -> None:
        for timer in sorted(self._timers, key=lambda timer: timer.due_ns):
            if timer.due_ns > now_ns:
                break
            core = self._core
            core.set_event(b"", core.own_task, None, NO_STACKS, timer.probe.cookie, 0, {}, False)
            self._run(self._translation(timer.probe))
            timer.due_ns += timer.period_ns
            if timer.due_ns <= now_ns:  # the kernel's timers skip, too, what they are too late for
                late = (now_ns - timer.due_ns) // timer.period_ns + 1
                self.missed_intervals += late
                timer.due_ns += late * timer.period_ns

    @property
    def next_due_ns(self) -> int | None:
        """When the next interval is due on the monotonic clock; None without intervals."""
        return min((timer.due_ns for timer in self._timers), default=None)

    def has_records(self) -> bool:
        """Whether poll() would give records at once."""
        for ring in self._core.rings:  # noqa: SIM110 - asked at every stop of a traced process
            if ring.records:
                return True
        return False

    def _drain(self) -> list[bytes | memoryview]:
        records: list[bytes | memoryview] = []
        for ring in self._core.rings:
            records += ring.drain()
        return records

    def lost_events(self) -> int:
        """The sum of map ".lost"."""
        lost = self._maps.get(".lost")
        if lost is None:
            return 0
        key = bytes(lost.key_size)
        values = lost.per_cpu_lookup(key) if lost.is_per_cpu else [lost.lookup(key) or bytes(8)]
        return sum(int.from_bytes(value[:8], sys.byteorder) for value in values or ())

    @property
    def effects(self) -> list[Effect]:
        """What programs asked to do to the system, oldest first."""
        return self._core.effects

    def fileno(self) -> int:
        """There is no descriptor: poll() is the clock."""
        return -1

    def close(self) -> None:
        """Forget timers and programs; maps stay readable."""
        self.detach()
        self._probes.clear()

    def __enter__(self) -> MachineEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
