"""The end of following: every breakpoint is taken out and no thread is left in front of one that it has run into."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from ...host import ptrace
from .breakpoints import TRAP_ADVANCE
from .halting import BIRTHS, stop_of, wait_for
from .tracee import Thread, status_fields

if TYPE_CHECKING:
    from .tracer import Tracer

_STOP_LIMIT_S = 0.5
_TRAP_BIT = 1 << signal.SIGTRAP - 1
_JOB_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_GONE, _IN_JOB_STOP = -1, -2


def let_go(tracer: Tracer, *, wards: bool) -> None:
    """Detach from every thread, breakpoints taken out first; from filtered ones only with `wards`."""
    clear_breakpoints(tracer)
    while chosen := [thread for thread in tracer.threads.values() if wards or not thread.filtered]:
        for thread in chosen:  # some more may be born meanwhile
            number = _stop(tracer, thread)
            if number != _GONE:
                with suppress(OSError):
                    ptrace.detach(thread.tid, max(number, 0))
            thread.close()
            tracer.threads.pop(thread.tid, None)


def clear_breakpoints(tracer: Tracer) -> None:
    """Take all breakpoints out. Threads that have run into one just now are set back before it."""
    spaces = {process.space for process in tracer.processes.values()}
    touched = {space for space in spaces if space.breakpoints}
    for space in spaces:
        space.clear()
    for thread in [thread for thread in tracer.threads.values() if thread.process.space in touched]:
        thread.returns.clear()
        number = _stop(tracer, thread)
        if number == _IN_JOB_STOP:
            with suppress(OSError):
                ptrace.listen(thread.tid)
        elif number != _GONE:
            tracer.resume(thread, number)


def _stop(tracer: Tracer, thread: Thread) -> int:
    """Stop a thread; gives the signal that is to be delivered to it, 0 for none, or one of the two numbers below 0."""
    tid = thread.tid
    held = 0
    asked = False
    while True:
        found = next((each for each in tracer.queue if each[0] == tid), None)
        if found is not None:
            tracer.queue.remove(found)
        else:
            if not asked:
                with suppress(OSError):
                    ptrace.interrupt(tid)
                asked = True
            found = wait_for(tid, _STOP_LIMIT_S)
        if found[0] <= 0:
            return _GONE
        if found[1] & 0xFF != 0x7F:
            tracer.handle(*found)
            return _GONE
        number, event = stop_of(found[1])
        if event in BIRTHS:
            tracer.note_child(thread)
        elif event == ptrace.EVENT_EXEC:
            tracer.take_over(thread)
        elif event == ptrace.EVENT_STOP and number in _JOB_STOPS:
            return _IN_JOB_STOP
        elif not event and number == signal.SIGTRAP and _set_back(tracer, thread):
            return held
        elif not event and number not in (signal.SIGTRAP, ptrace.SYSCALL_STOP):
            held = number
        if not (thread.process.space.is_touched and _trap_pending(tid)):
            return held
        ptrace.resume(tid)  # it has run into one, and reports that next
        asked = True


def _set_back(tracer: Tracer, thread: Thread) -> bool:
    file = tracer.firing.file
    registers = ptrace.registers(thread.tid)
    address = file.pc(registers) - TRAP_ADVANCE[file.arch.name]
    if not thread.process.space.is_ours(address):
        return False
    ptrace.set_registers(thread.tid, file.changed(registers, {file.pc_at: address}))
    return True


def _trap_pending(tid: int) -> bool:
    fields = status_fields(tid)
    pending, blocked = (int(fields.get(name, b"0"), 16) for name in (b"SigPnd", b"SigBlk"))
    return bool(pending & ~blocked & _TRAP_BIT)
