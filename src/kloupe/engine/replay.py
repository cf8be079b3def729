"""ReplayEngine: the user-space machine, fed from a recording. Time is the recording's, memory what was recorded with each run."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from ..base import journal
from ..image import AttachSpec, Image, MapSpec, ProgramSpec
from ..recording.read import Entry, Recording, read_entries
from .machine.engine import MachineEngine
from .machine.maps import CurrentCpu, Map
from .machine.memory import WINDOW_BITS, AddressSpace
from .machine.task import NO_STACKS, Task
from .protocol import AttachFailure
from .recorded_run import RecordedMemory, RecordedRandom, RecordedStackMap, ReplayClock, Seen

_QUICK = struct.Struct("=IIQ52xHHQ8x").unpack_from  # length, program, time, context bytes, flags, cookie
_LENGTH = struct.Struct("=I").unpack_from
_WHO, _WHO_END = journal.IDENTITY.start, journal.IDENTITY.stop
_IDENTITY = struct.Struct("=QQQQ16sI").unpack
_HEADER_BYTES = journal.HEADER_BYTES
_BATCH_RECORDS, _BATCH_RUNS = 512, 4096
# What user space does about such events depends on when it gets to them, so they are handed over at once.
_AT_ONCE = frozenset(("print_map", "print_entry", "clear", "zero", "exit", "time", "system", "cat"))
_ON_REQUEST = frozenset(("begin", "end", "test", "bench"))
Target = tuple[str, int]  # a program of the image, and the cookie of its attach point


class ReplayEngine(MachineEngine):
    """Runs an Image over `recording`. `finished` when it is at its end.

    Attach points are matched by name. Where a name has as many programs here as in the recording, each gets the runs of its own one;
    else all get the runs of the first. Intervals that were not recorded run on the recording's clock.
    """

    name = "replay"

    def __init__(self, recording: Recording) -> None:
        meta = recording.meta
        self._clock = ReplayClock(dict(meta.clocks))
        task = Task(**{k: v.encode() if isinstance(v, str) else v for k, v in meta.task.items()})  # type: ignore[arg-type]
        super().__init__(clock=self._clock, task=task, seed=0, cpus=meta.cpus, allow_effects=True)
        self.recording = recording
        self.finished = False
        self.runs = 0
        self._random = RecordedRandom(self._core.random)
        self._core.random = self._random  # type: ignore[assignment]
        self._missing = [0]
        self._tasks: dict[bytes, Task] = {}
        self._targets: dict[
            tuple[int, int], tuple[tuple[str, int], ...]
        ] = {}  # (program, cookie) -> (program, cookie) here
        self._kept: dict[str, list[bytes]] = {}  # runs of programs that the session asks for, by program
        self._chunks: Iterator[bytes] = iter(())
        self._chunk = b""
        self._at = 0  # of the next run in the chunk
        self._nothing = RecordedMemory([], self._missing)
        self._window = self._core.context_address >> WINDOW_BITS
        self._at_once: frozenset[int] = frozenset()
        self._on_request: set[str] = set()
        self._limits = (0, 0)  # of the script's stacks: kernel, user

    # -- matching -------------------------------------------------------------------------------------------------

    def load(self, image: Image) -> None:
        """See Engine."""
        super().load(image)
        self._at_once = frozenset(event.id for event in image.events if event.kind in _AT_ONCE)
        depth = {spec.name: spec.value_size // 8 for spec in image.maps if spec.kind == "stack_trace"}
        self._limits = (
            max((d for name, d in depth.items() if name.startswith(".kstack")), default=0),
            max((d for name, d in depth.items() if name.startswith(".ustack")), default=0),
        )
        self._match(image)
        self._chunks = self.recording.chunks()
        self._prefetch()

    def _new_map(self, spec: MapSpec, space: AddressSpace, cpu: CurrentCpu) -> Map:
        names = self.recording.meta.stack_maps
        if spec.kind != "stack_trace" or spec.name not in names:
            return super()._new_map(spec, space, cpu)
        number = names.index(spec.name)
        ids = {stack: key[1] for key, stack in self.recording.stacks.items() if key[0] == number}
        return RecordedStackMap(spec, space, cpu, ids)

    def _match(self, image: Image) -> None:
        ours: dict[str, list[tuple[str, int]]] = {}
        for program in image.programs:
            for spec in program.attach:
                ours.setdefault(spec.name, []).append((program.name, spec.cookie))
                if spec.kind in _ON_REQUEST:
                    self._on_request.add(program.name)
        theirs: dict[str, list[tuple[int, int]]] = {}
        for number, names in enumerate(self.recording.meta.points):
            for cookie, name in enumerate(names):
                theirs.setdefault(name, []).append((number, cookie))
        for name, targets in ours.items():
            sources = theirs.get(name, [])
            if len(sources) == len(targets):
                self._targets.update({source: (target,) for source, target in zip(sources, targets, strict=True)})
            elif sources:
                self._targets[sources[0]] = tuple(targets)

    def _prefetch(self) -> None:
        """Take the runs of begin programs, which come first."""
        while self._at < len(self._chunk) or self._next_chunk():
            if not self._keep(self._chunk, self._at):
                return
            self._at += _LENGTH(self._chunk, self._at)[0]
        self.finished = False  # poll tells the end

    def _keep(self, chunk: bytes, at: int) -> bool:
        """Whether the run is one that the session asks for; then it is kept until it does."""
        length, program, _, _, _, cookie = _QUICK(chunk, at)
        targets = self._targets.get((program, cookie), ())
        wanted = [name for name, _ in targets if name in self._on_request]
        for name in wanted:
            self._kept.setdefault(name, []).append(chunk[at : at + length])
        return bool(wanted)

    def attach(self) -> list[AttachFailure]:
        """Start the intervals that are not in the recording; gives what it does not have."""
        assert self._image is not None
        recorded = {name for names in self.recording.meta.points for name in names}
        failures = []
        for program in self._image.programs:
            for spec in program.attach:
                if spec.name in recorded or spec.kind in _ON_REQUEST or spec.kind == "self":
                    continue
                if spec.kind == "interval":
                    self.add_timer(spec, self._clock.now_ns)
                else:
                    failures.append(AttachFailure(spec, self._absent(spec)))
        return failures

    def _absent(self, spec: AttachSpec) -> str:
        names = sorted({name for names in self.recording.meta.points for name in names})
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        return f"the recording has no runs of {spec.name}; it has {shown}"

    # -- running --------------------------------------------------------------------------------------------------

    def run_once(self, program: ProgramSpec) -> int:
        """As it was recorded, or else as the tracer, now."""
        kept = self._kept.get(program.name)
        if kept:
            run = kept.pop(0)
            length, _, time_ns, size, _, _ = _QUICK(run, 0)
            return self._replay(run, 0, length, time_ns, size, ((program.name, program.attach[0].cookie),))
        self._forget()
        return self.fire(program.name)

    def poll(self, timeout_ms: int) -> Sequence[bytes | memoryview]:
        """Run on in the recording until there are records; none at its end."""
        rings, at_once, targets = self._core.rings, self._at_once, self._targets
        for _ in range(_BATCH_RUNS):
            chunk, at = self._chunk, self._at
            if at >= len(chunk):
                if not self._next_chunk():
                    break
                chunk, at = self._chunk, 0
            length, program, time_ns, size, _, cookie = _QUICK(chunk, at)
            self._at = at + length
            if self._timers:
                self._advance(time_ns)
            found = targets.get((program, cookie))
            if found is not None and not (self._on_request and self._keep(chunk, at)):
                self._replay(chunk, at, length, time_ns, size, found)
            for ring in rings:
                records = ring.records
                if records and (len(records) >= _BATCH_RECORDS or (at_once and any(r[0] in at_once for r in records))):
                    return self._drain()
        return self._drain()

    def _next_chunk(self) -> bool:
        """Go to the next chunk; False at the end of the recording."""
        self._chunk, self._at = next(self._chunks, b""), 0
        if not self._chunk:
            self._end()
        return bool(self._chunk)

    def _replay(self, chunk: bytes, at: int, length: int, time_ns: int, size: int, targets: tuple[Target, ...]) -> int:
        """Run the programs of a recorded run of `length` bytes with `size` bytes of context; gives the last r0."""
        self._clock.now_ns = time_ns
        self.runs += 1
        key = chunk[at + _WHO : at + _WHO_END]
        task = self._tasks.get(key) or self._new_task(key)
        start = at + _HEADER_BYTES
        context = chunk[start : start + size]
        entries = start + (size + 7 & ~7)
        if entries < at + length:
            return self._replay_with(
                targets, context, task, read_entries(chunk, entries, at + length, self.recording.path)
            )
        return self._replay_plain(targets, context, task)

    def _replay_plain(self, targets: tuple[Target, ...], context: bytes, task: Task) -> int:
        """A run that asked for nothing: what differs from the one before is the context and the task."""
        core = self._core
        if core.memory is not self._nothing:
            core.set_event(b"", task, self._nothing, NO_STACKS, 0, 0, {}, False)
            self._forget()
        core.space.readable[self._window] = core.context = context
        core.task = task
        core.cpu.number = task.cpu if task.cpu < core.cpu.count else 0
        result = 0
        for name, cookie in targets:
            probe = self._probes[name]
            core.cookie = cookie
            result = self._run(probe.translation or self._translation(probe))
        return result

    def _replay_with(self, targets: tuple[Target, ...], context: bytes, task: Task, entries: list[Entry]) -> int:
        result = 0
        for name, cookie in targets:
            seen = Seen(entries, task, self.recording, self._limits, self._missing)
            self._clock.readings = seen.readings
            self._random.numbers = seen.random
            result = self.fire(
                name,
                context,
                task=seen.task,
                memory=RecordedMemory(seen.pieces, self._missing),
                stacks=seen.stacks,
                cookie=cookie,
                function_address=seen.function,
                paths=seen.paths,
            )
        return result

    def _forget(self) -> None:
        self._clock.readings = {}
        self._random.numbers = []

    def _new_task(self, key: bytes) -> Task:
        task, owner, address, cgroup_id, comm, cpu = _IDENTITY(key)
        made = Task(
            pid=task >> 32,
            tid=task & 0xFFFFFFFF,
            uid=owner & 0xFFFFFFFF,
            gid=owner >> 32,
            comm=comm.partition(b"\0")[0],
            cgroup_id=cgroup_id,
            cpu=cpu,
            address=address,
        )
        self._tasks[key] = made
        return made

    # -- time -----------------------------------------------------------------------------------------------------

    def _advance(self, time_ns: int) -> None:
        """Run the intervals that are due up to `time_ns`, each at its time."""
        while (due_ns := self.next_due_ns) is not None and due_ns <= time_ns:
            self._clock.now_ns = due_ns
            self._forget()
            self._run_due(due_ns)

    def _end(self) -> None:
        self._advance(self.recording.summary.get("end_ns", 0))
        self.finished = True

    def detach(self) -> None:
        """Run what is left of the recording of this script: its probes were attached up to the end."""
        if not self.finished and self._is_own:
            while not self.finished:
                self.poll(0)
        super().detach()

    @property
    def _is_own(self) -> bool:
        return self._image is self.recording.image

    # -- the receipt ----------------------------------------------------------------------------------------------

    def losses(self) -> list[str]:
        """What the session says at the end."""
        notes = []
        if self._missing[0]:
            many = "s" if self._missing[0] != 1 else ""
            notes.append(
                f"{self._missing[0]} read{many} of memory that the recording does not have: the script that was recorded did not "
                "read it, so it failed as a bad address does"
            )
        lost = self.recording.summary.get("lost", 0)
        if lost:
            notes.append(f"The recording lacks {lost} events that were lost while it was made")
        full = self.recording.summary.get("full_runs", 0)
        if full:
            notes.append(f"In {full} recorded runs there was no room for all that they read")
        if not self.recording.complete:
            notes.append(f"The recording was cut off; it ends with its last complete block ({self.runs} runs)")
        return notes
