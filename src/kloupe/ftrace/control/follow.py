"""Waiting for the end of a trace: a command, processes, a time, or a signal."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import FrameType, TracebackType
from typing import Any

from ...host.signals import IGNORED_AT_START
from ...session.child import ChildProcess, ProcessWatch

_TICK_MS = 100
_END_S = 1.0


class Interrupts:
    """Catches SIGINT and SIGTERM while it is entered: `received` is the first one, 0 without. A second SIGINT raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} - (IGNORED_AT_START & {signal.SIGHUP}):
            self._before[number] = signal.signal(number, self._catch)
        return self

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = self.received or number

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Followed:
    """What a trace lasts for. With nothing to follow and no time it lasts until a signal.

    `child` is started by the caller and held at its gate; `release` lets it run. Raises UsageError for a process that is not there.
    """

    def __init__(self, child: ChildProcess | None, pids: Sequence[int], for_s: float) -> None:
        self.child = child
        self._for_s = for_s
        self._deadline: float | None = None
        self._stack = ExitStack()
        self._watches: list[ProcessWatch] = []
        for pid in pids:
            watch = ProcessWatch(pid)
            self._stack.callback(watch.close)
            self._watches.append(watch)

    def __enter__(self) -> Followed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin(self) -> None:
        """Release the child, start the clock."""
        if self.child is not None:
            self.child.release()
        self._deadline = time.monotonic() + self._for_s if self._for_s else None

    def wait(self, interrupts: Interrupts, tick: Callable[[], object] = lambda: None) -> None:
        """Begin, and wait; `tick` is called about ten times a second."""
        self.begin()
        deadline = self._deadline
        poll = select.poll()
        for item in (self.child, *self._watches):
            if item is not None and item.fileno() >= 0:
                poll.register(item.fileno(), select.POLLIN)
        while not interrupts.received and not self.over():
            left_ms = _TICK_MS if deadline is None else min(_TICK_MS, (deadline - time.monotonic()) * 1000)
            poll.poll(max(0, left_ms))
            tick()
        if interrupts.received and self.child is not None:
            self._end_child(self.child, interrupts.received)

    @staticmethod
    def _end_child(child: ChildProcess, number: int) -> None:
        """Pass the signal on, and give the child a moment, so that its end is in the trace."""
        deadline = time.monotonic() + _END_S
        if not child.ended():
            os.kill(child.pid, number)
        while not child.ended() and time.monotonic() < deadline:
            time.sleep(0.01)

    def over(self) -> bool:
        """Whether the time is up, the child or all processes have ended."""
        deadline = self._deadline
        if deadline is not None and time.monotonic() >= deadline:
            return True
        if self.child is not None:
            return self.child.ended()
        return bool(self._watches) and all(watch.ended() for watch in self._watches)
