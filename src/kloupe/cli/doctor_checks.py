"""The questions of `kloupe doctor`: each answers yes, no or could not tell about this kernel and user, with a note.

Nothing here changes the machine: what is tried out (a program load, an event without a program) is gone with its descriptor.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from ..base.errors import KloupeError, NotSupported
from ..base.record import record
from ..host import bpf, perf, proc
from .machine import PROBERS, live_target

Instruction = tuple[int, int, int, int, int]  # opcode, destination, source, offset, immediate
_RETURN_ZERO: tuple[Instruction, ...] = ((0xB7, 0, 0, 0, 0), (0x95, 0, 0, 0, 0))  # r0 = 0; exit
# r1 = r10; r1 += -8; r2 = 0; r3 = 0; call probe_read_kernel
_READ_KERNEL: tuple[Instruction, ...] = (
    (0xBF, 1, 10, 0, 0),
    (0x07, 1, 0, 0, -8),
    (0xB7, 2, 0, 0, 0),
    (0xB7, 3, 0, 0, 0),
    (0x85, 0, 0, 0, 113),
)
_NOT_ALLOWED = "not allowed to ask"
_OLDEST = (5, 10)  # the oldest kernel that the guest tests run on
_CHARGED_TO_CGROUP = (5, 11)  # BPF memory no longer counts as locked memory (commit 97306be45fbe)


@record(frozen=True)
class Finding:
    """An answer: True, False, None (could not tell), and what was seen."""

    answer: bool | None
    note: str = ""


def _version() -> tuple[int, int]:
    numbers = os.uname().release.split("-")[0].split(".")
    try:
        return int(numbers[0]), int(numbers[1])
    except (IndexError, ValueError):
        return 0, 0


def kernel() -> Finding:
    """Whether this is a kernel that kloupe is tested on, or newer."""
    names = os.uname()
    found = _version()
    return Finding(found >= _OLDEST if found > (0, 0) else None, f"Linux {names.release}")


def architecture() -> Finding:
    """Whether kloupe knows this machine's registers and system calls."""
    try:
        return Finding(True, live_target().arch.name)
    except KloupeError as error:
        return Finding(False, str(error))


def privileges() -> Finding:
    """Whether this process may load tracing programs at all."""
    if proc.has_capability("CAP_SYS_ADMIN"):
        return Finding(True, "CAP_SYS_ADMIN")
    missing = [name for name in ("CAP_BPF", "CAP_PERFMON") if not proc.has_capability(name)]
    return Finding(False, f"without {' and '.join(missing)}") if missing else Finding(True, "CAP_BPF and CAP_PERFMON")


def _loads(code: tuple[Instruction, ...]) -> bool | None:
    from ..bpf.insn import encode_instructions
    from ..bpf.program_types import PROGRAM_TYPES

    return bpf.can_load(PROGRAM_TYPES["raw_tracepoint"], encode_instructions(list(code)))


def program_load() -> Finding:
    """Whether the kernel takes the smallest program from us."""
    answer = _loads(_RETURN_ZERO)
    if answer is None and privileges().answer:
        return Finding(False, "bpf(2) answers EPERM to a user who may: a seccomp filter, or lockdown")
    return Finding(answer, "" if answer is not None else _NOT_ALLOWED)


def following() -> Finding:
    """Whether we may trace a process of our own with ptrace(2), tried on a child that does nothing."""
    from ..host import ptrace

    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    os.close(read_end)
    try:
        ptrace.seize(pid, 0)
        return Finding(True)
    except OSError as error:
        return Finding(False, f"{error.strerror}")
    finally:
        os.close(write_end)
        os.waitpid(pid, 0)


def compiler() -> Finding:
    """Whether programs run as machine code. Source: Documentation/admin-guide/sysctl/net.rst."""
    text = proc.read_text("/proc/sys/net/core/bpf_jit_enable")
    return Finding(None if text is None else text != "0", "" if text is not None else "the setting is not readable")


def reading() -> Finding:
    """Whether programs may read kernel memory: lockdown in confidentiality mode withholds the helper. Source: kernel_lockdown(7)."""
    mode = proc.lockdown_mode()
    note = f"lockdown {mode}" if mode else ""
    answer = _loads((*_READ_KERNEL, *_RETURN_ZERO)) if _loads(_RETURN_ZERO) else None
    if answer is None and mode:
        answer = mode != "confidentiality"
    return Finding(answer, note or ("" if answer is not None else _NOT_ALLOWED))


def feature(name: str) -> Callable[[], Finding]:
    """A check that asks for a row of kernel/features.py."""

    def ask() -> Finding:
        if name in PROBERS and not privileges().answer:
            return Finding(None, _NOT_ALLOWED)
        answer = live_target().has(name)
        return Finding(answer, "" if answer is not None else "neither the kernel's types nor a trial tell")

    return ask


def tracefs() -> Finding:
    """Whether tracefs is at hand, mounted by the system or by us alone."""
    from ..host.tracefs import ensure_tracefs, find_mounted

    mounted = find_mounted()
    try:
        ensure_tracefs()
    except KloupeError as error:
        return Finding(False, str(error))
    return Finding(True, mounted or "not mounted; kloupe mounts one that only it sees")


def function_list() -> Finding:
    """Whether the kernel's list of traceable functions can be read."""
    from ..host.tracefs import ensure_tracefs

    try:
        path = f"{ensure_tracefs()}/available_filter_functions"
        with open(path, "rb") as file:
            return Finding(bool(file.read(1)))
    except KloupeError:
        return Finding(None, "no tracefs")
    except OSError as error:
        return Finding(False, f"{error.strerror}")


def probe_events(name: str, open_one: Callable[[], int]) -> Callable[[], Finding]:
    """A check that opens an event of a dynamic PMU, with no program on it, and closes it again."""

    def ask() -> Finding:
        try:
            os.close(open_one())
        except NotSupported as error:
            return Finding(False, str(error))
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES) and not privileges().answer:
                return Finding(None, _NOT_ALLOWED)
            return Finding(False, f"opening one: {error.strerror}")
        return Finding(True)

    return ask


def open_kprobe() -> int:
    """A kprobe on a function that every kernel with BPF has and that hardly ever runs."""
    return perf.open_kprobe("bpf_prog_test_run_raw_tp" if live_target().has("test_run") else "do_sys_openat2")


def open_uprobe() -> int:
    """A uprobe in the program that runs us, at the start of its first section of code."""
    from ..kernel.binary import open_binary

    path = os.path.realpath("/proc/self/exe")
    found = open_binary(path).symbols("main")
    return perf.open_uprobe(path, found[0].file_offset if found else 0, pid=os.getpid())


def hardware_counters() -> Finding:
    """Whether the machine lets us count cycles and cache misses (virtual machines often do not)."""
    try:
        os.close(perf.open_event(perf.TYPE_HARDWARE, 0, cpu=proc.online_cpus()[0], period=10**9))
    except OSError as error:
        return Finding(None if error.errno in (errno.EPERM, errno.EACCES) else False, str(error.strerror))
    return Finding(True)


def kernel_symbols() -> Finding:
    """Whether kernel addresses are shown, so that stacks have names. Source: Documentation/admin-guide/sysctl/kernel.rst."""
    restrict = proc.read_text("/proc/sys/kernel/kptr_restrict")
    note = f"kptr_restrict {restrict}" if restrict else ""
    try:
        return Finding(live_target().ksym("bpf_prog_put") is not None or live_target().ksym("_text") is not None, note)
    except KloupeError as error:
        return Finding(False, str(error))


def perf_paranoia() -> Finding:
    """Whether perf_event_open(2) is open to us. Source: Documentation/admin-guide/perf-security.rst."""
    level = proc.read_text("/proc/sys/kernel/perf_event_paranoid")
    if level is None:
        return Finding(None, "this kernel has no perf events, or /proc is not mounted")
    allowed = proc.has_capability("CAP_PERFMON") or proc.has_capability("CAP_SYS_ADMIN")
    return Finding(
        True if allowed else int(level) < 0, f"perf_event_paranoid {level}" + " (does not bind us)" * allowed
    )


def locked_memory() -> Finding:
    """Whether maps can be as big as scripts ask, on kernels that count them as locked memory."""
    import resource

    if _version() >= _CHARGED_TO_CGROUP:
        return Finding(True, "this kernel charges BPF memory to the cgroup, no limit to lift")
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    lifted = soft == resource.RLIM_INFINITY or proc.has_capability("CAP_SYS_RESOURCE")
    return Finding(lifted, f"limit of {soft} bytes" if soft != resource.RLIM_INFINITY else "no limit")


def pid_namespace() -> Finding:
    """Whether the pids that we print are those of the whole system."""
    inside = proc.pid_namespace() is not None
    return Finding(not inside, "inside a container: pid and tid are the container's" if inside else "")


def library(name: str) -> Callable[[], Finding]:
    """A check for an installed Python package."""

    def ask() -> Finding:
        from importlib.util import find_spec

        return Finding(find_spec(name) is not None)

    return ask
