"""The end of following: every breakpoint is taken out and no thread is left in front of one that it has run into."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from ...host import ptrace
from .breakpoints import TRAP_ADVANCE
from .tracee import Thread, status_fields

if TYPE_CHECKING:
    from .tracer import Tracer

_STOP_LIMIT_S = 0.5
_TRAP_BIT = 1 << signal.SIGTRAP - 1
_BIRTHS = (ptrace.EVENT_FORK, ptrace.EVENT_VFORK, ptrace.EVENT_CLONE)
_JOB_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def let_go(tracer: Tracer, *, wards: bool) -> None:
    """Detach from every thread, breakpoints taken out first; from filtered ones only with `wards`."""
    clear_breakpoints(tracer)
    while chosen := [thread for thread in tracer.threads.values() if wards or not thread.filtered]:
        for thread in chosen:  # some more may be born meanwhile
            number = _stop(tracer, thread)
            if number >= 0:
                with suppress(OSError):
                    ptrace.detach(thread.tid, number)
            thread.close()
            tracer.threads.pop(thread.tid, None)


def clear_breakpoints(tracer: Tracer) -> None:
    """Take all breakpoints out. Threads that have run into one just now are set back before it."""
    spaces = {process.space for process in tracer.processes.values() if process.space.breakpoints}
    points = {space: set(space.breakpoints) for space in spaces}
    for space in {process.space for process in tracer.processes.values()}:
        space.clear()
    stopped = [thread for thread in tracer.threads.values() if thread.process.space in points]
    for thread in stopped:
        thread.returns.clear()
        number = _stop(tracer, thread, points[thread.process.space])
        if number >= 0:
            tracer.resume(thread, number)


def _stop(tracer: Tracer, thread: Thread, points: set[int] = frozenset()) -> int:  # type: ignore[assignment]
    """Stop a thread; gives the signal that is to be delivered to it, 0 for none, -1 when it is gone or cannot be stopped now."""
    from .tracer import wait_for

    held = 0
    asked = False
    while True:
        found = next((each for each in tracer.queue if each[0] == thread.tid), None)
        if found is not None:
            tracer.queue.remove(found)
        else:
            if not asked:
                with suppress(OSError):
                    ptrace.interrupt(thread.tid)
                asked = True
            found = wait_for(thread.tid, _STOP_LIMIT_S)
        tid, status = found
        if tid <= 0:
            return -1
        if status & 0xFF != 0x7F:
            tracer.handle(tid, status)
            return -1
        number, event = status >> 8 & 0xFF, status >> 16
        if event in _BIRTHS:
            tracer.note_child(thread)
        if event == ptrace.EVENT_EXEC:  # its memory is new
            points = set()
        if not event and number == signal.SIGTRAP and points and _set_back(tracer, thread, points):
            return held
        if not event and number not in (signal.SIGTRAP, ptrace.SYSCALL_STOP):
            held = number
        if event == ptrace.EVENT_STOP and number in _JOB_STOPS and not points:
            return held
        if points and _trap_pending(thread.tid):  # it has run into one, and reports that next
            ptrace.resume(thread.tid)
            asked = True
            continue
        return held


def _set_back(tracer: Tracer, thread: Thread, points: set[int]) -> bool:
    file = tracer.firing.file
    registers = ptrace.registers(thread.tid)
    address = file.pc(registers) - TRAP_ADVANCE[file.arch.name]
    if address not in points:
        return False
    ptrace.set_registers(thread.tid, file.changed(registers, {file.pc_at: address}))
    return True


def _trap_pending(tid: int) -> bool:
    return bool(int(status_fields(tid).get(b"SigPnd", b"0"), 16) & _TRAP_BIT)
