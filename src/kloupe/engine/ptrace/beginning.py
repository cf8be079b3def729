"""The beginning of following: becoming the tracer of all threads of a process, and setting its breakpoints."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ...base.errors import MissingFacts, PermissionNeeded
from ...host import ptrace
from .halting import BIRTHS, hold, stop_of
from .tracee import Process, Thread, stat_fields, status_fields

if TYPE_CHECKING:
    from .tracer import Tracer


def follow(tracer: Tracer, pid: int, *, filtered: bool, guarded: bool = False, at_once: bool = True) -> None:
    """Follow a process with all its threads. `filtered`: a seccomp filter picks the calls that stop; `guarded`: it is there, and
    the process must not outlive us. With `at_once` breakpoints are set now, else when it runs another program. Raises PermissionNeeded, MissingFacts.
    """
    options = tracer.options(kill=guarded)
    process = Process(pid, 0, tracer.new_space(pid))
    known: set[int] = set()
    while new := _thread_ids(pid) - known:
        known |= new
        for tid in sorted(new):
            _seize(tracer, tid, options, process, filtered)
    if not process.threads:
        there = os.path.exists("/proc/self")
        raise MissingFacts(
            f"no process {pid}" if there else "/proc is not mounted", hint="" if there else "mount -t proc proc /proc"
        )
    tracer.processes[pid] = process
    if tracer.places and at_once:
        _set_breakpoints(tracer, process)


def _set_breakpoints(tracer: Tracer, process: Process) -> None:
    """Set them while no thread is in the middle of a fork: what it makes would have them without being followed."""
    hold(tracer, [tracer.threads[tid] for tid in process.threads])
    for tid, status in tracer.queue:
        if status & 0xFF == 0x7F and stop_of(status)[1] in BIRTHS:
            tracer.note_child(tracer.threads[tid])
    for each in list(tracer.processes.values()):
        tracer.places.place(each.space)


def _seize(tracer: Tracer, tid: int, options: int, process: Process, filtered: bool) -> None:
    try:
        ptrace.seize(tid, options)
    except OSError as error:
        if error.errno == errno.ESRCH or stat_fields(tid)[:1] in ([b"Z"], []):  # gone, or as good as
            return
        raise _refusal(process.pid, tid, error) from None
    thread = tracer.threads[tid] = Thread(tid, process, filtered)
    thread.started = True
    tracer.identities.begin(thread)
    if not filtered and tracer.wants_calls:  # from its next stop on it runs from call to call
        with suppress(OSError):
            ptrace.interrupt(tid)


def _refusal(pid: int, tid: int, error: OSError) -> PermissionNeeded:
    other = int(status_fields(tid).get(b"TracerPid", b"0"))
    if other:
        name = status_fields(other).get(b"Name", b"").decode(errors="replace")
        return PermissionNeeded(
            f"cannot trace process {pid}: process {other}{f' ({name})' if name else ''} traces it already",
            hint="a process has one tracer: end the other one first",
        )
    return PermissionNeeded(
        f"cannot trace process {pid}: {error.strerror}",
        hint="it must be yours, and /proc/sys/kernel/yama/ptrace_scope must allow it",
    )


def _thread_ids(pid: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}
    except OSError:
        return set()
