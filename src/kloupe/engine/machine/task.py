"""Who runs, when a program runs: the identity that helpers report."""

from __future__ import annotations

import os
import threading

from ...base.record import record

COMM_BYTES = 16  # TASK_COMM_LEN

# Where a task that nobody gave an address seems to live: in the direct mapping of kernel memory, so it looks like a pointer.
FAKE_TASK_ADDRESS = 0xFFFF_8881_0000_0000


@record(frozen=True)
class Task:
    """A thread. `pid` is the process (the kernel's tgid), `tid` the thread. `address` is its task_struct, 0: a fake one."""

    pid: int
    tid: int
    uid: int = 0
    gid: int = 0
    comm: bytes = b""
    ppid: int = 0
    cgroup_id: int = 1
    cpu: int = 0
    numa_node: int = 0
    address: int = 0
    ns_pid: int = 0  # pid and tid in its own pid namespace; 0: the same
    ns_tid: int = 0

    @property
    def pid_tgid(self) -> int:
        """What bpf_get_current_pid_tgid gives: process id above, thread id below."""
        return self.pid << 32 | self.tid & 0xFFFFFFFF

    @property
    def uid_gid(self) -> int:
        """What bpf_get_current_uid_gid gives: group above, user below."""
        return (self.gid & 0xFFFFFFFF) << 32 | self.uid & 0xFFFFFFFF

    @property
    def pointer(self) -> int:
        """The address that bpf_get_current_task gives."""
        return self.address or FAKE_TASK_ADDRESS + (self.tid << 14)


def this_task() -> Task:
    """The calling thread."""
    return Task(
        pid=os.getpid(),
        tid=threading.get_native_id(),
        uid=os.getuid(),
        gid=os.getgid(),
        comm=_read("/proc/thread-self/comm").rstrip(b"\n"),
        ppid=os.getppid(),
        cgroup_id=_own_cgroup_id(),
    )


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _own_cgroup_id() -> int:
    """The inode number of the cgroup v2 directory, which is what the kernel gives as id; 1 (the root) when unknown."""
    for line in _read("/proc/self/cgroup").splitlines():
        if line.startswith(b"0::"):
            try:
                return os.stat(b"/sys/fs/cgroup" + line[3:]).st_ino
            except OSError:
                break
    return 1


@record(frozen=True)
class Stacks:
    """The call stacks at an event, innermost address first; None: there is none."""

    kernel: tuple[int, ...] | None = None
    user: tuple[int, ...] | None = None


NO_STACKS = Stacks()
