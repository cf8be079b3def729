"""Followed processes and threads, and what programs may ask about them."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from ...host import ptrace
from ..machine.memory import MemoryFault
from ..machine.task import Task
from .breakpoints import AddressSpace
from .records import FAKE_REGISTERS
from .routes import HELPER_CGROUP, HELPER_COMM, HELPER_CPU, HELPER_UID_GID, Hook


class Process:
    """A followed process."""

    __slots__ = ("pid", "ppid", "space", "threads")

    def __init__(self, pid: int, ppid: int, space: AddressSpace) -> None:
        self.pid = pid
        self.ppid = ppid
        self.space = space
        self.threads: set[int] = set()


class PendingReturn:
    """A function call whose return is awaited: `sp` is the stack pointer after the return."""

    __slots__ = ("address", "function", "hooks", "sp")

    def __init__(self, address: int, sp: int, function: int, hooks: list[Hook]) -> None:
        self.address = address
        self.sp = sp
        self.function = function
        self.hooks = hooks


class Thread:
    """A followed thread. `filtered`: only wanted system calls stop it; `awaits_exit`: the next exit of one is wanted."""

    __slots__ = (
        *("awaits_exit", "birth", "call", "comm_fd", "exec_path", "filtered", "in_vfork", "process", "returns"),
        *("sampled", "started", "stopped", "task", "tid"),
    )

    def __init__(self, tid: int, process: Process, filtered: bool) -> None:
        self.tid = tid
        self.process = process
        self.filtered = filtered
        self.awaits_exit = False
        self.call: tuple[int, ...] | None = None  # number and arguments of the call under way
        self.birth: tuple[int, ...] | None = None  # those of the call that made it, until it has returned from that
        self.exec_path = b""
        self.returns: list[PendingReturn] = []
        self.sampled = False  # an interrupt for a sample is under way
        self.started = False  # it has reported itself
        self.in_vfork = False  # it cannot stop until its child runs another program or ends
        self.stopped = False
        self.comm_fd = -1
        self.task = Task(process.pid, tid)
        process.threads.add(tid)

    def close(self) -> None:
        """Release the descriptor."""
        if self.comm_fd >= 0:
            os.close(self.comm_fd)
            self.comm_fd = -1


class Identities:
    """Keeps the `Task` of threads; asks /proc only for what the programs of a script ask for."""

    def __init__(self, helpers: set[int]) -> None:
        self._reads_comm = HELPER_COMM in helpers
        self._reads_status = HELPER_UID_GID in helpers
        self._reads_cpu = HELPER_CPU in helpers
        self._reads_cgroup = HELPER_CGROUP in helpers

    def begin(self, thread: Thread) -> None:
        """A thread is new, or another program since its exec."""
        thread.close()
        with suppress(OSError):
            thread.comm_fd = os.open(f"/proc/{thread.process.pid}/task/{thread.tid}/comm", os.O_RDONLY | os.O_CLOEXEC)
        thread.task = self._read(thread)

    def now(self, thread: Thread) -> Task:
        """The thread as it is at this event."""
        if self._reads_status or self._reads_cpu:
            thread.task = self._read(thread)
        elif self._reads_comm:
            comm = self.comm(thread)
            old = thread.task
            if comm != old.comm:
                thread.task = Task(old.pid, old.tid, old.uid, old.gid, comm, old.ppid, old.cgroup_id, old.cpu)
        return thread.task

    def comm(self, thread: Thread) -> bytes:
        """The command name."""
        try:
            return os.pread(thread.comm_fd, 64, 0)[:-1]
        except OSError:
            return thread.task.comm

    def _read(self, thread: Thread) -> Task:
        pid = thread.process.pid
        status = status_fields(thread.tid)
        uid, gid = (int(status.get(key, b"0").split()[0]) for key in (b"Uid", b"Gid"))
        thread.process.ppid = int(status.get(b"PPid", b"0"))
        cpu = _cpu(thread.tid) if self._reads_cpu else 0
        cgroup = _cgroup_id(pid) if self._reads_cgroup else 1
        return Task(pid, thread.tid, uid, gid, self.comm(thread), thread.process.ppid, cgroup, cpu)


def status_fields(tid: int) -> dict[bytes, bytes]:
    """/proc/TID/status; empty when the thread is gone. Format: proc_pid_status(5)."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            pairs = (line.partition(b":") for line in file.read().splitlines())
            return {key: value.strip() for key, _, value in pairs}
    except OSError:
        return {}


def stat_fields(tid: int) -> list[bytes]:
    """The fields of /proc/TID/stat from the state (field 3 of proc_pid_stat(5)) on; empty when the thread is gone."""
    try:
        with open(f"/proc/{tid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def withheld_privileges(pid: int) -> str:
    """The program of a process when its file would give it another user, group or capabilities that it does not get since we trace it
    without privileges (execve(2)); else ""."""
    if os.geteuid() == 0:
        return ""
    try:
        path = f"/proc/{pid}/exe"
        found = os.stat(path)
        raised = found.st_mode & stat.S_ISUID and found.st_uid != os.geteuid()
        raised = raised or (found.st_mode & stat.S_ISGID and found.st_gid != os.getegid())
        if raised or "security.capability" in os.listxattr(path):
            return os.readlink(path)
    except OSError:
        pass
    return ""


def _cpu(tid: int) -> int:
    fields = stat_fields(tid)
    return int(fields[36]) if len(fields) > 36 else 0


def _cgroup_id(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/cgroup", "rb") as file:
            path = next(line[3:] for line in file.read().splitlines() if line.startswith(b"0::"))
        return os.stat(b"/sys/fs/cgroup" + path).st_ino
    except (OSError, StopIteration):
        return 1


class TraceeMemory:
    """A MemorySource: the memory of a followed process, and the made-up registers of its system call."""

    def __init__(self) -> None:
        self.pid = 0
        self.space: AddressSpace | None = None
        self.registers = b""  # what FAKE_REGISTERS points to

    def read(self, address: int, size: int, user: bool) -> bytes:
        """See `MemorySource`. Breakpoints do not show."""
        if not user:
            at = address - FAKE_REGISTERS
            if at >= 0 and at + size <= len(self.registers):
                return self.registers[at : at + size]
            raise MemoryFault(f"no kernel memory at {address:#x}")
        assert self.space is not None
        data = read_process(self.pid, address, size)
        return self.space.original(address, data) if self.space.breakpoints else data


def read_process(pid: int, address: int, size: int) -> bytes:
    """Memory of a process. Raises MemoryFault."""
    try:
        return ptrace.read_memory(pid, address, size)
    except OSError:
        pass  # a sandbox may forbid the call, a page may be unreadable for it: the file is what is left
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            file.seek(address)
            data = file.read(size)
    except (OSError, OverflowError, ValueError):
        data = b""
    if len(data) != size:
        raise MemoryFault(f"no memory at {address:#x}")
    return data
