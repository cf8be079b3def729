"""`KernelEngine`: the Engine that lets the kernel run an Image."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from ...base.errors import InternalError
from ...host import bpf
from ...host.fd import reserve_files
from ...host.ring import RingReader
from ...image import AttachSpec, Image, ProgramSpec
from ..protocol import AttachFailure
from .attach import Attachments, files_needed
from .btf_ids import BtfIds
from .maps import KernelMap, create_map
from .programs import LoadedProgram, LogSink, load_program
from .refusal import explain_refusal

# MAX_BPF_FUNC_ARGS (12) u64 arguments, the longest context BPF_PROG_TEST_RUN takes for a raw tracepoint (net/bpf/test_run.c).
_CONTEXT_BYTES = 96
_OTHER_FILES = 64
_EVENTS, _LOST = ".events", ".lost"


class KernelEngine:
    """Loads one Image, attaches it, reads its events. Leaving the `with` block detaches and releases everything."""

    name = "kernel"

    def __init__(self, log_sink: LogSink | None = None) -> None:
        """`log_sink` gets each program's name and the verifier's log of its load."""
        self._log_sink = log_sink
        self._maps: dict[str, KernelMap] = {}
        self._programs: list[LoadedProgram] = []
        self._runs: dict[str, bpf.TestRun] = {}
        self._missing: list[tuple[AttachSpec, str]] = []
        self._attachments = Attachments()
        self._ring: RingReader | None = None
        self._backlog: list[bytes] = []
        self._stats_fd = -1

    def load(self, image: Image) -> None:
        """Create maps and load programs; when it fails nothing stays. Raises VerifierError, PermissionNeeded, NotSupported."""
        ids = BtfIds()
        reserve_files(_OTHER_FILES + len(image.maps) + files_needed(image.programs))
        try:
            for map_spec in image.maps:
                self._maps[map_spec.name] = create_map(map_spec, self._maps)
            events = self._maps.get(_EVENTS)
            if events is not None:
                self._ring = self._open_ring(events)
            for program in image.programs:
                self._programs += load_program(program, self._maps, ids, self._missing, self._log_sink)
        except BaseException:
            self.close()
            raise
        finally:
            ids.close()

    def _open_ring(self, events: KernelMap) -> RingReader:
        try:
            return RingReader(events.fd, events.spec.max_entries)
        except OSError as error:
            raise explain_refusal(error, "mapping the ring buffer") from error

    def run_once(self, program: ProgramSpec) -> int:
        """Run a program once on the current CPU; gives its result as u32."""
        try:
            return self._test_run(program).run()
        except OSError as error:
            raise explain_refusal(error, f"running {program.name}") from error

    def run_timed(self, program: ProgramSpec, repeat: int) -> int:
        """Run `repeat` times; gives the mean nanoseconds of a run, by the kernel's own clock where it can."""
        run = self._test_run(program)
        with_stats = self.enable_stats()
        before = program_stats(self).get(program.name, (0, 0))
        started = time.perf_counter_ns()
        try:
            for _ in range(repeat):
                run.run()
        except OSError as error:
            raise explain_refusal(error, f"running {program.name}") from error
        elapsed = time.perf_counter_ns() - started
        count, spent = program_stats(self).get(program.name, (0, 0))
        if with_stats and count > before[0]:
            return (spent - before[1]) // (count - before[0])
        return elapsed // max(1, repeat)

    def _test_run(self, program: ProgramSpec) -> bpf.TestRun:
        run = self._runs.get(program.name)
        if run is None:
            loaded = next((p for p in self._programs if p.spec.name == program.name), None)
            if loaded is None:
                raise InternalError(f"program {program.name} is not loaded")
            run = self._runs[program.name] = bpf.TestRun(loaded.fd, _CONTEXT_BYTES)
        return run

    def attach(self) -> list[AttachFailure]:
        """Attach everything the kernel or the clock runs, run the iterators, and give the failures."""
        failures = [AttachFailure(spec, reason) for spec, reason in self._missing]
        for program in _in_attach_order(self._programs):
            failures += self._attachments.attach(program)
        failures += self._attachments.run_iterators(self._read_ahead)
        return failures

    def _read_ahead(self) -> None:
        if self._ring is not None:
            self._backlog += self._ring.read()

    def detach(self) -> None:
        """Stop all attached probes; no attached program runs after it."""
        self._attachments.detach()

    def map(self, name: str) -> KernelMap:
        """A map by its name in the Image."""
        found = self._maps.get(name)
        if found is None:
            raise InternalError(f"no map {name} in this Image")
        return found

    def poll(self, timeout_ms: int) -> Sequence[bytes]:
        """Records that are there, or that come within the timeout; oldest first."""
        ring = self._ring
        if ring is None:
            time.sleep(max(0, timeout_ms) / 1000)
            return []
        records = ring.read()
        if self._backlog:
            records, self._backlog = self._backlog + records, []
        if not records and timeout_ms and ring.wait(timeout_ms):
            records = ring.read()
        return records

    def lost_events(self) -> int:
        """Events that found no room in the ring buffer so far."""
        lost = self._maps.get(_LOST)
        if lost is None:
            return 0
        values = lost.per_cpu_lookup(bytes(lost.spec.key_size)) or ()
        return sum(int.from_bytes(value[:8], sys.byteorder) for value in values)

    def fileno(self) -> int:
        """The ring buffer's descriptor, or -1 for an Image without events."""
        events = self._maps.get(_EVENTS)
        return -1 if events is None else events.fd

    def enable_stats(self) -> bool:
        """Count runs and run time of programs from now to `close`; False when that is not allowed or known here."""
        if self._stats_fd < 0:
            try:
                self._stats_fd = bpf.enable_stats()
            except OSError:
                return False
        return True

    def programs(self) -> Sequence[LoadedProgram]:
        """The programs in the kernel."""
        return self._programs

    def close(self) -> None:
        """Detach and release everything. May be called twice."""
        self.detach()
        self._runs.clear()
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        for program in self._programs:
            os.close(program.fd)
        self._programs = []
        for created in self._maps.values():
            created.close()
        self._maps = {}
        if self._stats_fd >= 0:
            os.close(self._stats_fd)
            self._stats_fd = -1

    def __enter__(self) -> KernelEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _program_info(program: LoadedProgram) -> bpf.ProgramInfo:
    try:
        return bpf.program_info(program.fd)
    except OSError as error:
        raise explain_refusal(error, f"reading statistics of {program.spec.name}") from error


def _runs_last_first(spec: AttachSpec) -> bool:
    returns_of_kernel = spec.kind == "kprobe" and bool(spec.params.get("retval"))
    return spec.kind in ("kprobe", "uprobe", "fentry", "fexit") and not returns_of_kernel


def _in_attach_order(programs: Sequence[LoadedProgram]) -> list[LoadedProgram]:
    """The kernel runs most probes of one place last attached first, so these go in from the last to the first."""
    last_first = [p for p in programs if any(_runs_last_first(spec) for spec in p.spec.attach)]
    return [p for p in programs if p not in last_first] + last_first[::-1]


def program_stats(engine: KernelEngine) -> dict[str, tuple[int, int]]:
    """Program name -> (runs, nanoseconds), counted since `engine.enable_stats()`. Raises TargetError."""
    totals: dict[str, tuple[int, int]] = {}
    for program in engine.programs():
        info = _program_info(program)
        count, spent = totals.get(program.spec.name, (0, 0))
        totals[program.spec.name] = (count + info.run_count, spent + info.run_time_ns)
    return totals


def missed_runs(engine: KernelEngine) -> dict[str, int]:
    """Program name -> times the kernel left it out because it was running already on that CPU (5.12), where not 0."""
    totals: dict[str, int] = {}
    for program in engine.programs():
        misses = _program_info(program).recursion_misses
        if misses:
            totals[program.spec.name] = totals.get(program.spec.name, 0) + misses
    return totals
