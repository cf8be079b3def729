"""Clocks of the machine: the real ones, and one that only moves when told."""

from __future__ import annotations

import time
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """What time helpers and intervals ask. All times are nanoseconds."""

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC."""

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME."""

    def tai_ns(self) -> int:
        """CLOCK_TAI."""

    def coarse_ns(self) -> int:
        """CLOCK_MONOTONIC_COARSE."""

    def sleep_until_ns(self, when_ns: int) -> None:
        """Return when monotonic_ns() has reached `when_ns`."""


@runtime_checkable
class CountsJiffies(Protocol):
    """A clock that may know the kernel's ticks."""

    def jiffies(self) -> int | None:
        """Ticks since boot on the kernel's scale, or None."""


class RealClock:
    """The machine's clocks."""

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def tai_ns(self) -> int:
        """CLOCK_TAI."""
        return time.clock_gettime_ns(time.CLOCK_TAI)

    def coarse_ns(self) -> int:
        """CLOCK_MONOTONIC_COARSE; its number (6) is missing in the time module (uapi linux/time.h)."""
        return time.clock_gettime_ns(6)

    def sleep_until_ns(self, when_ns: int) -> None:
        """Sleep."""
        left_ns = when_ns - time.monotonic_ns()
        if left_ns > 0:
            time.sleep(left_ns / 1e9)


class VirtualClock:
    """One time for all clocks, that moves by sleeping (at once) and by `now_ns` being set. For tests and replay."""

    def __init__(self, start_ns: int = 1_000_000_000) -> None:
        self.now_ns = start_ns

    def monotonic_ns(self) -> int:
        """The virtual time."""
        return self.now_ns

    boot_ns = tai_ns = coarse_ns = monotonic_ns

    def sleep_until_ns(self, when_ns: int) -> None:
        """Move the time forward."""
        self.now_ns = max(self.now_ns, when_ns)
