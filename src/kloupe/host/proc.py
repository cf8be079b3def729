"""Small facts of the running machine and process from /proc and /sys."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

from ..base.errors import MissingFacts

_ARG_START = 48 - 3  # field 48 of proc_pid_stat(5), counted from the third
_INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO in include/linux/proc_ns.h
_CAPABILITIES = {"CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_PERFMON": 38, "CAP_BPF": 39}


def read_text(path: str) -> str | None:
    """The text of a small file without surrounding white space, or None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()
    except OSError:
        return None


def parse_cpu_list(text: str) -> list[int]:
    """`0-3,8` to CPU numbers, ascending. Format: Documentation/admin-guide/cputopology.rst."""
    cpus: list[int] = []
    for part in text.split(","):
        if not part:
            continue
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


@cache
def possible_cpus() -> int:
    """How many CPUs are possible: how many values a per-CPU map has."""
    text = read_text("/sys/devices/system/cpu/possible")
    if text is None:
        return os.cpu_count() or 1
    return len(parse_cpu_list(text))


def online_cpus() -> list[int]:
    """The numbers of the CPUs that are online now."""
    text = read_text("/sys/devices/system/cpu/online")
    return parse_cpu_list(text) if text else list(range(os.cpu_count() or 1))


def pid_namespace() -> tuple[int, int] | None:
    """(device, inode) of our pid namespace for bpf_get_ns_current_pid_tgid, or None in the initial one."""
    try:
        stat = os.stat("/proc/self/ns/pid")
    except OSError:
        return None
    return None if stat.st_ino == _INITIAL_PID_NAMESPACE else (stat.st_dev, stat.st_ino)


def threads(pid: int) -> list[int]:
    """The thread ids of a process. Raises MissingFacts when there is no such process."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError as error:
        raise MissingFacts(f"no process {pid}", hint="the process may have ended") from error


def set_comm(name: str) -> None:
    """Set the name of the calling thread (at most 15 bytes)."""
    with open("/proc/thread-self/comm", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(name)


def set_command_line(words: Sequence[str]) -> None:
    """Show these words as the process's command line (as far as they fit in the place of the real one).

    The kernel shows the memory between arg_start and arg_end of /proc/PID/stat. Raises OSError where that is not allowed.
    """
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
    text = b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in words)
    if 0 < start < end:
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            memory.write(text[: end - start - 1].ljust(end - start, b"\0"))


def has_capability(name: str) -> bool:
    """Whether the calling thread has a capability in effect. Source: capabilities(7), include/uapi/linux/capability.h."""
    status = read_text("/proc/thread-self/status") or ""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAPABILITIES[name] & 1)
    return False


def lockdown_mode() -> str:
    """The lockdown level in force: "none", "integrity", "confidentiality", or "" when unknown. Source: kernel_lockdown(7)."""
    text = read_text("/sys/kernel/security/lockdown") or ""
    _, _, rest = text.partition("[")
    return rest.partition("]")[0]


def raise_memory_lock_limit() -> bool:
    """Lift RLIMIT_MEMLOCK, which kernels before 5.11 charge maps to, as far as allowed; False when nothing was gained."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    for limit in (resource.RLIM_INFINITY, hard):
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
        except (OSError, ValueError):
            continue
        return limit != soft
    return False
