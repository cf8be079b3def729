"""The bpf(2) system call, one function a command. Source of all layouts: `union bpf_attr` in the uapi header linux/bpf.h.

Functions give descriptors that the caller owns, and raise OSError. Kernels accept an attr longer than they know as long as the rest is zero.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

from .syscall import NUMBERS, address_of, syscall

NUMBER = NUMBERS["bpf"]

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, MAP_NEXT_KEY, PROG_LOAD = range(6)
OBJ_PIN, OBJ_GET = 6, 7
PROG_TEST_RUN = 10
PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID = 11, 13
BTF_GET_FD_BY_ID = 19
OBJ_GET_INFO_BY_FD = 15
RAW_TRACEPOINT_OPEN = 17
BTF_LOAD = 18
MAP_FREEZE = 22
BTF_GET_NEXT_ID = 23
MAP_LOOKUP_BATCH = 24
MAP_UPDATE_BATCH = 26
LINK_CREATE = 28
ENABLE_STATS = 32
ITER_CREATE = 33

ENOTSUPP = 524  # kernel-internal number that leaks out of bpf(2); include/linux/errno.h
_MAX_LOG_BYTES = (1 << 24) - 1  # UINT_MAX >> 8, the limit of older kernels (kernel/bpf/verifier.c)
_RETRIES = 5  # PROG_LOAD gives EAGAIN when a signal interrupts verification
_LICENSE = bytearray(b"GPL\0")


def bpf(command: int, attr: bytearray) -> int:
    """One raw bpf(2) call; the kernel may write into `attr`."""
    return syscall(NUMBER, command, address_of(attr), len(attr))


def make_attr(layout: str, *values: int | bytes) -> bytearray:
    """A bpf_attr packed by a struct layout without padding of its own."""
    return bytearray(struct.pack("=" + layout, *values))


def make_text(text: str) -> bytearray:
    """A zero-terminated text."""
    return bytearray(os.fsencode(text) + b"\0")


def object_name(name: str) -> bytes:
    """A name as the kernel takes it: letters, digits, `_` and `.`, at most 15 bytes (`@` becomes `AT_`)."""
    text = name.replace("@", "AT_")
    return "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in text)[:15].encode()


# -- programs -----------------------------------------------------------------------------------------------------


class LoadRefused(OSError):
    """The kernel refused a program; `log` is the verifier's log, "" when it wrote none."""

    def __init__(self, error: int, log: str) -> None:
        super().__init__(error, os.strerror(error))
        self.log = log


class ProgramLoad(NamedTuple):
    """What BPF_PROG_LOAD takes. `code` is instructions in host order; `func_info`, `line_info` are arrays of the
    kernel's records (8 and 16 bytes) and only used with `btf_fd`; `attach_btf_id` 0: none; `attach_btf_obj_fd` 0: vmlinux.
    """

    kind: int
    code: bytes
    name: str = ""
    attach_type: int = 0
    flags: int = 0
    attach_btf_id: int = 0
    attach_btf_obj_fd: int = 0
    btf_fd: int = -1
    func_info: bytes = b""
    line_info: bytes = b""
    fd_array: Sequence[int] = ()


_FUNC_INFO_BYTES, _LINE_INFO_BYTES = 8, 16


def _try_load(load: ProgramLoad, log: bytearray | None) -> int:
    code, function_info, line_info = bytearray(load.code), bytearray(load.func_info), bytearray(load.line_info)
    fds = bytearray(struct.pack(f"={len(load.fd_array)}i", *load.fd_array))
    with_btf = load.btf_fd >= 0
    attr = make_attr(
        "IIQQIIQII16sIIIIQIIQIIIIQ",
        load.kind,
        len(code) // 8,
        address_of(code),
        address_of(_LICENSE),
        0 if log is None else 1,
        0 if log is None else len(log),
        0 if log is None else address_of(log),
        0,
        load.flags,
        object_name(load.name),
        0,
        load.attach_type,
        load.btf_fd if with_btf else 0,
        _FUNC_INFO_BYTES if with_btf else 0,
        address_of(function_info) if with_btf else 0,
        len(function_info) // _FUNC_INFO_BYTES if with_btf else 0,
        _LINE_INFO_BYTES if with_btf else 0,
        address_of(line_info) if with_btf else 0,
        len(line_info) // _LINE_INFO_BYTES if with_btf else 0,
        load.attach_btf_id,
        load.attach_btf_obj_fd,
        0,
        address_of(fds),
    )
    for attempt in range(_RETRIES):
        try:
            return bpf(PROG_LOAD, attr)
        except BlockingIOError:
            if attempt == _RETRIES - 1:
                raise
    raise AssertionError("unreachable")


def _logmake_text(log: bytearray) -> str:
    return log.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def load_program(load: ProgramLoad, log_bytes: int = 1 << 20) -> int:
    """Load a program: first without a log (fast), and when refused again with one. Raises LoadRefused.

    The log grows to 16 MiB; beyond that it is cut (newer kernels keep its end, which is what matters).
    """
    try:
        return _try_load(load, None)
    except OSError as error:
        first = error
    if first.errno in (errno.EPERM, errno.EMFILE, errno.ENFILE):
        raise LoadRefused(first.errno, "") from None
    while True:
        log = bytearray(min(log_bytes, _MAX_LOG_BYTES))
        try:
            return _try_load(load, log)
        except OSError as error:
            if error.errno == errno.ENOSPC and log_bytes < _MAX_LOG_BYTES:
                log_bytes *= 4
                continue
            raise LoadRefused(first.errno or errno.EINVAL, _logmake_text(log)) from None


def log_of_load(load: ProgramLoad) -> str:
    """What the verifier writes about a program that it takes; the program does not stay. Raises OSError."""
    size = 1 << 20
    while True:
        log = bytearray(min(size, _MAX_LOG_BYTES))
        try:
            os.close(_try_load(load, log))
            return _logmake_text(log)
        except OSError as error:
            if error.errno != errno.ENOSPC or size >= _MAX_LOG_BYTES:
                raise
            size *= 4


def load_btf(btf: bytes) -> int:
    """Load type information (a whole BTF blob)."""
    blob = bytearray(btf)
    return bpf(BTF_LOAD, make_attr("QQIII", address_of(blob), 0, len(blob), 0, 0))


class TestRun:
    """Runs one program with a given context, again and again with little cost. BPF_PROG_TEST_RUN of raw tracepoint programs."""

    __test__ = False  # not a pytest class
    __slots__ = ("_address", "_attr", "_context")

    def __init__(self, program_fd: int, context_bytes: int) -> None:
        self._context = bytearray(context_bytes)
        # prog_fd retval data_size_in/out data_in data_out repeat duration ctx_size_in/out ctx_in ctx_out flags cpu batch_size
        self._attr = make_attr(
            "IIIIQQIIIIQQIII", program_fd, 0, 0, 0, 0, 0, 0, 0, context_bytes, 0, address_of(self._context), 0, 0, 0, 0
        )
        self._address = address_of(self._attr)

    def run(self) -> int:
        """Run once on the current CPU; gives the program's result as u32."""
        syscall(NUMBER, PROG_TEST_RUN, self._address, len(self._attr))
        return int.from_bytes(self._attr[4:8], sys.byteorder)


# -- objects ------------------------------------------------------------------------------------------------------


def pin_object(fd: int, path: str) -> None:
    """Pin a map, program or link at `path` below a bpf file system."""
    text = make_text(path)
    bpf(OBJ_PIN, make_attr("QII", address_of(text), fd, 0))


def get_object(path: str) -> int:
    """Open a pinned object."""
    text = make_text(path)
    return bpf(OBJ_GET, make_attr("QII", address_of(text), 0, 0))


def object_info(fd: int, info: bytearray) -> int:
    """Fill `info` with the kernel's description of an object; gives how many bytes the kernel knows."""
    attr = make_attr("IIQ", fd, len(info), address_of(info))
    bpf(OBJ_GET_INFO_BY_FD, attr)
    return int(struct.unpack_from("=I", attr, 4)[0])


class ProgramInfo(NamedTuple):
    """From `struct bpf_prog_info`: id, run count and nanoseconds (only counted while statistics are on), missed recursions."""

    id: int
    run_count: int
    run_time_ns: int
    recursion_misses: int


_PROGRAM_INFO_BYTES = 216


def program_info(fd: int) -> ProgramInfo:
    """Facts of a loaded program."""
    info = bytearray(_PROGRAM_INFO_BYTES)
    object_info(fd, info)
    (identity,) = struct.unpack_from("=I", info, 4)
    time_ns, count, misses = struct.unpack_from("=QQQ", info, 192)
    return ProgramInfo(identity, count, time_ns, misses)


def enable_stats() -> int:
    """Count run times of all programs while the given descriptor stays open (5.8)."""
    return bpf(ENABLE_STATS, make_attr("I", 0))


def program_ids() -> list[int]:
    """The ids of all programs that are loaded."""
    found: list[int] = []
    current = 0
    while True:
        attr = make_attr("III", current, 0, 0)
        try:
            bpf(PROG_GET_NEXT_ID, attr)
        except FileNotFoundError:
            return found
        current = struct.unpack_from("=I", attr, 4)[0]
        found.append(current)


def program_times(identity: int) -> tuple[int, int] | None:
    """(runs, nanoseconds) of the program with this id; None when it is gone."""
    try:
        fd = bpf(PROG_GET_FD_BY_ID, make_attr("III", identity, 0, 0))
    except FileNotFoundError:
        return None
    try:
        info = program_info(fd)
    finally:
        os.close(fd)
    return info.run_count, info.run_time_ns


def find_module_btf(module: str) -> int | None:
    """A descriptor of a kernel module's BTF, or None. The ids of its types follow those of vmlinux."""
    wanted, current = module.encode(), 0
    while True:
        attr = make_attr("III", current, 0, 0)
        try:
            bpf(BTF_GET_NEXT_ID, attr)
        except FileNotFoundError:
            return None
        current = struct.unpack_from("=I", attr, 4)[0]
        try:
            fd = bpf(BTF_GET_FD_BY_ID, make_attr("III", current, 0, 0))
        except FileNotFoundError:  # gone since
            continue
        if _btf_name(fd) == wanted:
            return fd
        os.close(fd)


def _btf_name(fd: int) -> bytes:
    """The name in `struct bpf_btf_info` {btf u64, btf_size u32, id u32, name u64, name_len u32, kernel_btf u32}."""
    name = bytearray(64)
    info = make_attr("QIIQII", 0, 0, 0, address_of(name), len(name), 0)
    object_info(fd, info)
    return bytes(name.partition(b"\0")[0])


# -- trying -------------------------------------------------------------------------------------------------------


def refusal(kind: int, code: bytes) -> str | None:
    """The verifier's log of a program that it refuses, "" when it takes it; None when we may not ask."""
    try:
        os.close(load_program(ProgramLoad(kind, code, "probe")))
    except LoadRefused as refused:
        return refused.log or None
    return ""


def can_load(kind: int, code: bytes, attach_type: int = 0, attach_btf_id: int = 0, flags: int = 0) -> bool | None:
    """Whether the kernel takes this program; None when we may not ask."""
    load = ProgramLoad(kind, code, "probe", attach_type, flags, attach_btf_id)
    try:
        fd = _try_load(load, None)
    except OSError as error:
        return None if error.errno in (errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN) else False
    os.close(fd)
    return True
