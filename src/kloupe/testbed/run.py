"""ScriptRun: one script under test, running in the user-space machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from typing import Any

from ..base.ctype import CType, Opaque, Stack, Tuple
from ..base.errors import KloupeError, UsageError
from ..base.source import Source
from ..codegen.pipeline import compile_script
from ..engine.machine.clock import VirtualClock
from ..engine.machine.core import Effect
from ..engine.machine.engine import MachineEngine
from ..engine.machine.maps import HashMap
from ..engine.machine.memory import MemorySource
from ..engine.machine.ringbuf import RingBuffer
from ..engine.machine.task import Stacks, Task
from ..image import ProgramSpec
from ..kernel.packaged import TASK_FIELDS
from ..kernel.target import Target
from ..output.decode import TRUNCATED
from ..output.names import Names
from ..output.text import text_of
from ..output.textout import TextOutput
from ..probes.model import ProbePoint
from ..sema.analyzer import CompileOptions
from ..session.dispatch import Dispatcher
from ..session.handlers import Scene
from ..session.mapread import Maps
from .context import EventMaker, Memory, NoMemory, Value, Values
from .surroundings import Captured, FixedNames, ScriptedOutside

_FED = "tracepoint rawtracepoint tp_btf kprobe uprobe fentry fexit profile software hardware watchpoint iter"
FED = frozenset(_FED.split())
START_NS = 1_000_000_000
MapValue = object


class ScriptRun:
    """A compiled script with its maps and its output so far. Begin programs have run.

    `target` is the kernel it is compiled for. `symbols` (address -> name) and `commands` (shell command -> what it prints) and
    `files` (path -> content) are what the script finds outside. Raises ScriptError for mistakes in the script.
    """

    def __init__(
        self,
        text: str,
        target: Target,
        *,
        name: str = "script",
        params: Sequence[str] = (),
        named: Mapping[str, str] | None = None,
        child_pid: int = 0,
        unsafe: bool = True,
        report_failed_reads: bool = False,
        symbols: Mapping[int, str] | None = None,
        commands: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        options = CompileOptions(
            params=tuple(params),
            named=tuple((named or {}).items()),
            child_pid=child_pid,
            unsafe=unsafe,
            report_failed_reads=report_failed_reads,
            dispatch=False,
            whole_contexts=True,
        )
        compilation = compile_script(Source(name, text), target, options)
        assert compilation.image is not None
        self.image = compilation.image
        self.warnings = [item.message for item in compilation.warnings]
        self.clock = VirtualClock(START_NS)
        self.task = Task(pid=1000, tid=1000, uid=1000, gid=1000, comm=b"test", ppid=1)
        self.engine = MachineEngine(
            clock=self.clock, task=self.task, seed=1, feeds=FED, allow_effects=True, task_fields=TASK_FIELDS
        )
        self.memory = Memory()
        self._target = target
        self._points = [
            (program, cookie, point)
            for program, unit in zip(self.image.programs, compilation.analysis.units, strict=True)
            for cookie, point in enumerate(unit.points)
        ]
        self._out, self._errors = Captured(), Captured()
        names = FixedNames(self.image.strings, self.engine, symbols or {}, target.arch.syscall_numbers)
        self._text = TextOutput(names, self._out, self._errors)
        maps = Maps(self.image, self.engine, True, str(self.image.config.get("str_trunc_trailer", TRUNCATED)))
        outside = ScriptedOutside(commands or {}, files or {}, self.clock)
        self._scene = Scene(self.image, self._text, names, maps, True, TRUNCATED, True, outside)
        self._dispatcher = Dispatcher(self._scene)
        self.commands = outside.asked
        self.maps = MapsView(maps, names)
        self._start()

    def _start(self) -> None:
        self.engine.load(self.image)
        for spec in self.image.maps:
            if spec.name == ".start":
                self.engine.map(".start").update(bytes(4), self.clock.boot_ns().to_bytes(8, "little"))
        self._run_kind("begin")
        failures = self.engine.attach()
        if failures:
            raise UsageError(f"a test cannot feed {failures[0].spec.name}")

    # -- events ---------------------------------------------------------------------------------------------------

    @property
    def probes(self) -> list[str]:
        """The names of all attach points."""
        return [point.name for _, _, point in self._points]

    def fire(
        self,
        probe: str,
        args: Values = (),
        *,
        retval: Value | None = None,
        registers: Mapping[str, int] | None = None,
        context: bytes | None = None,
        pid: int | None = None,
        tid: int | None = None,
        comm: str | None = None,
        uid: int | None = None,
        cpu: int = 0,
        ppid: int | None = None,
        user_memory: Mapping[int, bytes] | None = None,
        kernel_memory: Mapping[int, bytes] | None = None,
        fail_reads: bool = False,
        kstack: Sequence[int] | None = None,
        ustack: Sequence[int] | None = None,
        function_address: int = 0,
        after_ns: int = 1000,
    ) -> int:
        """Let an event happen, `after_ns` later than the one before; gives the return value of the last program that ran.

        `probe` is an attach point of the script (`probes` lists them; a pattern must match one name). `args` are args.NAME as a
        mapping, or arg0, arg1, ... as a sequence; a text given for a pointer is put into memory, where it stays. `context` replaces all
        of them by the raw bytes. With `fail_reads` every read of memory fails. Raises UsageError for a probe or value that is not there.
        """
        self.advance(after_ns)
        changes = {"pid": pid, "tid": tid if tid is not None else pid, "uid": uid, "ppid": ppid, "cpu": cpu}
        given = {key: value for key, value in changes.items() if value is not None}
        for key, value in given.items():
            if not isinstance(value, int):
                raise UsageError(f"{key} is a number, not {value!r}")
        task = Task(**{**self._task_fields(), **given, **({"comm": comm.encode()} if comm is not None else {})})  # type: ignore[arg-type]
        result = 0
        for program, cookie, point in self._find(probe):
            maker = EventMaker(point, self._target.arch, self.memory)
            raw = maker.fill(args, retval, registers or {}) if context is None else context
            memory: MemorySource = (
                NoMemory() if fail_reads else self.memory.source(user_memory or {}, kernel_memory or {})
            )
            result = self.engine.fire(
                program.name,
                raw,
                task=task,
                memory=memory,
                stacks=Stacks(_addresses(kstack), _addresses(ustack)),
                cookie=cookie,
                function_address=function_address,
                is_return=point.kind in ("fexit", "kretprobe", "uretprobe"),
            )
        self._drain()
        return result

    def _task_fields(self) -> dict[str, object]:
        return {name: getattr(self.task, name) for name in Task.FIELDS}  # type: ignore[attr-defined]

    def _find(self, probe: str) -> list[tuple[ProgramSpec, int, ProbePoint]]:
        names = [name for name in dict.fromkeys(self.probes) if name == probe or fnmatchcase(name, probe)]
        if probe in names:
            names = [probe]
        if len(names) != 1:
            what = "matches several" if names else "is none"
            raise UsageError(f"{probe} {what} of the script's probes: {', '.join(names or self.probes)}")
        return [row for row in self._points if row[2].name == names[0]]

    def advance(self, nanoseconds: int) -> None:
        """Let time pass; intervals run when they are due."""
        if nanoseconds < 0:
            raise UsageError("time does not go back")
        end_ns = self.clock.now_ns + nanoseconds
        while (due_ns := self.engine.next_due_ns) is not None and due_ns <= end_ns:
            self.clock.now_ns = due_ns
            self._dispatch(self.engine.poll(0))
        self.clock.now_ns = end_ns

    def signal(self, name: str) -> None:
        """Run the `self:signal:NAME` probes. Raises UsageError when the script has none."""
        wanted = [row for row in self._points if row[2].kind == "self" and row[2].attach.params["signal"] == name]
        if not wanted:
            raise UsageError(f"self:signal:{name} is none of the script's probes: {', '.join(self.probes)}")
        for program, _, _ in wanted:
            self.engine.run_once(program)
        self._drain()

    def end(self) -> str:
        """End the script: its end programs run, its maps are printed; gives all output."""
        self.engine.detach()
        self._drain()
        self._scene.exiting = False
        self._run_kind("end")
        if self.image.config.get("print_maps_on_exit", True):
            for name in self._scene.maps.names():
                table = self._scene.maps[name].table()
                if table.rows:
                    self._text.map(table)
        return self.output

    def _run_kind(self, kind: str) -> None:
        for program, _, point in self._points:
            if point.kind == kind:
                self.engine.run_once(program)
        self._drain()

    def _drain(self) -> None:
        self._dispatch(self.engine.poll(0))

    def _dispatch(self, records: Sequence[bytes | memoryview]) -> None:
        self._dispatcher.dispatch(records)

    # -- what came of it ------------------------------------------------------------------------------------------

    @property
    def output(self) -> str:
        """All text printed so far."""
        return self._out.text

    @property
    def lines(self) -> list[str]:
        """The printed lines so far."""
        return self.output.splitlines()

    @property
    def messages(self) -> list[str]:
        """The lines of warnings and errors so far."""
        return self._errors.text.splitlines()

    @property
    def exited(self) -> bool:
        """Whether the script called exit()."""
        return self._scene.exiting

    @property
    def exit_status(self) -> int:
        """What it gave to exit()."""
        return self._scene.exit_status

    @property
    def effects(self) -> list[Effect]:
        """Signals, overrides and writes that the script asked for."""
        return self.engine.effects

    @property
    def lost_events(self) -> int:
        """Events that found no room."""
        return self.engine.lost_events()

    # -- faults ---------------------------------------------------------------------------------------------------

    @contextmanager
    def full_map(self, name: str) -> Iterator[None]:
        """Inside the `with`, the map takes no new keys (what is in it can change)."""
        named = [part for spec in self.image.maps if spec.name == name for part in (spec.name, spec.short) if part]
        tables = [table for table in map(self.engine.map, named) if isinstance(table, HashMap) and not table.is_lru]
        if not tables:
            raise UsageError(f"{name} cannot be full: it has no keys, or drops old ones")
        saved = [(table, table.limit) for table in tables]
        for table in tables:
            table.limit = 0
        try:
            yield
        finally:
            for table, limit in saved:
                table.limit = limit

    @contextmanager
    def lost(self) -> Iterator[None]:
        """Inside the `with`, events find no room: what programs print is lost and counted."""
        rings = [self.engine.map(spec.name) for spec in self.image.maps if spec.kind == "ringbuf"]
        saved = [(ring, ring.capacity_bytes) for ring in rings if isinstance(ring, RingBuffer)]
        for ring, _ in saved:
            ring.capacity_bytes = 0
        try:
            yield
        finally:
            for ring, capacity_bytes in saved:
                ring.capacity_bytes = capacity_bytes


def _addresses(stack: Sequence[int] | None) -> tuple[int, ...] | None:
    return tuple(stack) if stack is not None else None


class MapsView:
    """The script's maps by name, as Python values: a dict for a map with keys, else the value (None when it was never set).

    What is printed as a name is that text; a stack is a tuple of its frames' lines.
    """

    def __init__(self, maps: Maps, names: Names) -> None:
        self._maps = maps
        self._names = names

    def __getitem__(self, name: str) -> MapValue:
        name = name if name.startswith("@") else f"@{name}"
        if name not in self._maps.names():
            raise KeyError(f"{name}: the script has {', '.join(self._maps.names()) or 'no maps'}")
        reader = self._maps[name]
        rows = reader.rows()
        value_of = python_value(reader.spec.value_type, self._names)
        if reader.spec.key_type is None:
            return value_of(rows[0][1]) if rows else None
        key_of = python_value(reader.spec.key_type, self._names)
        return {key_of(key): value_of(value) for key, value in rows}

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps.names())

    def __contains__(self, name: str) -> bool:
        with suppress(KloupeError):
            return name in self._maps.names()
        return False


def python_value(t: CType | None, names: Names) -> Callable[[Any], Any]:
    """A function from a decoded value of this type to what a test compares with."""
    if isinstance(t, Stack):
        text_of_stack = text_of(t, names)
        return lambda value: tuple(line.strip() for line in text_of_stack(value).splitlines() if line.strip())
    if isinstance(t, Opaque):
        return text_of(t, names)
    if isinstance(t, Tuple):
        parts = [python_value(element, names) for element in t.elements]
        return lambda value: tuple(part(item) for part, item in zip(parts, value, strict=True))
    return _plain


def _plain(value: object) -> object:
    """Values that compare as a test writes them: tuples for lists."""
    return tuple(_plain(item) for item in value) if isinstance(value, list) else value
