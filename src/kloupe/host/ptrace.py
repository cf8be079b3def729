"""ptrace(2), and reading memory of other processes. Numbers: uapi linux/ptrace.h, asm-generic; structs: ptrace(2).

Functions raise OSError: ESRCH when the thread is gone or not in a stop. Only the thread that attached may call them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Sequence

from .syscall import address_of, syscall

_CONT, _SINGLESTEP, _DETACH, _SYSCALL = 7, 9, 17, 24
_SETOPTIONS, _GETEVENTMSG, _GETSIGINFO, _GETREGSET, _SETREGSET = 0x4200, 0x4201, 0x4202, 0x4204, 0x4205
_SEIZE, _INTERRUPT, _LISTEN, _GET_SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 0x420E

OPTION_SYSCALL_GOOD = 1
OPTION_FORK, OPTION_VFORK, OPTION_CLONE, OPTION_EXEC = 1 << 1, 1 << 2, 1 << 3, 1 << 4
OPTION_VFORK_DONE = 1 << 5
OPTION_EXIT, OPTION_SECCOMP, OPTION_EXIT_KILL = 1 << 6, 1 << 7, 1 << 20

EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC, EVENT_VFORK_DONE, EVENT_EXIT, EVENT_SECCOMP = range(1, 8)
EVENT_STOP = 128
SYSCALL_STOP = signal.SIGTRAP | 0x80

OP_NONE, OP_ENTRY, OP_EXIT, OP_SECCOMP = range(4)

WALL = 0x40000000
_NT_PRSTATUS, _NT_ARM_SYSTEM_CALL = 1, 0x404
_REGISTER_BYTES = 512  # more than any architecture's
_INFO_BYTES = 88
_SIGINFO_BYTES = 128
_SIGINFO_HEAD = struct.Struct("=iii")

_TGKILL, _KCMP = (234, 312) if os.uname().machine == "x86_64" else (131, 272)
_KCMP_VM = 1

_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long
_waitpid = _libc.waitpid
_waitpid.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
_waitpid.restype = ctypes.c_int
_readv = getattr(_libc, "process_vm_readv", None)
if _readv is not None:
    _readv.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    _readv.restype = ctypes.c_ssize_t

_status = ctypes.c_int()
_status_at = ctypes.addressof(_status)
_info = ctypes.create_string_buffer(_INFO_BYTES)
_info_at = ctypes.addressof(_info)
_registers = ctypes.create_string_buffer(_REGISTER_BYTES)
_registers_at = ctypes.addressof(_registers)
_vector = (ctypes.c_uint64 * 2)()
_vector_at = ctypes.addressof(_vector)
_message = ctypes.c_ulong()
_message_at = ctypes.addressof(_message)
_local, _remote = (ctypes.c_uint64 * 2)(), (ctypes.c_uint64 * 2)()
_local_at, _remote_at = ctypes.addressof(_local), ctypes.addressof(_remote)
_CHUNK = 4096
_chunk = ctypes.create_string_buffer(_CHUNK)
_chunk_at = ctypes.addressof(_chunk)
# struct ptrace_syscall_info: op, arch, ip, sp, nr or rval, args, ret_data
_unpack_info = struct.Struct("=B3xIQQq6QI").unpack_from


def _call(request: int, tid: int, address: int = 0, data: int = 0) -> int:
    result: int = _ptrace(request, tid, address, data)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def seize(tid: int, options: int) -> None:
    """Become the tracer of a thread without stopping it."""
    _call(_SEIZE, tid, 0, options)


def interrupt(tid: int) -> None:
    """Make a thread stop."""
    _call(_INTERRUPT, tid)


def resume(tid: int, number: int = 0, *, to_call: bool = False) -> bool:
    """Run on until the next event (with `to_call` or the next entry or exit of a system call), with a signal delivered or 0.

    False when the thread is gone.
    """
    done: bool = _ptrace(_SYSCALL if to_call else _CONT, tid, 0, number) >= 0
    return done


def step(tid: int, number: int = 0) -> None:
    """Run one instruction."""
    _call(_SINGLESTEP, tid, 0, number)


def listen(tid: int) -> None:
    """Let a group-stopped thread stay stopped, but report what happens to it."""
    _call(_LISTEN, tid)


def detach(tid: int, number: int = 0) -> None:
    """Let go of a stopped thread, with a signal delivered or 0."""
    _call(_DETACH, tid, 0, number)


def set_options(tid: int, options: int) -> None:
    """Replace the options of a stopped thread."""
    _call(_SETOPTIONS, tid, 0, options)


def event_message(tid: int) -> int:
    """What belongs to the event: the new thread's id, the exit status."""
    _call(_GETEVENTMSG, tid, 0, _message_at)
    return _message.value


def signal_info(tid: int) -> tuple[int, int, int]:
    """(si_signo, si_errno, si_code) of the signal that is about to be delivered."""
    buffer = bytearray(_SIGINFO_BYTES)
    _call(_GETSIGINFO, tid, 0, address_of(buffer))
    found: tuple[int, int, int] = _SIGINFO_HEAD.unpack_from(buffer)
    return found


def syscall_info(tid: int) -> tuple[int, ...]:
    """(op, audit architecture, ip, sp, number or result, six arguments, data of the filter) at a system-call stop. Linux 5.3."""
    if _ptrace(_GET_SYSCALL_INFO, tid, _INFO_BYTES, _info_at) < 0:
        raise OSError(ctypes.get_errno(), "PTRACE_GET_SYSCALL_INFO")
    return _unpack_info(_info)


def registers(tid: int) -> bytes:
    """The general registers (user_regs_struct; its start is laid out as pt_regs)."""
    _vector[0], _vector[1] = _registers_at, _REGISTER_BYTES
    _call(_GETREGSET, tid, _NT_PRSTATUS, _vector_at)
    return _registers.raw[: _vector[1]]


def set_registers(tid: int, data: bytes) -> None:
    """Replace the general registers."""
    ctypes.memmove(_registers_at, data, len(data))
    _vector[0], _vector[1] = _registers_at, len(data)
    _call(_SETREGSET, tid, _NT_PRSTATUS, _vector_at)


def set_call_number(tid: int, number: int) -> None:
    """The system call that a thread is about to begin, on machines that keep it outside of the general registers (aarch64)."""
    data = bytearray(struct.pack("=i", number))
    _vector[0], _vector[1] = address_of(data), len(data)
    _call(_SETREGSET, tid, _NT_ARM_SYSTEM_CALL, _vector_at)


def wait(tid: int, flags: int = 0) -> tuple[int, int]:
    """(thread, raw status) of any followed thread (-1) or one that has something to report.

    (0, 0): nothing (WNOHANG), or a signal came to us; (-1, 0): there is nobody to wait for. A wait that was interrupted returns,
    unlike os.waitpid, so that a timer can end it.
    """
    found: int = _waitpid(tid, _status_at, flags | WALL)
    if found > 0:
        return found, _status.value & 0xFFFFFFFF
    if found < 0 and ctypes.get_errno() == errno.ECHILD:
        return -1, 0
    return 0, 0


def read_memory(pid: int, address: int, size: int) -> bytes:
    """`size` bytes of a process. Raises OSError: EFAULT when some cannot be read, EPERM and ENOSYS where the call is not allowed."""
    if _readv is None:
        raise OSError(errno.ENOSYS, "process_vm_readv")
    if size <= _CHUNK:
        buffer, at = _chunk, _chunk_at
    else:
        buffer = ctypes.create_string_buffer(size)
        at = ctypes.addressof(buffer)
    _local[0], _local[1] = at, size
    _remote[0], _remote[1] = address, size
    done = _readv(pid, _local_at, 1, _remote_at, 1, 0)
    if done != size:
        raise OSError(ctypes.get_errno() if done < 0 else errno.EFAULT, "process_vm_readv")
    return ctypes.string_at(at, size)


def signal_thread(pid: int, tid: int, number: int) -> None:
    """Send a signal to one thread."""
    syscall(_TGKILL, pid, tid, number)


def same_memory(first: int, second: int) -> bool | None:
    """Whether two processes run in the same memory (kcmp(2)); None when it cannot be told."""
    try:
        return syscall(_KCMP, first, second, _KCMP_VM) == 0
    except OSError:
        return None


# -- seccomp ------------------------------------------------------------------------------------------------------

_PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG = 38, 1
_SECCOMP = {"x86_64": 317}.get(os.uname().machine, 277)
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_PRCTL = {"x86_64": 157}.get(os.uname().machine, 167)
_ACTION_TRACE = 0x7FF00000
TRACE_MARK = 0x6B6C  # tells our filters' stops from those that programs' own filters ask for
RET_TRACE, RET_ALLOW = _ACTION_TRACE | TRACE_MARK, 0x7FFF0000
_LOAD, _EQUAL, _BITS, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF_LD|W|ABS, JMP|JEQ|K, JMP|JSET|K, RET|K
_NR_AT, _ARCH_AT, _ARG2_AT = 0, 4, 32  # struct seccomp_data
_PROT_EXEC = 4
AUDIT_ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def can_filter() -> bool:
    """Whether the kernel has seccomp filters that stop for a tracer."""
    action = bytearray(struct.pack("=I", _ACTION_TRACE))
    try:
        syscall(_SECCOMP, _GET_ACTION_AVAIL, 0, address_of(action))
    except OSError:
        return False
    return True


def make_filter(arch: str, numbers: Sequence[int] | None, exec_mapping: int = -1) -> bytes:
    """A seccomp filter (array of struct sock_filter) that stops at these calls (None: all), and at `exec_mapping` (mmap) with PROT_EXEC.

    Calls of another architecture's numbering (32-bit) are left alone.
    """
    rows = [(_LOAD, 0, 0, _ARCH_AT), (_EQUAL, 1, 0, AUDIT_ARCHES[arch]), (_RETURN, 0, 0, RET_ALLOW)]
    if numbers is None:
        return _filter_code([*rows, (_RETURN, 0, 0, RET_TRACE)])
    rows.append((_LOAD, 0, 0, _NR_AT))
    for number in sorted(set(numbers)):
        rows += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, RET_TRACE)]
    if exec_mapping >= 0 and exec_mapping not in numbers:
        rows += [(_EQUAL, 0, 3, exec_mapping), (_LOAD, 0, 0, _ARG2_AT), (_BITS, 0, 1, _PROT_EXEC)]
        rows.append((_RETURN, 0, 0, RET_TRACE))
    return _filter_code([*rows, (_RETURN, 0, 0, RET_ALLOW)])


def _filter_code(rows: Sequence[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("=HBBI", *row) for row in rows)


def install_filter(code: bytes) -> None:
    """Put this process under a filter, for good. Without privileges it gives up gaining some by exec, as the kernel demands."""
    instructions = bytearray(code)
    program = bytearray(struct.pack("=H6xQ", len(code) // 8, address_of(instructions)))
    try:
        syscall(_SECCOMP, _SET_MODE_FILTER, 0, address_of(program))
    except PermissionError:
        syscall(_PRCTL, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        syscall(_SECCOMP, _SET_MODE_FILTER, 0, address_of(program))


def die_with_parent(number: int) -> None:
    """Get this signal when the parent ends."""
    syscall(_PRCTL, _PR_SET_PDEATHSIG, number)
