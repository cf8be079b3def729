"""Helpers about who runs, when, and where; and those that act on the system.

Source: kernel/bpf/helpers.c, kernel/trace/bpf_trace.c.
"""

from __future__ import annotations

import struct
from errno import EINVAL, EOPNOTSUPP, EPERM

from .clock import CountsJiffies
from .core import Core, Effect
from .task import COMM_BYTES

HZ = 250  # CONFIG_HZ of most distributions; the machine cannot know the kernel's
INITIAL_JIFFIES = -300 * HZ & 0xFFFFFFFF  # include/linux/jiffies.h
_WORD = 8


def ktime_get_ns(core: Core) -> int:
    """CLOCK_MONOTONIC."""
    return core.clock.monotonic_ns()


def ktime_get_boot_ns(core: Core) -> int:
    """CLOCK_BOOTTIME."""
    return core.clock.boot_ns()


def ktime_get_tai_ns(core: Core) -> int:
    """CLOCK_TAI."""
    return core.clock.tai_ns()


def ktime_get_coarse_ns(core: Core) -> int:
    """CLOCK_MONOTONIC_COARSE."""
    return core.clock.coarse_ns()


def jiffies64(core: Core) -> int:
    """Ticks since boot, on the kernel's scale that starts five minutes before a 32-bit wrap."""
    known = core.clock.jiffies() if isinstance(core.clock, CountsJiffies) else None
    return known if known is not None else core.clock.monotonic_ns() * HZ // 1_000_000_000 + INITIAL_JIFFIES


def get_prandom_u32(core: Core) -> int:
    """32 random bits."""
    return core.random.next_u32()


def get_smp_processor_id(core: Core) -> int:
    """The CPU."""
    return core.cpu.number


def get_numa_node_id(core: Core) -> int:
    """The node of the CPU."""
    return core.task.numa_node


def get_current_pid_tgid(core: Core) -> int:
    """process << 32 | thread."""
    return core.task.pid_tgid


def get_current_uid_gid(core: Core) -> int:
    """gid << 32 | uid."""
    return core.task.uid_gid


def get_current_comm(core: Core, buffer: int, size: int) -> int:
    """The command name, NUL-padded to `size`."""
    size &= 0xFFFFFFFF
    if not size:
        return -EINVAL
    core.space.write(buffer, core.task.comm[: min(size, COMM_BYTES) - 1].ljust(size, b"\0"))
    return 0


def get_current_task(core: Core) -> int:
    """The address of the task_struct."""
    return core.task.pointer


def get_current_cgroup_id(core: Core) -> int:
    """The id of the cgroup (v2)."""
    return core.task.cgroup_id


def get_ns_current_pid_tgid(core: Core, device: int, inode: int, buffer: int, size: int) -> int:
    """Store u32 thread and u32 process as their own pid namespace numbers them (struct bpf_pidns_info: pid, tgid)."""
    if size & 0xFFFFFFFF != _WORD:
        return -EINVAL
    task = core.task
    core.space.write(buffer, struct.pack("=II", task.ns_tid or task.tid, task.ns_pid or task.pid))
    return 0


def get_attach_cookie(core: Core, context: int) -> int:
    """The number given when the probe was attached."""
    return core.cookie


def get_func_ip(core: Core, context: int) -> int:
    """The address of the traced function."""
    return core.function_address


def get_func_arg(core: Core, context: int, number: int, target: int) -> int:
    """Store argument `number` of a traced function (context: u64 arguments, and the result behind them when returning)."""
    if number >= get_func_arg_cnt(core, context):
        return -EINVAL
    core.space.write(target, core.context[_WORD * number : _WORD * number + _WORD])
    return 0


def get_func_ret(core: Core, context: int, target: int) -> int:
    """Store the result of a traced function; -EOPNOTSUPP at its entry."""
    if not core.is_return:
        return -EOPNOTSUPP
    core.space.write(target, core.context[-_WORD:])
    return 0


def get_func_arg_cnt(core: Core, context: int) -> int:
    """How many arguments the traced function has."""
    return len(core.context) // _WORD - core.is_return


def send_signal(core: Core, signal: int) -> int:
    """Ask for a signal to the process; -EPERM unless effects are allowed."""
    return 0 if core.act(Effect("signal", signal & 0xFFFFFFFF, core.task)) else -EPERM


def send_signal_thread(core: Core, signal: int) -> int:
    """Ask for a signal to the thread; -EPERM unless effects are allowed."""
    return 0 if core.act(Effect("signal_thread", signal & 0xFFFFFFFF, core.task)) else -EPERM


def override_return(core: Core, registers: int, value: int) -> int:
    """Ask for another result of the traced function; -EPERM unless effects are allowed."""
    return 0 if core.act(Effect("override", value, core.task)) else -EPERM


def trace_printk(core: Core, text: int, size: int, a: int, b: int, c: int) -> int:
    """Keep the format and its arguments (for debugging; not formatted)."""
    line = core.space.read_string(text, size & 0xFFFFFFFF).decode("utf-8", "replace")
    core.printed.append(f"{line} {a:#x} {b:#x} {c:#x}" if "%" in line else line)
    return len(line)


def session_is_return(core: Core, *context: int) -> int:
    """Kfunc: whether a session program runs at the function's end."""
    return int(core.is_return)


def nothing(core: Core, *arguments: int) -> int:
    """Kfuncs that lock something which one thread need not lock."""
    return 0
