"""What a session waits for: records, signals, the end of a process."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType
from typing import Any

_SMALL_BATCH = 512
_QUICK_S = 0.002  # batches that follow each other faster than this make a burst
_BURST = 8
_NAP_S = 0.004


class Waiter:
    """Waits on several descriptors; ones that are -1 are left out. `wake` ends a wait, also from a signal handler or thread."""

    def __init__(self, fds: Iterable[int]) -> None:
        self._poll = select.poll()
        self._wake_read, self.wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self.wake_write, False)
        self._poll.register(self._wake_read, select.POLLIN)
        for fd in fds:
            self.watch(fd)

    def watch(self, fd: int) -> None:
        """Wait for this descriptor too; -1 and known ones change nothing."""
        if fd >= 0:
            self._poll.register(fd, select.POLLIN)

    def wait(self, timeout_ms: int) -> None:
        """Until something is there, at most the timeout."""
        for fd, _ in self._poll.poll(timeout_ms):
            if fd == self._wake_read:
                self._drain()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._wake_read, 512):
                pass

    def wake(self) -> None:
        """End the wait that is under way, or the next one."""
        with suppress(BlockingIOError):  # there is a wake-up in the pipe already
            os.write(self.wake_write, b"w")

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._wake_read)
        os.close(self.wake_write)


class Pace:
    """Keeps a busy session from waking up for every single record: after a burst of small batches it naps for 4 ms."""

    def __init__(self) -> None:
        self._last = 0.0
        self._burst = 0

    def batch(self, count: int) -> None:
        """A batch of `count` records has been handled."""
        now = time.monotonic()
        quick = count < _SMALL_BATCH and now - self._last < _QUICK_S + (_NAP_S if self._burst > _BURST else 0)
        self._burst = self._burst + 1 if quick else 0
        if self._burst > _BURST:
            time.sleep(_NAP_S)
            now = time.monotonic()
        self._last = now


class SignalWatch:
    """Handlers for the length of a session. `handlers` maps a signal name to what is called. Does nothing outside the main thread.

    With `last` the process ends with the session: signals that come later change nothing about how it ends.
    """

    def __init__(self, handlers: dict[str, Callable[[], None]], wake_fd: int, *, last: bool = False) -> None:
        self._last = last
        self._old: dict[int, Any] = {}
        self._old_wake_fd = -1
        self._active = threading.current_thread() is threading.main_thread()
        if not self._active:
            return
        self._old_wake_fd = signal.set_wakeup_fd(wake_fd, warn_on_full_buffer=False)
        for name, call in handlers.items():
            number = getattr(signal, name)
            self._old[number] = signal.signal(number, _handler(call))

    def close(self) -> None:
        """Put the old handlers back."""
        if not self._active:
            return
        self._active = False
        for number, old in self._old.items():
            signal.signal(number, signal.SIG_IGN if self._last else signal.SIG_DFL if old is None else old)
        signal.set_wakeup_fd(self._old_wake_fd)


def _handler(call: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    return lambda number, frame: call()
