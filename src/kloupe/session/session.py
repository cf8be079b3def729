"""The run loop: begin programs, attach, poll and print, end programs, maps. Order and wording are bpftrace's."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence

from ..base.errors import AttachError, KloupeError
from ..base.record import record
from ..engine.protocol import CanFinish, Engine
from ..image import AttachSpec, Image, ProgramSpec
from ..output.decode import TRUNCATED
from ..output.model import Output
from ..output.names import Names
from ..output.sink import OutputError, Sink
from .child import ChildProcess, ProcessWatch
from .dispatch import Dispatcher
from .handlers import Record, Scene
from .mapread import Maps
from .outside import Outside
from .pids import PidKeeper
from .receipt import Receipt
from .symbolize import NoSymbols, Symbolizer
from .wait import Pace, SignalWatch, Waiter

START_MAP = ".start"  # an array of one u64: boot-time nanoseconds at the start of the session
NOTIFY_VARIABLE = "__BPFTRACE_NOTIFY_PROBES_ATTACHED"
BIG_ENDIAN_ARCHES = ("s390x", "ppc64", "mips64", "sparc64")

# Probe kinds that the session runs itself; an engine attaches the others.
OWN_KINDS = ("begin", "end", "self", "test", "bench")
# With only these there is nothing to wait for.
_SELF_ENDING_KINDS = ("begin", "end", "iter")

_IDLE_MS = 100  # the longest a session sleeps before it looks at lost events and processes
_CHECK_S = 0.1


@record
class Options:
    """How to run. `mode`: "run", "test", "bench" or "dry" (attach, say nothing, end).

    `child` runs after the attach and ends the session with its end; so does the end of process `pid`. `notify` prints the line that
    drivers of bpftrace wait for; `notify_fd` is where.
    """

    mode: str = "run"
    quiet: bool = False
    show_warnings: bool = True
    child: ChildProcess | None = None
    pid: int | None = None
    notify: bool = False
    notify_fd: int = 1
    handle_signals: bool = True
    start_ns: int = 0  # the boot clock when the session started, if not now
    ends_process: bool = False  # the process has nothing else to do: a late signal is not to change its exit status


def is_little_endian(image: Image) -> bool:
    """Whether the Image's machine stores low bytes first."""
    return image.arch not in BIG_ENDIAN_ARCHES


def programs_of(image: Image, kind: str) -> Iterator[tuple[ProgramSpec, AttachSpec]]:
    """The programs of one of the session's own probe kinds, once per attach point, in order."""
    for program in image.programs:
        for spec in program.attach:
            if spec.kind == kind:
                yield program, spec


def _count_probes(program: ProgramSpec, failed: set[int]) -> int:
    """How many probes of the script a program serves now; `failed` are the identities of attach points that failed."""
    points = [s for s in program.attach if s.kind not in ("test", "bench") and not s.params.get("location")]
    attached = sum(1 for spec in points if id(spec) not in failed)
    if attached and program.probe_count and len(points) == 1:  # one attach point in place of many
        return program.probe_count
    return attached


class Session:
    """Runs `image`, which `engine` has not loaded yet, and prints to `out`.

    `run` gives the exit status. It raises what the engine raises on load, AttachError, and OutputError when the output cannot be
    written for another reason than a reader that is gone. The engine is closed by who made it.
    """

    def __init__(
        self,
        image: Image,
        engine: Engine,
        out: Output,
        names: Names,
        options: Options | None = None,
        symbolizer: Symbolizer | None = None,
        outside: Outside | None = None,
    ) -> None:
        self.image = image
        self.engine = engine
        self.out = out
        self.options = options or Options()
        self.receipt = Receipt()
        little = is_little_endian(image)
        trailer = str(image.config.get("str_trunc_trailer", TRUNCATED))
        self.maps = Maps(image, engine, little, trailer)
        self.scene = Scene(image, out, names, self.maps, little, trailer, self.options.show_warnings)
        if outside is not None:
            self.scene.outside = outside
        self.dispatcher = Dispatcher(self.scene)
        child, pid = self.options.child, self.options.pid
        pids = [p for p in (child.pid if child else None, pid) if p is not None]
        self._keeper = PidKeeper(image, engine, symbolizer or NoSymbols(), pids, "<" if little else ">")
        self._pending: list[Record] = []  # what begin programs sent before the attach was announced
        self._stopping = False
        self._raised: list[str] = []  # signals with self: probes that have not run yet
        self._waiter: Waiter | None = None
        self._watch: ProcessWatch | None = None
        self._next_check = 0.0

    # -- from outside ---------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End the session as SIGINT does: end programs run, maps are printed. From any thread."""
        self._stopping = self.scene.interrupted = True
        if self._waiter:
            self._waiter.wake()

    def run(self) -> int:
        """Load, run until something ends it, print; gives the exit status."""
        try:
            status = self._run()
            self.out.close()
            return status
        except OutputError as error:
            self.engine.detach()
            if error.reader_gone:
                return error.exit_status
            raise
        finally:
            if self.options.child:
                self.options.child.close()
            if self._watch:
                self._watch.close()
            if self._waiter:
                self._waiter.close()
                self._waiter = None

    # -- the steps ------------------------------------------------------------------------------------------------

    def _note_start(self) -> None:
        """Give programs that ask for `elapsed` the moment it counts from."""
        if any(spec.name == START_MAP for spec in self.image.maps):
            now = self.options.start_ns or time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            stored = now.to_bytes(8, "little" if is_little_endian(self.image) else "big")
            self.engine.map(START_MAP).update(bytes(4), stored)

    def _run(self) -> int:
        if not any(program.attach for program in self.image.programs):
            if not self.options.quiet:
                self.out.write(b"No probes to attach\n")
            return 1
        if self.options.pid is not None:
            self._watch = ProcessWatch(self.options.pid)
        self._waiter = Waiter(self._descriptors())
        self.engine.load(self.image)
        self._note_start()
        signals = self._watch_signals()
        try:
            self._run_begin()
            if self.options.mode in ("test", "bench"):
                status = self._run_checks()
            else:
                attached = self._attach()
                if self.options.mode == "dry":
                    self.engine.detach()
                    return 0
                self._announce(attached)
                self._loop(drain=self._ends_by_itself())
                status = None
            self._finish()
        finally:
            if signals:
                signals.close()
        return self.scene.exit_status & 255 if status is None else status

    def _descriptors(self) -> list[int]:
        child = self.options.child
        return [child.fileno() if child else -1, self._watch.fileno() if self._watch else -1]

    def _watch_signals(self) -> SignalWatch | None:
        if not self.options.handle_signals:
            return None
        assert self._waiter is not None
        handlers = {name: self.stop for name in ("SIGINT", "SIGTERM")}
        for _, spec in programs_of(self.image, "self"):
            name = str(spec.params["signal"])
            handlers[name] = lambda name=name: self._raised.append(name)  # type: ignore[misc]
        return SignalWatch(handlers, self._waiter.wake_write, last=self.options.ends_process)

    def _run_begin(self) -> None:
        """Run the begin programs, all of them even after exit(); keep what they sent until the attach is announced."""
        for program, _ in programs_of(self.image, "begin"):
            self.engine.run_once(program)
            self._pending += self.engine.poll(0)

    def _run_checks(self) -> int:
        from .checks import run_benchmarks, run_tests

        self.scene.exiting = False
        runner = run_tests if self.options.mode == "test" else run_benchmarks
        pending, self._pending = self._pending, []
        return runner(self.image, self.engine, self.out, self.scene, pending)

    def _attach(self) -> int:
        """Attach, report failures as the config says; gives how many probes are attached."""
        failures = self.engine.attach()
        policy = str(self.image.config.get("missing_probes", "error"))
        for failure in failures:
            if policy == "error":
                if failure.reason:
                    self.out.note("ERROR", failure.reason)
                raise AttachError(
                    f"Unable to attach probe: {failure.spec.name}. If this is expected, set the 'missing_probes' config "
                    "variable to 'warn'."
                )
            if policy == "warn":
                if failure.reason:
                    self.out.note("WARNING", failure.reason)
                self.out.note("WARNING", f"Unable to attach probe: {failure.spec.name}. Skipping.")
        kinds = {spec.kind for program in self.image.programs for spec in program.attach}
        failed = {id(failure.spec) for failure in failures}
        attached = sum(_count_probes(program, failed) for program in self.image.programs)
        if attached <= 0:
            for kind in ("test", "bench"):
                if kind in kinds:
                    word = "test" if kind == "test" else "benchmark"
                    raise AttachError(f"No probes attached; use --{kind} to run {word} probes.")
            raise AttachError("Attachment failed for all probes.")
        return attached

    def _announce(self, attached: int) -> None:
        self._keeper.prepare()
        if self.options.child:
            self.options.child.release()
            self._keeper.follow_start()
        if not self.options.quiet:
            self.out.attached(attached)
        self.out.tick()
        if self.options.notify:
            Sink(self.options.notify_fd, "none").write(NOTIFY_VARIABLE.encode() + b"\n")

    def _ends_by_itself(self) -> bool:
        kinds = {spec.kind for program in self.image.programs for spec in program.attach}
        return kinds <= {*_SELF_ENDING_KINDS, "test", "bench"}

    # -- the loop -------------------------------------------------------------------------------------------------

    def _loop(self, *, drain: bool) -> None:
        """Print what comes until exit(), a signal or the end of a process; with `drain` until nothing more is there."""
        self._print(self._take_pending())
        pace = Pace()
        while not (self._stopping or self.scene.exiting):
            records = self.engine.poll(0) or (() if self.scene.leaving else self._wait(drain=drain))
            if not records and (drain or self.scene.leaving or self._has_ended()):
                break
            if records:
                self._print(records)
                if self.engine.fileno() >= 0:  # others do their work in poll()
                    pace.batch(len(records))
            if self._raised:
                self._run_signal_programs()
            if time.monotonic() >= self._next_check and self._check():
                break

    def _has_ended(self) -> bool:
        """Whether the engine says that no event can come any more."""
        return isinstance(self.engine, CanFinish) and self.engine.finished

    def _take_pending(self) -> list[Record]:
        pending, self._pending = self._pending, []
        return pending

    def _print(self, records: Sequence[Record]) -> None:
        self._keeper.meet_records(records)
        self.dispatcher.dispatch(records)
        self.out.tick()

    def _wait(self, *, drain: bool) -> Sequence[Record]:
        """Sleep until something is there or it is time for a check; with `drain` only for the sake of a child."""
        assert self._waiter is not None
        if drain and not self.options.child:  # a child gets a moment to be seen
            return ()
        self._next_check = 0.0  # an idle session has time to look
        if self.engine.fileno() < 0:
            return self.engine.poll(_IDLE_MS if not self._stopping else 0)
        self._waiter.watch(self.engine.fileno())
        self._waiter.wait(_IDLE_MS)
        return self.engine.poll(0)

    def _check(self) -> bool:
        """What is done now and then; True when the traced process has ended."""
        self._next_check = time.monotonic() + _CHECK_S
        self.receipt.count_lost(self.engine, self.out)
        self._keeper.look()
        child = self.options.child
        return bool((child and child.ended()) or (self._watch and self._watch.ended()))

    def _run_signal_programs(self) -> None:
        raised, self._raised = self._raised, []
        for name in raised:
            for program, spec in programs_of(self.image, "self"):
                if spec.params["signal"] == name:
                    self.engine.run_once(program)

    # -- the end --------------------------------------------------------------------------------------------------

    def _drain(self, *, drop: bool = False) -> None:
        """Take all records that are there; print them unless `drop`."""
        while records := self.engine.poll(0):
            if not drop:
                self._print(records)

    def _finish(self) -> None:
        self._keeper.look(now=True)
        self.engine.detach()
        self._drain(drop=self.scene.exiting)
        self.scene.exiting = False
        for program, _ in programs_of(self.image, "end"):
            self.engine.run_once(program)
        self._drain()
        self.receipt.count_lost(self.engine, self.out)
        self.out.end()
        if self.options.mode == "run" and self.image.config.get("print_maps_on_exit", True):
            self._print_maps()
        self.receipt.count_failed_updates(self.scene.full_maps)
        self.receipt.print(self.engine, self.out)

    def _print_maps(self) -> None:
        for name in self.maps.names():
            reader = self.maps[name]
            try:
                table = reader.table()
            except KloupeError as error:
                self.out.note("ERROR", f"Error printing map: {error}")
                continue
            self.receipt.note_entries(reader.spec, len(table.rows))
            if table.rows:
                self.out.map(table)


def notify_wanted() -> bool:
    """Whether a driver of bpftrace asks for the line that tells it the probes are attached."""
    return NOTIFY_VARIABLE in os.environ


def stderr_sink() -> Sink:
    """The sink for messages."""
    return Sink(sys.__stderr__.fileno() if sys.__stderr__ else 2, "none", "stderr")
