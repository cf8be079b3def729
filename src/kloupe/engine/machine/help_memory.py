"""Helpers that read memory of the kernel and of processes, and compare or write it.

Source: kernel/trace/bpf_trace.c (reads clear their destination on failure), mm/maccess.c, kernel/bpf/helpers.c.
"""

from __future__ import annotations

from errno import EFAULT, EINVAL, ENAMETOOLONG, EPERM

from .core import Core, Effect
from .memory import MemoryFault

_PIECE = 256  # strings are read in aligned pieces, so that one which ends before a hole is found
_KERNEL_START = 1 << 63  # addresses of the kernel are in the upper half (x86-64, arm64)


def _read(core: Core, target: int, size: int, address: int, user: bool) -> int:
    size &= 0xFFFFFFFF
    try:
        data = core.read_source(address, size, user)
    except MemoryFault:
        core.space.write(target, bytes(size))
        return -EFAULT
    core.space.write(target, data)
    return 0


def _read_string(core: Core, target: int, size: int, address: int, user: bool) -> int:
    size &= 0xFFFFFFFF
    if not size:
        return 0
    text = b""
    at = address
    try:
        known = core.read_text(address, size - 1, user)
        if known is not None:
            core.space.write(target, known + b"\0")
            return len(known) + 1
        while len(text) < size:
            want = min(size - len(text), _PIECE - at % _PIECE)
            try:
                piece = core.read_source(at, want, user)
            except MemoryFault:
                piece = core.read_source(at, 1, user)
            end = piece.find(b"\0")
            if end >= 0:
                text += piece[:end]
                break
            text += piece
            at += len(piece)
        else:
            text = text[: size - 1]
    except MemoryFault:
        core.space.write(target, bytes(size))
        return -EFAULT
    core.space.write(target, text + b"\0")
    return len(text) + 1


def probe_read_user(core: Core, target: int, size: int, address: int) -> int:
    """Copy user memory."""
    return _read(core, target, size, address, True)


def probe_read_kernel(core: Core, target: int, size: int, address: int) -> int:
    """Copy kernel memory."""
    return _read(core, target, size, address, False)


def probe_read(core: Core, target: int, size: int, address: int) -> int:
    """Copy memory of whichever side the address belongs to."""
    return _read(core, target, size, address, _is_user(core, address))


def probe_read_user_str(core: Core, target: int, size: int, address: int) -> int:
    """Copy a string of user memory; its length with the NUL that is always stored."""
    return _read_string(core, target, size, address, True)


def probe_read_kernel_str(core: Core, target: int, size: int, address: int) -> int:
    """Copy a string of kernel memory; its length with the NUL that is always stored."""
    return _read_string(core, target, size, address, False)


def probe_read_str(core: Core, target: int, size: int, address: int) -> int:
    """Copy a string of whichever side the address belongs to."""
    return _read_string(core, target, size, address, _is_user(core, address))


def copy_from_user(core: Core, target: int, size: int, address: int) -> int:
    """probe_read_user for sleepable programs."""
    return _read(core, target, size, address, True)


def _is_user(core: Core, address: int) -> bool:
    return address < _KERNEL_START and not core.space.holds(address)


def probe_write_user(core: Core, target: int, source: int, size: int) -> int:
    """Ask to write user memory; -EPERM unless effects are allowed."""
    data = core.space.read(source, size & 0xFFFFFFFF)
    return 0 if core.act(Effect("write_user", len(data), core.task, target, data)) else -EPERM


def strncmp(core: Core, first: int, size: int, second: int) -> int:
    """Compare two strings of the program's memory, at most `size` bytes: negative, 0 or positive."""
    size &= 0xFFFFFFFF
    a = core.space.read(first, size).split(b"\0", 1)[0]
    b = core.space.read_string(second, size).split(b"\0", 1)[0]
    return (a > b) - (a < b)


def d_path(core: Core, path: int, buffer: int, size: int) -> int:
    """The text of a `struct path`, as the event's giver knows it; its length with the NUL."""
    text = core.paths.get(path)
    size &= 0xFFFFFFFF
    if not size:
        return 0
    if text is None:
        return -EINVAL
    if len(text) + 1 > size:
        return -ENAMETOOLONG
    core.space.write(buffer, text + b"\0")
    return len(text) + 1
