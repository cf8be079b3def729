"""When profile probes are due."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from .routes import Hook


class Sampler:
    """One clock a profile probe; what it is too late for is skipped, as the kernel's timers do."""

    def __init__(self, hooks: Sequence[Hook], period_ns: Callable[[Hook], int]) -> None:
        now_ns = time.monotonic_ns()
        self._rows = [[now_ns + period_ns(hook), period_ns(hook)] for hook in hooks]
        self._hooks = list(hooks)

    @property
    def next_ns(self) -> int:
        """When the next one is due."""
        return min(row[0] for row in self._rows)

    def due(self, now_ns: int) -> list[Hook]:
        """The probes that are due now; they become due again a period later."""
        found = []
        for row, hook in zip(self._rows, self._hooks, strict=True):
            if row[0] <= now_ns:
                found.append(hook)
                row[0] += row[1] * ((now_ns - row[0]) // row[1] + 1)
        return found
