"""The ptrace engine for a command line: its target, its facts, and the process that stays when the session's is killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from ..base.errors import UsageError
from ..host.signals import IGNORED_AT_START
from ..image import Image
from ..kernel.packaged import TASK_FIELDS, PackagedTarget

if TYPE_CHECKING:
    from ..base.ctype import Field
    from ..engine.ptrace.engine import PtraceEngine
    from ..session.child import ChildProcess
    from ..session.symbolize import Symbolizer
    from .options import CommandLine

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@cache
def packaged_target() -> PackagedTarget:
    """What scripts for the ptrace engine are compiled against. Raises NotSupported on an unknown architecture."""
    return PackagedTarget()


def make_engine(
    line: CommandLine, image: Image, child: ChildProcess | None, symbolizer: Symbolizer, supervisor: Supervisor
) -> PtraceEngine:
    """The engine for the process of -c, that of -p, or both."""
    from ..engine.ptrace.engine import PtraceEngine
    from ..engine.ptrace.facts import Facts
    from ..session.pids import uses_user_names

    target = packaged_target()

    def fields(category: str, event: str) -> Sequence[Field] | None:
        found = target.tracepoint(category, event)
        return found.fields if found is not None else None

    return PtraceEngine(
        Facts(target.arch, target.call_numbers, fields, TASK_FIELDS),
        command=child,
        pid=int(line.get("pid")) if line.has("pid") else 0,
        remember=symbolizer.remember if uses_user_names(image) else None,
        allow_effects=line.has("unsafe"),
        ledger=supervisor.ledger,
    )


class Supervisor:
    """Two processes from one: the tracer does the work, and the first process passes signals and the exit status on.

    When the user's process is killed, alone or with its process group, the tracer is told (SIGTERM) and ends as usual: it takes its
    breakpoints out and lets go. That is why it is neither the process that users and programs know nor in its group and session (the
    command of -c is: keys and signals reach it as always). When the tracer is killed, the first process takes out what it finds in the ledger. And the
    tracer can stay when the command or its descendants, being under a filter, still need it.
    """

    def __init__(self) -> None:
        from ..engine.ptrace.ledger import Ledger

        self.ledger = Ledger.shared()
        self._first = os.getpid()
        self._pipe = -1  # in the tracer: where the exit status goes when it stays behind

    def run(self, work: Callable[[Supervisor], int]) -> int:
        """Do the work in another process; gives its exit status. In that process, too, this returns (or raises)."""
        sys.stdout.flush()
        sys.stderr.flush()
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid:
            os.close(write_end)
            return self._watch(pid, read_end)
        from ..host.ptrace import die_with_parent

        os.close(read_end)
        self._pipe = write_end
        die_with_parent(signal.SIGTERM)
        if signal.SIGHUP not in IGNORED_AT_START:
            signal.signal(signal.SIGHUP, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
        if self.is_dead():
            return 143
        return work(self)

    def part(self) -> None:
        """In the tracer, once the command is there: what is sent to the group or by the terminal is for the others.

        A session, since a parent in another group of the same one would keep the command's group from being orphaned (setpgid(2)).
        """
        os.setsid()

    def is_dead(self) -> bool:
        """In the tracer: whether the first process has ended. Then the command is to go on without us."""
        return os.getppid() != self._first

    def stay_behind(self, status: int, keep: Callable[[], None]) -> None:
        """Let the first process end with this status; go on unseen until `keep` returns."""
        for number in _FORWARDED:
            signal.signal(number, signal.SIG_IGN)
        sys.stdout.flush()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        with suppress(OSError):
            os.write(self._pipe, bytes([status & 255]))
        os.close(self._pipe)
        keep()

    def _watch(self, pid: int, pipe: int) -> int:
        for number in _FORWARDED:
            signal.signal(number, lambda which, frame: _forward(pid, which))
        word = os.read(pipe, 1)
        if word:
            return word[0]
        self.ledger.undo()  # nothing is left there after a normal end
        _, raw = os.waitpid(pid, 0)
        status = os.waitstatus_to_exitcode(raw)
        if status >= 0:
            return status
        sys.stderr.write(
            f"kloupe: the tracer was ended by {signal.Signals(-status).name}; its breakpoints have been taken out\n"
        )
        return 128 - status


def _forward(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def check(line: CommandLine) -> None:
    """The engine needs somebody to follow. Raises UsageError."""
    if not line.has("child") and not line.has("pid"):
        raise UsageError("the ptrace engine follows processes: give it a command (-c) or a process (-p)")
    if line.get("pid") == str(os.getpid()):
        raise UsageError(f"process {os.getpid()} is kloupe itself")
