"""perf_event_open(2): events that programs attach to. Source: `struct perf_event_attr` in the uapi header linux/perf_event.h.

Functions give descriptors that the caller owns, and raise OSError. `pid` -1 means all processes, `cpu` -1 all CPUs (not both).
"""

from __future__ import annotations

import fcntl
import os
import struct
from functools import cache

from ..base.errors import NotSupported
from .proc import read_text
from .syscall import NUMBERS, address_of, syscall

TYPE_HARDWARE, TYPE_SOFTWARE, TYPE_TRACEPOINT = 0, 1, 2
TYPE_BREAKPOINT = 5
SW_CPU_CLOCK = 0

IOC_ENABLE, IOC_DISABLE, IOC_SET_BPF = 0x2400, 0x2401, 0x40042408
_FLAG_CLOEXEC = 8
_INHERIT, _EXCLUDE_HV = 1 << 1, 1 << 6
_ATTR = struct.Struct("=IIQQQQQIIQQQQIiQIHH")  # PERF_ATTR_SIZE_VER5, 112 bytes


def open_event(
    kind: int,
    config: int,
    *,
    pid: int = -1,
    cpu: int = -1,
    period: int = 0,
    flags: int = 0,
    bp_type: int = 0,
    config1: int = 0,
    config2: int = 0,
) -> int:
    """Open an event, enabled. `period` counts events (ns for clocks) between samples."""
    attr = bytearray(
        _ATTR.pack(
            kind,
            _ATTR.size,
            config,
            period,
            0,
            0,
            flags,
            1,  # wakeup_events
            bp_type,
            config1,
            config2,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        )
    )
    return syscall(NUMBERS["perf_event_open"], address_of(attr), pid, cpu, -1, _FLAG_CLOEXEC)


def open_clock(cpu: int, *, period_ns: int = 0, frequency: int = 0) -> int:
    """A timer on one CPU, by period or by `frequency` in Hz.

    The kernel turns a clock's frequency into a period anyway, but only below perf_event_max_sample_rate.
    """
    period = 10**9 // frequency if frequency else period_ns
    return open_event(TYPE_SOFTWARE, SW_CPU_CLOCK, cpu=cpu, period=period)


def open_tracepoint(event_id: int, cpu: int = 0, pid: int = -1) -> int:
    """A tracepoint by the number in its `id` file. A program on it runs on every CPU whatever `cpu` says."""
    return open_event(TYPE_TRACEPOINT, event_id, cpu=cpu, pid=pid, period=1)


@cache
def pmu_type(name: str) -> int:
    """The type number of a dynamic PMU ("kprobe", "uprobe"). Raises NotSupported when the kernel has none.

    Source: Documentation/ABI/testing/sysfs-bus-event_source-devices.
    """
    text = read_text(f"/sys/bus/event_source/devices/{name}/type")
    if text is None:
        raise NotSupported(
            f"this kernel has no {name}s", hint=f"it needs CONFIG_{name.upper()}_EVENTS, and sysfs on /sys"
        )
    return int(text)


@cache
def _format_bit(pmu: str, term: str) -> int:
    """The lowest bit of `config` that a term of a PMU's format takes ("config:0", "config:32-63")."""
    text = read_text(f"/sys/bus/event_source/devices/{pmu}/format/{term}") or ""
    return int(text.partition(":")[2].partition("-")[0] or 0)


def open_kprobe(function: str, offset: int = 0, address: int = 0, on_return: bool = False, cpu: int = 0) -> int:
    """A kprobe at function + offset (`module:function` works), or at an address."""
    config = int(on_return) << _format_bit("kprobe", "retprobe")
    kind = pmu_type("kprobe")
    if address:
        return open_event(kind, config, cpu=cpu, period=1, config2=address)
    name = bytearray(function.encode() + b"\0")
    return open_event(kind, config, cpu=cpu, period=1, config1=address_of(name), config2=offset)


def open_uprobe(
    path: str, offset: int, on_return: bool = False, pid: int = -1, counter_offset: int = 0, cpu: int = 0
) -> int:
    """A uprobe at a file offset; `counter_offset` is the file offset of a USDT semaphore, 0 for none."""
    config = int(on_return) << _format_bit("uprobe", "retprobe")
    if counter_offset:
        config |= counter_offset << _format_bit("uprobe", "ref_ctr_offset")
    name = bytearray(os.fsencode(path) + b"\0")
    where = cpu if pid < 0 else -1
    return open_event(
        pmu_type("uprobe"), config, cpu=where, pid=pid, period=1, config1=address_of(name), config2=offset
    )


_BREAKPOINT_BITS = {"r": 1, "w": 2, "x": 4}  # HW_BREAKPOINT_R, _W, _X in linux/hw_breakpoint.h


def open_breakpoint(address: int, length: int, mode: str, *, pid: int = -1, cpu: int = -1) -> int:
    """A hardware breakpoint; `mode` is a mix of r, w, x. With a pid it follows threads made later."""
    bits = sum(_BREAKPOINT_BITS[letter] for letter in set(mode))
    size = 8 if mode == "x" else length  # sizeof(long), as the kernel demands
    flags = _EXCLUDE_HV | (_INHERIT if pid >= 0 else 0)
    return open_event(
        TYPE_BREAKPOINT, 0, pid=pid, cpu=cpu, period=1, flags=flags, bp_type=bits, config1=address, config2=size
    )


def set_program(perf_fd: int, program_fd: int) -> None:
    """Attach a program to an event for as long as the event is open."""
    fcntl.ioctl(perf_fd, IOC_SET_BPF, program_fd)
