"""From an event of a followed thread to the programs that want it: makes the context and runs the machine."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress

from ...host import ptrace
from ..machine.engine import MachineEngine
from ..machine.task import NO_STACKS, Stacks
from .facts import Facts
from .records import FAKE_REGISTERS, RegisterFile
from .routes import Hook
from .tracee import Identities, Thread, TraceeMemory

_RAW_CALL = struct.Struct("=Qq")
_RAW_EXIT = struct.Struct("=Qq")
_SAMPLE_TAIL = struct.Struct("=QQ")  # sample_period and addr of struct bpf_perf_event_data
Unwind = Callable[[Thread, bytes], tuple[int, ...]]


class Firing:
    """Runs programs on events. `unwind` gives the user stack of a thread with these registers."""

    def __init__(self, machine: MachineEngine, facts: Facts, identities: Identities, unwind: Unwind) -> None:
        self._machine = machine
        self._identities = identities
        self._unwind = unwind
        self._memory = TraceeMemory()
        self.registers_of: Callable[[int], bytes] = lambda tid: b""
        self.file = RegisterFile(facts.arch)

    def enter(self, thread: Thread, hooks: Sequence[Hook], info: tuple[int, ...]) -> None:
        """A system call begins; `info` is what host.ptrace.syscall_info gave."""
        for hook in hooks:
            if hook.layout is not None:
                context = hook.layout.pack_plain(*_arguments(hook, info))
            else:
                context = self._of_call(hook, thread, info, None)
            self._fire(thread, hook, context)

    def exit(self, thread: Thread, hooks: Sequence[Hook], info: tuple[int, ...]) -> None:
        """A system call ends."""
        call = thread.call
        if call is None:
            return
        result = info[4]
        for hook in hooks:
            if hook.layout is not None:
                context = hook.layout.pack_plain(call[0], result)
            else:
                context = self._of_call(hook, thread, (*info[:4], *call), result)
            self._fire(thread, hook, context)

    def _of_call(self, hook: Hook, thread: Thread, info: tuple[int, ...], result: int | None) -> bytes:
        number = info[4]
        self._memory.registers = self.file.of_call(number, info[5:], info[2], info[3], result or 0)
        if hook.shape == "function":
            return self.file.of_function(FAKE_REGISTERS if result is None else 0, result or 0)
        if result is None:
            return _RAW_CALL.pack(FAKE_REGISTERS, number)
        return _RAW_EXIT.pack(FAKE_REGISTERS, result)

    def event(self, thread: Thread, hooks: Sequence[Hook], values: Sequence[int | bytes]) -> None:
        """A tracepoint with these values in the order of its fields."""
        for hook in hooks:
            assert hook.layout is not None
            self._fire(thread, hook, hook.layout.pack(values))

    def at_registers(self, thread: Thread, hooks: Sequence[Hook], registers: bytes, function: int = 0) -> None:
        """A place in the program, or a sample."""
        for hook in hooks:
            context = registers[: self.file.size]
            if hook.spec.kind == "profile":
                context += _SAMPLE_TAIL.pack(0, 0)
            self._fire(thread, hook, context, registers, function)

    def _fire(self, thread: Thread, hook: Hook, context: bytes, registers: bytes = b"", function: int = 0) -> None:
        memory = self._memory
        memory.pid, memory.space = thread.tid, thread.process.space
        stacks = NO_STACKS
        if hook.wants_stack:
            stacks = Stacks(kernel=(), user=self._unwind(thread, registers or self.registers_of(thread.tid)))
        spec = hook.spec
        self._machine.fire(
            hook.program,
            context,
            task=self._identities.now(thread),
            memory=memory,
            stacks=stacks,
            cookie=spec.cookie,
            function_address=function,
            is_return=bool(spec.params.get("retval")),
        )
        if self._machine.effects:
            self._act()

    def _act(self) -> None:
        """Do what programs asked for with --unsafe."""
        for effect in self._machine.effects:
            with suppress(OSError):
                if effect.kind == "signal":
                    os.kill(effect.task.pid, effect.value)
                elif effect.kind == "signal_thread":
                    ptrace.signal_thread(effect.task.pid, effect.task.tid, effect.value)
                elif effect.kind == "write_user" and self._memory.space is not None:
                    self._memory.space.write(effect.address, effect.data)
        self._machine.effects.clear()


def _arguments(hook: Hook, info: tuple[int, ...]) -> tuple[int, ...]:
    """The values of the record's fields: number and arguments, one by one or (raw_syscalls) all six."""
    return info[4:11] if hook.spec.params.get("category") == "raw_syscalls" else info[4 : 5 + hook.width]
