"""A thread at a breakpoint: programs run, and the thread is brought past it without any thread missing it."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from ...host import ptrace
from . import emulate
from .breakpoints import TRAP_ADVANCE, Breakpoint
from .facts import Facts
from .halting import hold, stop_of
from .tracee import PendingReturn, Thread

if TYPE_CHECKING:
    from .tracer import Tracer

_TRAP_CODES = (0x80, 1)  # SI_KERNEL (int3 on x86), TRAP_BRKPT
_CODE_BYTES = 16
_SYNCHRONOUS = frozenset((signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE))
_MOST_STEPS = 16


class Traps:
    """What `Tracer` does at breakpoints."""

    def __init__(self, tracer: Tracer, facts: Facts) -> None:
        self._tracer = tracer
        self._facts = facts
        self._advance = TRAP_ADVANCE[facts.arch.name]
        self._return_bytes = 8 if facts.arch.name == "x86_64" else 0  # what a return takes off the stack

    def hit(self, thread: Thread) -> bool:
        """Handle a SIGTRAP stop; False when it is not ours."""
        if ptrace.signal_info(thread.tid)[2] not in _TRAP_CODES:
            return False
        file = self._tracer.firing.file
        registers = ptrace.registers(thread.tid)
        address = file.pc(registers) - self._advance
        space = thread.process.space
        point = space.breakpoints.get(address)
        registers = file.changed(registers, {file.pc_at: address})
        if point is None:
            if space.read(address, len(space.trap)) == space.trap:
                return False  # the program's own
            ptrace.set_registers(thread.tid, registers)  # gone since the thread ran into it
            self._tracer.resume(thread)
            return True
        if self._tracer.active:
            ptrace.set_registers(thread.tid, registers)  # if a program fails, the thread is where it was
            self._run(thread, point, registers)
        self._pass(thread, point, registers)
        return True

    def _run(self, thread: Thread, point: Breakpoint, registers: bytes) -> None:
        firing = self._tracer.firing
        if point.waiting:
            self._returned(thread, point, registers)
        if point.entries:
            firing.at_registers(thread, point.entries, registers, point.address)
        if point.returns:
            self._await_return(thread, point, registers)

    # -- returns --------------------------------------------------------------------------------------------------

    def _await_return(self, thread: Thread, point: Breakpoint, registers: bytes) -> None:
        space, file = thread.process.space, self._tracer.firing.file
        sp = file.sp(registers)
        if self._return_bytes:
            address = int.from_bytes(space.read(sp, 8), "little")
        else:
            at = self._facts.arch.registers["lr"]
            address = int.from_bytes(registers[at : at + 8], "little")
        target = space.set(address)
        if target is None:
            return
        target.waiting += 1
        self._drop_stale(thread, sp)
        thread.returns.append(PendingReturn(address, sp + self._return_bytes, point.address, point.returns))

    def _drop_stale(self, thread: Thread, sp: int) -> None:
        """Forget calls whose frames are gone (longjmp, exceptions)."""
        while thread.returns and thread.returns[-1].sp <= sp:
            thread.process.space.drop_waiting(thread.returns.pop().address)

    def _returned(self, thread: Thread, point: Breakpoint, registers: bytes) -> None:
        sp = self._tracer.firing.file.sp(registers)
        space = thread.process.space
        while thread.returns and thread.returns[-1].sp < sp:
            space.drop_waiting(thread.returns.pop().address)
        while thread.returns and thread.returns[-1].sp == sp and thread.returns[-1].address == point.address:
            pending = thread.returns.pop()
            self._tracer.firing.at_registers(thread, pending.hooks, registers, pending.function)
            space.drop_waiting(pending.address)

    # -- past the breakpoint --------------------------------------------------------------------------------------

    def _pass(self, thread: Thread, point: Breakpoint, registers: bytes) -> None:
        space, file = thread.process.space, self._tracer.firing.file
        if point.address not in space.breakpoints:  # nobody waits here any more
            ptrace.set_registers(thread.tid, registers)
            self._tracer.resume(thread)
            return
        code = space.original(point.address, space.read(point.address, _CODE_BYTES))
        places = file.arch.registers

        def value(name: str) -> int:
            return int.from_bytes(registers[places[name] : places[name] + 8], "little")

        changes = (
            emulate.emulate(file.arch.name, code, point.address, value, space.read, space.write)
            if len(code) > 6
            else None
        )
        if changes is not None:
            ptrace.set_registers(thread.tid, emulate.apply(file, registers, changes))
            self._tracer.resume(thread)
            return
        slot = space.slot() if emulate.does_same_elsewhere(file.arch.name, code) else 0
        if slot and space.fill_slot(code):
            self._step_elsewhere(thread, slot, point.address, registers)
        else:
            ptrace.set_registers(thread.tid, registers)
            self._step_in_place(thread, point)

    def _step_elsewhere(self, thread: Thread, slot: int, address: int, registers: bytes) -> None:
        """Run a copy of the instruction; afterwards the thread is behind the original."""
        file = self._tracer.firing.file
        ptrace.set_registers(thread.tid, file.changed(registers, {file.pc_at: slot}))
        status, signals = self._run_one(thread)
        if status & 0xFF == 0x7F:
            now = ptrace.registers(thread.tid)
            moved = file.pc(now) - slot
            if 0 <= moved <= _CODE_BYTES:
                ptrace.set_registers(thread.tid, file.changed(now, {file.pc_at: address + moved}))
        self._go_on(thread, status, signals)

    def _step_in_place(self, thread: Thread, point: Breakpoint) -> None:
        """Run the original instruction in its place, with the other threads of this memory stopped."""
        space = thread.process.space
        hold(
            self._tracer,
            [each for each in self._tracer.threads.values() if each.process.space is space and each is not thread],
        )
        space.write(point.address, point.original)
        status, signals = self._run_one(thread)
        space.write(point.address, space.trap)
        self._go_on(thread, status, signals)

    def _run_one(self, thread: Thread) -> tuple[int, list[int]]:
        """Run one instruction; gives the raw status (of the step, or of an end or event instead) and the signals that came before."""
        signals: list[int] = []
        for _ in range(_MOST_STEPS):
            ptrace.step(thread.tid)
            tid, status = 0, 0
            while tid == 0:
                tid, status = ptrace.wait(thread.tid)
            number, event = stop_of(status)
            if tid < 0 or status & 0xFF != 0x7F or (event and event != ptrace.EVENT_STOP):
                return status, signals
            if event or number == signal.SIGTRAP:
                if not event:
                    return status, signals
                continue  # somebody asked it to stop; it has not run yet
            signals.append(number)
            if number in _SYNCHRONOUS:
                return status, signals
        return status, signals

    def _go_on(self, thread: Thread, status: int, signals: list[int]) -> None:
        if status & 0xFF != 0x7F or (status >> 16 and status >> 16 != ptrace.EVENT_STOP):
            self._tracer.queue.append((thread.tid, status))  # an end or an event: handled as any other
            return
        for number in signals[1:]:
            with suppress(OSError):
                ptrace.signal_thread(thread.process.pid, thread.tid, number)
        self._tracer.resume(thread, signals[0] if signals else 0)
