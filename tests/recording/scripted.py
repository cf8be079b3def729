"""Sessions on scripted events, recorded and replayed without a kernel; and their output."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from kloupe.base.source import Source
from kloupe.cli.recording import Recorder
from kloupe.codegen.pipeline import compile_script
from kloupe.engine.machine.clock import VirtualClock
from kloupe.engine.machine.engine import MachineEngine
from kloupe.engine.machine.memory import BytesMemory
from kloupe.engine.machine.task import Stacks, Task
from kloupe.engine.replay import ReplayEngine
from kloupe.kernel.recorded import RecordedTarget
from kloupe.output.textout import TextOutput
from kloupe.recording.read import Recording
from kloupe.sema.analyzer import CompileOptions
from kloupe.session.recorded import ReplayNames, ReplayOutside
from kloupe.session.session import Options, Session
from kloupe.testbed.surroundings import Captured, GivenSymbols
from kloupe.testbed.target import ScriptTarget

READ = "tracepoint:syscalls:sys_enter_read"
SYMBOLS = {0xFFFFFFFF81000000: "vfs_read", 0x7F0000001000: "main"}
STEP_NS = 10_000_000


class ScriptedEngine(MachineEngine):
    """Fires one of `events` (arguments of fire) at each poll, 10 ms after the one before."""

    def __init__(self, events: Sequence[dict[str, Any]], **options: Any) -> None:
        self.virtual = VirtualClock(5_000_000_000)
        super().__init__(clock=self.virtual, feeds=frozenset(("tracepoint", "kprobe", "uprobe")), **options)
        self._events = list(events)
        self.finished = False

    def attach(self):  # type: ignore[no-untyped-def]
        self._attached = True
        self.virtual.now_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        failures = super().attach()
        return failures

    def poll(self, timeout_ms: int):  # type: ignore[no-untyped-def]
        if getattr(self, "_attached", False):
            if self._events:
                self.virtual.now_ns += STEP_NS
                self._run_due(self.virtual.now_ns)
                if self.has_records():  # user space gets to them at once
                    return self._drain()
                self.fire(**self._events.pop(0))
            else:
                self.finished = True
        return self._drain()


def read_call(fd: int = 3, address: int = 0x1000, count: int = 10, **options: Any) -> dict[str, Any]:
    """One read(fd, address, count)."""
    context = b"".join(n.to_bytes(8, "little", signed=n < 0) for n in (0, 0, fd, address, count)) + bytes(24)
    task = Task(pid=7, tid=8, uid=1000, gid=1000, comm=b"cat", address=0xFFFF888000001000)
    given = {"memory": BytesMemory(user={0x1000: b"hello\0", 0x2000: b"0123456789"}), "task": task}
    return {"name": READ, "context": context, **given, **options}


def with_stacks(**options: Any) -> dict[str, Any]:
    """A call with stacks."""
    stacks = Stacks((0xFFFFFFFF81000010, 0xFFFFFFFF81000020), (0x7F0000001004, 0x7F0000001008, 0x7F000000100C))
    return read_call(**options, stacks=stacks)


def record(path: str, text: str, events: Sequence[dict[str, Any]], **options: Any) -> str:
    """Run a script on events and record it; gives what it printed."""
    target = ScriptTarget()
    recorder = Recorder(path)
    compilation = recorder.compile(
        Source("script", text), target, CompileOptions(unsafe=True, **options), lambda program, diagnostics: program
    )
    image = compilation.image
    assert image is not None
    recorded = recorder.start(ScriptedEngine(events, seed=5), GivenSymbols(SYMBOLS))
    with recorded.engine as engine:
        names = recorded.names(image, engine, target.arch.syscall_numbers)
        out, errors = Captured(), Captured()
        session_options = Options(quiet=True, handle_signals=False, start_ns=recorded.start_ns)
        output = TextOutput(names, out, errors)
        Session(image, engine, output, names, session_options, recorded.symbolizer, recorded.outside).run()
    return out.text.lstrip("\n")


def replay(path: str, text: str = "") -> tuple[str, list[str]]:
    """Run the recorded or another script over a recording; gives what it printed and the messages."""
    recording = Recording(path)
    image = recording.image
    if text:
        options = CompileOptions(dispatch=False, unsafe=True)
        compiled = compile_script(Source("other", text), RecordedTarget(recording.meta), options).image
        assert compiled is not None
        image = compiled
    with ReplayEngine(recording) as engine:
        names = ReplayNames(recording, engine, image.strings, {})
        out, errors = Captured(), Captured()
        session_options = Options(quiet=True, handle_signals=False, start_ns=recording.meta.clocks["boot"])
        output = TextOutput(names, out, errors)
        outside = ReplayOutside(recording, engine)
        Session(image, engine, output, names, session_options, names.symbolizer, outside).run()
    return out.text.lstrip("\n"), errors.text.splitlines()
