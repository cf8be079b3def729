"""Stopping threads that run, and waiting for what one of them reports."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...host import ptrace
from .tracee import Thread

if TYPE_CHECKING:
    from .tracer import Tracer

BIRTHS = (ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE)
_SPIN_S = 0.0002
_LIMIT_S = 0.05


def hold(tracer: Tracer, threads: Iterable[Thread]) -> None:
    """Stop threads as far as they can be stopped; what they report is queued, to be handled as any other stop."""
    queued = {tid for tid, _ in tracer.queue}
    for thread in threads:
        if thread.stopped or thread.tid in queued or not thread.started or thread.in_vfork:
            continue
        try:
            ptrace.interrupt(thread.tid)
        except OSError:
            continue
        found = wait_for(thread.tid, _LIMIT_S)
        if found[0] > 0:
            tracer.queue.append(found)


def wait_for(tid: int, limit_s: float) -> tuple[int, int]:
    """The next stop of one thread; (0, 0) when it takes longer than `limit_s`, (-1, 0) when it is gone."""
    start = time.monotonic()
    while True:
        found = ptrace.wait(tid, os.WNOHANG)
        waited = time.monotonic() - start
        if found[0] or waited > limit_s:
            return found
        time.sleep(0 if waited < _SPIN_S else _SPIN_S)


def stop_of(status: int) -> tuple[int, int]:
    """(signal, event) of a raw status that says that a thread has stopped."""
    return status >> 8 & 0xFF, status >> 16
