"""Follows processes: takes each stop, tells the programs that want it, and lets the thread run on as if nothing had been."""

from __future__ import annotations

import errno
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from ...host import ptrace
from .breakpoints import TRAPS, AddressSpace, UserPlaces
from .facts import Facts
from .firing import Firing
from .halting import stop_of
from .ledger import Ledger
from .routes import Hook, Routes
from .tracee import Identities, Process, Thread, stat_fields, status_fields
from .traps import Traps

_OPTIONS = (
    ptrace.OPTION_SYSCALL_GOOD
    | ptrace.OPTION_FORK
    | ptrace.OPTION_VFORK
    | ptrace.OPTION_CLONE
    | ptrace.OPTION_EXEC
    | ptrace.OPTION_VFORK_DONE
)
_JOB_STOPS = frozenset((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
_IGNORED_BY_DEFAULT = frozenset((signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT))
_PROT_EXEC = 4
_PRIO_SHIFT = 100  # /proc/PID/stat shows the kernel's priority less 100 (proc_pid_stat(5))


class Tracer:
    """All followed threads. `on_end` is told (pid, raw status) of each process that has ended; `on_leave` before a process loses its memory."""

    def __init__(
        self, routes: Routes, facts: Facts, firing: Firing, identities: Identities, ledger: Ledger | None = None
    ) -> None:
        self.routes = routes
        self._ledger = ledger or Ledger()
        self.threads: dict[int, Thread] = {}
        self.processes: dict[int, Process] = {}
        self.firing = firing
        self.identities = identities
        self.active = True  # whether programs run at stops
        self.on_end: Callable[[int, int], None] = lambda pid, status: None
        self.on_leave: Callable[[int], None] = lambda pid: None
        self.on_exec: Callable[[int], None] = lambda pid: None  # and of each process that runs another program
        self.queue: deque[tuple[int, int]] = deque()  # stops that were taken while waiting for another
        self.places = UserPlaces(routes.user)
        self.trap = TRAPS[facts.arch.name]
        self._audit = ptrace.AUDIT_ARCHES[facts.arch.name]
        self._traps = Traps(self, facts)
        numbers = facts.arch.syscall_numbers
        self.mmap = numbers["mmap"]
        self._execs = {numbers["execve"]: 0, numbers["execveat"]: 1}
        self._births = frozenset(numbers[name] for name in ("clone", "fork", "vfork", "clone3") if name in numbers)
        self.exec_hooks = bool(routes.exec)
        # whether system calls must be seen (for breakpoints: to find new mappings)
        self.wants_calls = routes.wants_calls or bool(self.places) or self.exec_hooks
        self._sample_hooks: Sequence[Hook] = ()  # whom the sample under way is for
        self._events: dict[int, Callable[[Thread, int], None]] = {
            ptrace.EVENT_FORK: self._on_fork,
            ptrace.EVENT_VFORK: self._on_vfork,
            ptrace.EVENT_CLONE: self._on_fork,
            ptrace.EVENT_EXEC: self._on_exec,
            ptrace.EVENT_VFORK_DONE: self._on_vfork_done,
            ptrace.EVENT_EXIT: self._on_exit_event,
            ptrace.EVENT_SECCOMP: self._on_seccomp,
            ptrace.EVENT_STOP: self._on_event_stop,
        }

    # -- what must stop -------------------------------------------------------------------------------------------

    def wanted_calls(self) -> list[int] | None:
        """The numbers of the calls that must stop; None for all."""
        routes = self.routes
        if routes.every_enter or routes.every_exit:
            return None
        numbers = {*routes.enter, *routes.exit}
        return sorted(numbers | set(self._execs)) if self.exec_hooks else sorted(numbers)

    def options(self, *, kill: bool) -> int:
        """ptrace options; with `kill` a followed process does not outlive us."""
        found = _OPTIONS | (ptrace.OPTION_SECCOMP if kill else 0) | (ptrace.OPTION_EXIT_KILL if kill else 0)
        return found | ptrace.OPTION_EXIT

    def new_space(self, pid: int) -> AddressSpace:
        """The memory of a process as it is before we touch it."""
        return AddressSpace(pid, self.trap, self._ledger)

    # -- stops ----------------------------------------------------------------------------------------------------

    def take(self, flags: int = 0) -> bool:
        """Wait for one stop and handle it; False when there was none (see host.ptrace.wait)."""
        if self.queue:
            tid, status = self.queue.popleft()
        else:
            tid, status = ptrace.wait(-1, flags)
        if tid <= 0:
            return False
        self.handle(tid, status)
        return True

    def handle(self, tid: int, status: int) -> None:
        """One stop or end."""
        thread = self.threads.get(tid)
        if status & 0xFF != 0x7F:
            self._on_end(tid, thread, status)
            return
        if thread is None:
            thread = self._meet(tid)
            if thread is None:
                return
        thread.stopped = thread.started = True
        number, event = stop_of(status)
        try:
            if number == ptrace.SYSCALL_STOP:
                self._on_call(thread)
            elif event:
                self._events.get(event, self._on_other)(thread, number)
            else:
                self._on_signal(thread, number)
        except ProcessLookupError:  # killed meanwhile: its end is reported next
            pass
        except BaseException:  # a program's fault, an interrupt: whoever handles it, the thread is not to hang here
            own = event or number in (ptrace.SYSCALL_STOP, signal.SIGTRAP)
            self.resume(thread, 0 if own else number)
            raise

    def resume(self, thread: Thread, number: int = 0) -> None:
        """Let a stopped thread run."""
        thread.stopped = False
        call = thread.awaits_exit or (not thread.filtered and self.active and self.wants_calls)
        ptrace.resume(thread.tid, number, to_call=call)

    def _meet(self, tid: int) -> Thread | None:
        """A thread that reports before its creation was: find out what it belongs to."""
        status = status_fields(tid)
        pid = int(status.get(b"Tgid", b"0"))
        if not pid:
            ptrace.resume(tid)
            return None
        parent = None if pid in self.processes else self.processes.get(int(status.get(b"PPid", b"0")))
        tracer_wide = all(thread.filtered for thread in self.threads.values()) if self.threads else False
        return self._add(tid, pid, parent, None, tracer_wide)

    def _add(self, tid: int, pid: int, parent: Process | None, maker: Thread | None, filtered: bool) -> Thread:
        process = self.processes.get(pid)
        if process is None:
            space = self.new_space(pid)
            if parent is not None and (parent.space.is_touched):
                if ptrace.same_memory(parent.pid, pid):
                    space = parent.space
                    space.users += 1
                else:
                    space = parent.space.fork(pid)
            elif parent is not None:
                space.placed = set(parent.space.placed)
            process = self.processes[pid] = Process(pid, parent.pid if parent else 0, space)
        thread = self.threads[tid] = Thread(tid, process, filtered)
        thread.birth = self._birth_call(maker, process if parent is None else parent)
        if maker is not None and maker.process is not process:
            thread.returns = list(maker.returns)
        self.identities.begin(thread)
        return thread

    def _birth_call(self, maker: Thread | None, process: Process) -> tuple[int, ...] | None:
        """The system call that a new thread will return from."""
        makers = [maker] if maker is not None else [self.threads[tid] for tid in process.threads if tid in self.threads]
        return next((each.call for each in makers if each.call is not None and each.call[0] in self._births), None)

    # -- system calls ---------------------------------------------------------------------------------------------

    def _on_seccomp(self, thread: Thread, number: int) -> None:
        info = ptrace.syscall_info(thread.tid)
        if info[11] == ptrace.TRACE_MARK:
            self._enter(thread, info)
        else:  # a filter of the program's own asks for a tracer, and there is none: the call fails (seccomp(2))
            self._refuse_call(thread)
        self.resume(thread)

    def _refuse_call(self, thread: Thread) -> None:
        registers = ptrace.registers(thread.tid)
        ptrace.set_registers(thread.tid, self.firing.file.of_refused_call(registers, errno.ENOSYS))
        if not self.firing.file.holds_call_number:
            ptrace.set_call_number(thread.tid, -1)

    def _on_call(self, thread: Thread) -> None:
        info = ptrace.syscall_info(thread.tid)
        if info[0] == ptrace.OP_ENTRY:
            self._enter(thread, info)
        elif info[0] == ptrace.OP_EXIT:
            self._exit(thread, info)
        self.resume(thread)

    def _enter(self, thread: Thread, info: tuple[int, ...]) -> None:
        if info[1] != self._audit:
            thread.call = None
            return
        number = info[4]
        thread.call = info[4:11]
        if not self.active:
            return
        routes = self.routes
        hooks = routes.enter.get(number)
        if hooks:
            self.firing.enter(thread, hooks, info)
        if routes.every_enter:
            self.firing.enter(thread, routes.every_enter, info)
        if self.exec_hooks and number in self._execs:
            thread.exec_path = self._text(thread, info[5 + self._execs[number]])
        maps_code = number == self.mmap and info[7] & _PROT_EXEC and bool(self.places)
        thread.awaits_exit = bool(number in routes.exit or routes.every_exit or maps_code)

    def _exit(self, thread: Thread, info: tuple[int, ...]) -> None:
        thread.awaits_exit = False
        call = thread.call
        if call is None or not self.active:
            return
        self._tell_exit(thread, call, info)
        if self.places and call[0] == self.mmap and call[3] & _PROT_EXEC:
            self._remap(thread.process.space, info[4], call[2])
        thread.call = None

    def _tell_exit(self, thread: Thread, call: tuple[int, ...], info: tuple[int, ...]) -> None:
        hooks = self.routes.exit.get(call[0])
        if hooks:
            self.firing.exit(thread, hooks, info)
        if self.routes.every_exit:
            self.firing.exit(thread, self.routes.every_exit, info)

    def _begin(self, thread: Thread) -> None:
        """The first stop of a new thread: it returns 0 from the call that made it."""
        thread.call, thread.birth = thread.birth, None
        if thread.call is not None and self.active:
            registers = ptrace.registers(thread.tid)
            file = self.firing.file
            self._tell_exit(
                thread, thread.call, (ptrace.OP_EXIT, self._audit, file.pc(registers), file.sp(registers), 0)
            )
        thread.call = None

    def _remap(self, space: AddressSpace, start: int, size: int) -> None:
        """New code: forget what was known of these addresses, and look."""
        space.placed = {place for place in space.placed if place[1] <= start or place[0] >= start + size}
        self.places.place(space)

    def _text(self, thread: Thread, address: int) -> bytes:
        data = thread.process.space.read(address, 4096 - address % 4096)
        return data.partition(b"\0")[0]

    # -- processes ------------------------------------------------------------------------------------------------

    def note_child(self, thread: Thread) -> int:
        """A thread stopped for having made another one; gives the new one's id."""
        child = ptrace.event_message(thread.tid)
        known = self.threads.get(child)
        if known is None:
            pid = int(status_fields(child).get(b"Tgid", b"0"))
            if pid:
                self._add(child, pid, thread.process, thread, thread.filtered)
        else:
            if known.process is not thread.process:  # what it has called since it reported itself is innermost
                known.returns = [*thread.returns, *known.returns]
        return child

    def _on_fork(self, thread: Thread, number: int) -> None:
        child = self.note_child(thread)
        if self.routes.fork and self.active:
            comm = self.identities.comm(thread)
            self.firing.event(thread, self.routes.fork, (comm, thread.tid, comm, child))
        self.resume(thread)

    def _on_vfork(self, thread: Thread, number: int) -> None:
        thread.in_vfork = True
        self._on_fork(thread, number)

    def _on_vfork_done(self, thread: Thread, number: int) -> None:
        thread.in_vfork = False
        self.resume(thread)

    def take_over(self, thread: Thread) -> tuple[int, bytes]:
        """A thread runs another program in place of its process's; gives its former id and the path that it named."""
        old = ptrace.event_message(thread.tid)
        process = thread.process
        former = self.threads.get(old, thread)
        path = former.exec_path
        thread.awaits_exit, thread.call = former.awaits_exit, former.call
        for tid in list(process.threads):
            if tid != thread.tid:
                self._forget(tid)
        self._leave_space(process)
        process.space = self.new_space(process.pid)
        thread.returns = []
        self.identities.begin(thread)
        return old, path

    def _on_exec(self, thread: Thread, number: int) -> None:
        process = thread.process
        old, path = self.take_over(thread)
        if self.routes.exec and self.active:
            self.firing.event(thread, self.routes.exec, (path or _program(process.pid), thread.tid, old))
        if self.places and self.active:
            self.places.place(process.space)
        self.on_leave(process.pid)
        self.on_exec(process.pid)
        self.resume(thread)

    def _on_exit_event(self, thread: Thread, number: int) -> None:
        process = thread.process
        last = len(process.threads) == 1
        if last:
            self.on_leave(process.pid)
        if self.routes.process_exit and self.active:
            fields = stat_fields(thread.tid)
            priority = int(fields[15]) + _PRIO_SHIFT if len(fields) > 15 else 120
            values = (self.identities.comm(thread), thread.tid, priority, int(last))
            self.firing.event(thread, self.routes.process_exit, values[: self.routes.process_exit[0].width + 1])
        self.resume(thread)

    def _on_end(self, tid: int, thread: Thread | None, status: int) -> None:
        process = self.processes.get(tid)
        self._forget(tid)
        if process is not None:
            self._leave_space(process)
            del self.processes[tid]
            self.on_end(tid, status)

    def _forget(self, tid: int) -> None:
        thread = self.threads.pop(tid, None)
        if thread is not None:
            thread.process.threads.discard(tid)
            thread.close()

    def _leave_space(self, process: Process) -> None:
        """A process leaves its memory; what shares it (after vfork) keeps its breakpoints."""
        space = process.space
        space.users -= 1
        if space.users <= 0:
            space.close()
        elif space.pid == process.pid:
            others = [p.pid for p in self.processes.values() if p.space is space and p is not process]
            space.pid = others[0] if others else space.pid

    # -- signals and stops ----------------------------------------------------------------------------------------

    def _on_other(self, thread: Thread, number: int) -> None:
        self.resume(thread)

    def _on_event_stop(self, thread: Thread, number: int) -> None:
        if number in _JOB_STOPS:
            thread.stopped = False
            ptrace.listen(thread.tid)
            return
        if thread.birth is not None:
            self._begin(thread)
        if thread.sampled:
            thread.sampled = False
            if self.active and self.routes.profile:
                self.firing.at_registers(thread, self._sample_hooks, ptrace.registers(thread.tid))
        self.resume(thread)

    def _on_signal(self, thread: Thread, number: int) -> None:
        if number == signal.SIGTRAP and thread.process.space.breakpoints and self._traps.hit(thread):
            return
        if self.routes.signal and self.active:
            self._tell_signal(thread, number)
        self.resume(thread, number)

    def _tell_signal(self, thread: Thread, number: int) -> None:
        """signal_deliver, unless the kernel would drop the signal of a process that nobody traces."""
        status = status_fields(thread.tid)
        bit = 1 << number - 1
        caught = int(status.get(b"SigCgt", b"0"), 16) & bit
        if int(status.get(b"SigIgn", b"0"), 16) & bit or (number in _IGNORED_BY_DEFAULT and not caught):
            return
        found, error, code = ptrace.signal_info(thread.tid)
        self.firing.event(thread, self.routes.signal, (found, error, code, int(bool(caught)), 0))

    # -- sampling -------------------------------------------------------------------------------------------------

    def sample(self, hooks: Sequence[Hook]) -> None:
        """Ask all threads that are on a CPU to stop for a sample."""
        self._sample_hooks = hooks
        for thread in self.threads.values():
            if not thread.stopped and not thread.sampled and stat_fields(thread.tid)[:1] == [b"R"]:
                with suppress(OSError):
                    ptrace.interrupt(thread.tid)
                    thread.sampled = True

    # -- the end --------------------------------------------------------------------------------------------------

    def let_go(self, *, wards: bool) -> None:
        """Take all breakpoints out and detach; threads run on untraced. Filtered ones only with `wards`."""
        from .ending import let_go

        self.active = False
        let_go(self, wards=wards)

    def quiet(self) -> None:
        """Take all breakpoints out and run no programs any more, but stay: filtered processes need a tracer for their calls."""
        from .ending import clear_breakpoints

        self.active = False
        clear_breakpoints(self)


def _program(pid: int) -> bytes:
    try:
        return os.readlink(b"/proc/%d/exe" % pid)
    except OSError:
        return b""
