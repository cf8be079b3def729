"""PtraceEngine: runs an Image on what the user's own processes do, without privileges. See docs/ptrace.md."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from ...host import ptrace
from ...image import AttachSpec, Image, ProgramSpec
from ..machine.engine import MachineEngine
from ..protocol import AttachFailure, MapAccess
from .beginning import follow
from .facts import Facts
from .firing import Firing
from .ledger import Ledger
from .routes import FEEDS, HELPER_CPU, Router, Routes, hook_period_ns
from .sampler import Sampler
from .stacks import Unwinding
from .tracee import Identities, withheld_privileges
from .tracer import Tracer

_BATCH_NS = 4_000_000  # records are handed out at least so often
_SLICE_NS = 50_000_000  # and the session is asked at least so often
_TICK_S = 0.02  # the timer repeats, in case it fires just before the wait begins
_NOBODY_S = 0.01


class Command(Protocol):
    """The process of -c: waits at a gate, is put under `filter` when it is let through, and is reaped by its tracer."""

    pid: int
    filter: bytes
    tracer: CommandTracer | None
    status: int | None


class CommandTracer(Protocol):
    """What the process of -c asks of its tracer."""

    def serve(self, timeout_ms: int) -> None:
        """Handle stops for a while."""


class PtraceEngine:
    """Follows `command` (not yet released) and the process `pid`, with all that they start.

    `remember` is called with a pid before its memory goes away, when the script needs user symbols. `ledger` lists the breakpoints for a
    process that outlives us. Used from one thread only.
    """

    name = "ptrace"

    def __init__(
        self,
        facts: Facts,
        *,
        command: Command | None = None,
        pid: int = 0,
        remember: Callable[[int], None] | None = None,
        allow_effects: bool = False,
        use_filter: bool = True,
        ledger: Ledger | None = None,
    ) -> None:
        self._facts = facts
        self._command = command
        self._pid = pid
        self._remember = remember
        self._allow_effects = allow_effects
        self._use_filter = use_filter and ptrace.can_filter()
        self._machine = MachineEngine(feeds=FEEDS, allow_effects=allow_effects, task_fields=facts.task_fields)
        self._ledger = ledger
        self._failures: list[AttachFailure] = []
        self._routes = Routes()
        self._tracer: Tracer | None = None
        self._sampler: Sampler | None = None
        self._told: set[str] = set()  # programs whose users have been warned
        self._guarded = False  # whether the command is under a filter, and so cannot do without us
        self._ended = False  # a process of interest has ended: the session should look
        self._old_handler: object = None
        self._timer = threading.current_thread() is threading.main_thread()

    # -- loading --------------------------------------------------------------------------------------------------

    def load(self, image: Image) -> None:
        """See `Engine`."""
        router = Router(image, self._facts)
        self._routes, self._failures = router.routes, router.failures
        cpus = os.cpu_count() or 1 if HELPER_CPU in self._routes.helpers else 1
        self._machine = MachineEngine(
            feeds=FEEDS, allow_effects=self._allow_effects, task_fields=self._facts.task_fields, cpus=cpus
        )
        self._machine.load(image)
        if any(spec.name.startswith(".kstack") for spec in image.maps):
            sys.stderr.write("kloupe: kstack is empty: the ptrace engine does not see the kernel\n")

    def run_once(self, program: ProgramSpec) -> int:
        """See `Engine`."""
        return self._machine.run_once(program)

    def run_timed(self, program: ProgramSpec, repeat: int) -> int:
        """See `Engine`."""
        return self._machine.run_timed(program, repeat)

    # -- attaching ------------------------------------------------------------------------------------------------

    def attach(self) -> list[AttachFailure]:
        """Follow the processes. The command must not have been released. Raises PermissionNeeded, MissingFacts."""
        failures = [AttachFailure(f.spec, _reason(f.spec, f.reason)) for f in self._machine.attach()]
        identities = Identities(self._routes.helpers)
        unwinding = Unwinding(self._facts.arch)
        firing = Firing(self._machine, self._facts, identities, unwinding.user_stack)
        firing.registers_of = ptrace.registers
        tracer = self._tracer = Tracer(self._routes, self._facts, firing, identities, self._ledger)
        tracer.on_end = self._on_end
        tracer.on_leave = self._on_leave
        tracer.on_exec = self._on_exec
        if self._routes.profile:
            self._sampler = Sampler(self._routes.profile, hook_period_ns)
        if self._timer:
            self._old_handler = signal.signal(signal.SIGALRM, lambda number, frame: None)
        if self._command is not None:
            filtered = self._use_filter
            self._guarded = filtered and tracer.wants_calls
            if self._guarded:
                mapping = tracer.mmap if tracer.places else -1
                self._command.filter = ptrace.make_filter(self._facts.arch.name, tracer.wanted_calls(), mapping)
            follow(tracer, self._command.pid, filtered=filtered, guarded=self._guarded, at_once=False)
            self._command.tracer = self
        if self._pid:
            follow(tracer, self._pid, filtered=False)
        return failures + self._failures

    def _on_end(self, pid: int, status: int) -> None:
        if self._command is not None and pid == self._command.pid:
            self._command.status = os.waitstatus_to_exitcode(status)
            self._ended = True
        elif pid == self._pid:
            self._ended = True

    def _on_exec(self, pid: int) -> None:
        program = withheld_privileges(pid)
        if program and program not in self._told:
            self._told.add(program)
            sys.stderr.write(
                f"kloupe: {program} runs without the privileges of its file, since it is traced without root\n"
            )

    def _on_leave(self, pid: int) -> None:
        if self._remember is not None:
            self._remember(pid)

    def detach(self) -> None:
        """Stop telling programs. Processes under a filter stay followed (their calls need it) until `close`."""
        self._machine.detach()
        if self._tracer is not None:
            self._tracer.quiet()

    # -- running --------------------------------------------------------------------------------------------------

    def serve(self, timeout_ms: int) -> None:
        """Handle stops until the time is over or the command has ended."""
        end_ns = time.monotonic_ns() + timeout_ms * 1_000_000
        while not self._ended and self._follow_until(end_ns, stop_at_records=False) and time.monotonic_ns() < end_ns:
            pass

    def poll(self, timeout_ms: int) -> Sequence[bytes | memoryview]:
        """See `Engine`. All work is done here: stops are handled and programs run."""
        now_ns = time.monotonic_ns()
        end_ns = now_ns + (timeout_ms * 1_000_000 if timeout_ms >= 0 else _SLICE_NS)
        self._ended = False
        while True:
            self._sample(now_ns)
            due_ns = self._due_ns()
            going_on = self._follow_until(min(end_ns, due_ns), stop_at_records=True)
            records = self._machine.poll(0)
            now_ns = time.monotonic_ns()
            if records or self._ended or now_ns >= end_ns or not going_on:
                return records

    def _due_ns(self) -> int:
        due = [self._machine.next_due_ns, self._sampler.next_ns if self._sampler else None]
        return min((each for each in due if each is not None), default=1 << 62)

    def _sample(self, now_ns: int) -> None:
        if self._sampler is not None and self._tracer is not None:
            hooks = self._sampler.due(now_ns)
            if hooks:
                self._tracer.sample(hooks)

    def _follow_until(self, end_ns: int, *, stop_at_records: bool) -> bool:
        """Handle stops until then, or a little longer than the first record; False when something else woke us."""
        tracer = self._tracer
        if tracer is None:
            return True
        batch_end_ns = time.monotonic_ns() + _BATCH_NS
        while tracer.take(os.WNOHANG):
            if time.monotonic_ns() >= max(end_ns, batch_end_ns):
                return True
        if not tracer.threads:
            time.sleep(min(_NOBODY_S, max(0, end_ns - time.monotonic_ns()) / 1e9))
            return True
        batching = stop_at_records and self._machine.has_records()
        if batching:  # more is likely to come at once, and printing goes faster in one piece
            end_ns = batch_end_ns
        now_ns = time.monotonic_ns()
        if now_ns >= end_ns:
            return True
        self._set_timer(end_ns - now_ns)
        try:
            while self._take():
                if self._ended or time.monotonic_ns() >= end_ns:
                    return True
                if stop_at_records and not batching and self._machine.has_records():
                    batching = True
                    now_ns = time.monotonic_ns()
                    if end_ns > now_ns + _BATCH_NS:
                        end_ns = now_ns + _BATCH_NS
                        self._set_timer(_BATCH_NS)
        finally:
            self._set_timer(0)
        return time.monotonic_ns() >= end_ns

    def _take(self) -> bool:
        """Wait for one stop: until the timer fires, or where there is no timer a moment."""
        assert self._tracer is not None
        if self._timer:
            return self._tracer.take()
        if self._tracer.take(os.WNOHANG):
            return True
        time.sleep(0.0005)
        return True

    def _set_timer(self, ns: int) -> None:
        if self._timer:
            signal.setitimer(signal.ITIMER_REAL, max(ns, 1000) / 1e9 if ns > 0 else 0, _TICK_S if ns > 0 else 0)

    # -- the rest -------------------------------------------------------------------------------------------------

    def map(self, name: str) -> MapAccess:
        """See `Engine`."""
        return self._machine.map(name)

    def lost_events(self) -> int:
        """See `Engine`."""
        return self._machine.lost_events()

    def fileno(self) -> int:
        """There is no descriptor: poll() does the work."""
        return -1

    @property
    def has_wards(self) -> bool:
        """Whether processes live on whose system calls need a tracer: `keep` them."""
        return self._guarded and self._tracer is not None and bool(self._tracer.threads)

    def keep(self) -> None:
        """Stay the tracer of what lives on, until all of it has ended. Costs nothing but a stop at wanted calls."""
        tracer = self._tracer
        while tracer is not None and tracer.threads:
            tid, status = ptrace.wait(-1)
            if tid < 0:
                return
            if tid > 0:
                tracer.handle(tid, status)

    def close(self) -> None:
        """Let go of all processes that can live without us. See `has_wards`."""
        self._machine.close()
        if self._tracer is not None:
            self._tracer.quiet()
            self._tracer.let_go(wards=not self._guarded)
        if self._command is not None:
            self._command.tracer = None
        if self._timer and self._old_handler is not None:
            with suppress(ValueError):
                signal.signal(signal.SIGALRM, self._old_handler)  # type: ignore[arg-type]
            self._old_handler = None

    def __enter__(self) -> PtraceEngine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _reason(spec: AttachSpec, reason: str) -> str:
    return f"the ptrace engine cannot run {spec.kind} probes: they need the kernel engine" if reason else reason
