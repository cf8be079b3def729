"""Raw system calls through libc's `syscall(2)`, and the addresses of buffers that go with them.

Numbers: `arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h` (which arm64, riscv and loongarch use);
from 424 on all architectures share one numbering.
Functions here raise OSError with the kernel's errno; the rooms above turn it into kloupe's own errors.
"""

from __future__ import annotations

import ctypes
import os

_X86_64 = {"perf_event_open": 298, "bpf": 321, "prctl": 157}
_GENERIC = {"perf_event_open": 241, "bpf": 280, "prctl": 167}
_BY_MACHINE: dict[str, dict[str, int]] = {
    "x86_64": _X86_64,
    "aarch64": _GENERIC,
    "riscv64": _GENERIC,
    "loongarch64": _GENERIC,
    "s390x": {"perf_event_open": 331, "bpf": 351, "prctl": 172},
    "ppc64le": {"perf_event_open": 319, "bpf": 361, "prctl": 171},
}
_SHARED = {"move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "pidfd_open": 434}


def _numbers(machine: str) -> dict[str, int]:
    return {**_BY_MACHINE.get(machine, _GENERIC), **_SHARED}


NUMBERS = _numbers(os.uname().machine)
_ARGUMENTS = 6
_syscall = ctypes.CDLL(None, use_errno=True).syscall
# Fixed types: without them ctypes would cut integers to 32 bits.
_syscall.argtypes = [ctypes.c_long] * (_ARGUMENTS + 1)
_syscall.restype = ctypes.c_long


def syscall(number: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0, e: int = 0, f: int = 0) -> int:
    """Do system call `number`; gives its non-negative result. Raises OSError."""
    result: int = _syscall(number, a, b, c, d, e, f)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def address_of(buffer: bytearray) -> int:
    """The address of a buffer's first byte, valid while the buffer lives and keeps its size; 0 for an empty one."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer)) if buffer else 0


def address_of_mapping(mapping: object) -> int:
    """The address of a writable mmap object's first byte."""
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))  # type: ignore[arg-type]
