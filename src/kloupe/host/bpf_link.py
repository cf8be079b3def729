"""Links: attaching programs with bpf(2). Source of all layouts: `link_create` in `union bpf_attr` of the uapi header linux/bpf.h.

Functions give descriptors that the caller owns (closing one detaches), and raise OSError. Versions say since when the kernel knows it.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Sequence

from ..bpf.program_types import ATTACH_TYPES, PROGRAM_TYPES
from .bpf import (
    ITER_CREATE,
    LINK_CREATE,
    RAW_TRACEPOINT_OPEN,
    ProgramLoad,
    bpf,
    load_program,
    make_attr,
    make_text,
)
from .syscall import address_of


def link_perf_event(program_fd: int, perf_fd: int, attach_type: int, cookie: int) -> int:
    """Attach to a perf event (5.15); the link keeps the event open. `attach_type` is BPF_PERF_EVENT."""
    return bpf(LINK_CREATE, make_attr("IIIIQ", program_fd, perf_fd, attach_type, 0, cookie))


def link_tracing(program_fd: int, attach_type: int, cookie: int = 0) -> int:
    """Attach a tracing program with a cookie (6.0) where its load said; target ids 0 mean that target."""
    return bpf(LINK_CREATE, make_attr("IIIIIIQ", program_fd, 0, attach_type, 0, 0, 0, cookie))


def link_iterator(program_fd: int, attach_type: int) -> int:
    """Link an iterator program; open it with `create_iterator` or pin it."""
    return bpf(LINK_CREATE, make_attr("IIIIQI", program_fd, 0, attach_type, 0, 0, 0))


def create_iterator(link_fd: int) -> int:
    """A descriptor whose reading runs the iterator program."""
    return bpf(ITER_CREATE, make_attr("II", link_fd, 0))


def _u64s(values: Sequence[int]) -> bytearray:
    return bytearray(struct.pack(f"={len(values)}Q", *values))


def link_kprobe_multi(
    program_fd: int,
    attach_type: int,
    functions: Sequence[str] | Sequence[int],
    cookies: Sequence[int],
    on_return: bool = False,
) -> int:
    """Attach to many kernel functions, by name or by address (not mixed)."""
    names = [make_text(name) for name in functions if isinstance(name, str)]
    targets = _u64s([address_of(name) for name in names] or [int(value) for value in functions])
    cookie_array = _u64s(cookies)
    attr = make_attr(
        "IIIIIIQQQ",
        program_fd,
        0,
        attach_type,
        0,
        1 if on_return else 0,  # BPF_F_KPROBE_MULTI_RETURN
        len(functions),
        address_of(targets) if names else 0,
        0 if names else address_of(targets),
        address_of(cookie_array),
    )
    return bpf(LINK_CREATE, attr)


def link_uprobe_multi(
    program_fd: int,
    attach_type: int,
    path: str,
    offsets: Sequence[int],
    cookies: Sequence[int],
    counters: Sequence[int] = (),
    on_return: bool = False,
    pid: int = 0,
) -> int:
    """Attach to many file offsets of one file (6.6). `counters`: file offsets of semaphores, 0 for none. `pid` 0: all."""
    path_text, where, cookie_array, counter_array = make_text(path), _u64s(offsets), _u64s(cookies), _u64s(counters)
    attr = make_attr(
        "IIIIQQQQIIII",
        program_fd,
        0,
        attach_type,
        0,
        address_of(path_text),
        address_of(where),
        address_of(counter_array) if any(counters) else 0,
        address_of(cookie_array),
        len(offsets),
        1 if on_return else 0,  # BPF_F_UPROBE_MULTI_RETURN
        pid,
        0,
    )
    return bpf(LINK_CREATE, attr)


def open_raw_tracepoint(program_fd: int, name: str = "", cookie: int = 0) -> int:
    """Attach to raw tracepoint `name`; "" for a tracing program, whose load named the target. Cookies need 6.10."""
    text = make_text(name)
    return bpf(RAW_TRACEPOINT_OPEN, make_attr("QIIQ", address_of(text) if name else 0, program_fd, 0, cookie))


# -- trying -------------------------------------------------------------------------------------------------------

_RETURN_ZERO = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit


def _answers(attach_type: str, link: Callable[[int, int], int], expected: int) -> bool | None:
    """Whether making an impossible link is refused for the reason that only a kernel with such links gives."""
    number = ATTACH_TYPES[attach_type]
    try:
        program = load_program(ProgramLoad(PROGRAM_TYPES["kprobe"], _RETURN_ZERO, "probe", number))
    except OSError as error:
        return None if error.errno in (errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM) else False
    try:
        os.close(link(program, number))
    except OSError as error:
        return None if error.errno == errno.EPERM else error.errno == expected
    finally:
        os.close(program)
    return True


def has_kprobe_multi(attach_type: str = "kprobe_multi") -> bool | None:
    """Whether kprobe_multi links (5.18, and CONFIG_FPROBE) or kprobe_session links (6.10) work; None when we may not ask."""
    return _answers(
        attach_type, lambda fd, number: link_kprobe_multi(fd, number, ["no such function"], [0]), errno.ESRCH
    )


def has_uprobe_multi(attach_type: str = "uprobe_multi") -> bool | None:
    """Whether uprobe_multi links (6.6) or uprobe_session links (6.13) work; None when we may not ask."""
    return _answers(attach_type, lambda fd, number: link_uprobe_multi(fd, number, "/", [1], [0]), errno.EBADF)
