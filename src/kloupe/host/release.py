"""Closing many descriptors whose closing waits in the kernel.

Measured (kernel 6.18): closing the link of a perf event waits for one grace period (35 ms), and many such waits run side by side; closing the
event of a tracepoint, kprobe or uprobe then waits for one or two more (36 to 83 ms) *inside* a global mutex (`event_mutex` in
kernel/trace/trace_event_perf.c), so threads do not help. Programs are detached once the links are closed; the events that
are left do nothing, and a short-lived process can drop them after we are gone.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .fd import close_all

_MOST_THREADS = 128
_FEW = 8


def close_in_parallel(fds: Sequence[int]) -> None:
    """Close descriptors side by side; returns when all are closed."""
    if len(fds) <= 1:
        close_all(fds)
        return
    import threading

    count = min(len(fds), _MOST_THREADS)
    threads = [threading.Thread(target=close_all, args=(fds[index::count],)) for index in range(count)]
    started = []
    for index, thread in enumerate(threads):
        try:
            thread.start()
            started.append(thread)
        except RuntimeError:  # no more threads to be had
            close_all(fds[index::count])
    for thread in started:
        thread.join()


def close_behind(fds: Sequence[int]) -> None:
    """Close descriptors whose closing is slow, one after the other: a few here, many in a process that outlives us."""
    if len(fds) > _FEW:
        _hand_over(fds)
    close_all(fds)


def _hand_over(fds: Sequence[int]) -> None:
    """Start a process that holds copies of `fds` and ends at once: its end closes them. Nothing happens when it cannot start."""
    if not sys.executable:
        return
    keep = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in fds]
    drop = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in range(3) if fd not in fds]
    try:
        pid = os.posix_spawn(
            sys.executable,
            ["kloupe-detach", "-I", "-S", "-c", ""],
            {"PATH": "/usr/bin:/bin"},
            file_actions=drop + keep,
            setsid=True,
        )
    except (OSError, NotImplementedError):
        return
    import threading

    threading.Thread(target=_reap, args=(pid,), daemon=True).start()


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:  # somebody else waited for it
        return
