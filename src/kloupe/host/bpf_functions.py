"""The functions of BPF programs that are loaded: what other programs can attach to. Source: struct bpf_prog_info, struct bpf_btf_info."""

from __future__ import annotations

import os
import struct

from ..base.errors import PermissionNeeded
from .bpf import BTF_GET_FD_BY_ID, PROG_GET_FD_BY_ID, bpf, make_attr, object_info, program_ids
from .syscall import address_of

_INFO_BYTES = 216
_BTF_ID, _FUNC_INFO_SIZE, _FUNC_INFO, _FUNC_COUNT = 128, 132, 136, 144  # offsets in struct bpf_prog_info
_RECORD = struct.Struct("=II")  # struct bpf_func_info: instruction, type number


def open_program(identity: int) -> int | None:
    """A descriptor of the program with this id; None when there is none. Raises PermissionNeeded."""
    try:
        return bpf(PROG_GET_FD_BY_ID, make_attr("III", identity, 0, 0))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise PermissionNeeded(f"cannot look at loaded BPF programs: {error.strerror}", hint="run as root") from None


def program_functions(identity: int) -> tuple[int, list[int]]:
    """(id of the program's BTF, type numbers of its functions, the entry first); (0, []) for one without BTF or gone."""
    fd = open_program(identity)
    if fd is None:
        return 0, []
    try:
        info = bytearray(_INFO_BYTES)
        object_info(fd, info)
        (btf_id,), (count,) = struct.unpack_from("=I", info, _BTF_ID), struct.unpack_from("=I", info, _FUNC_COUNT)
        if not btf_id or not count:
            return 0, []
        records = bytearray(_RECORD.size * count)
        info = bytearray(_INFO_BYTES)
        struct.pack_into("=I", info, _FUNC_INFO_SIZE, _RECORD.size)
        struct.pack_into("=Q", info, _FUNC_INFO, address_of(records))
        struct.pack_into("=I", info, _FUNC_COUNT, count)
        object_info(fd, info)
    finally:
        os.close(fd)
    return btf_id, [number for _, number in _RECORD.iter_unpack(records)]


def read_btf(identity: int) -> bytes:
    """The BTF with this id; empty when it is gone."""
    try:
        fd = bpf(BTF_GET_FD_BY_ID, make_attr("III", identity, 0, 0))
    except FileNotFoundError:
        return b""
    try:
        head = make_attr("QIIQII", 0, 0, 0, 0, 0, 0)
        object_info(fd, head)
        (size,) = struct.unpack_from("=I", head, 8)
        data = bytearray(size)
        object_info(fd, make_attr("QIIQII", address_of(data), size, 0, 0, 0, 0))
    finally:
        os.close(fd)
    return bytes(data)


__all__ = ["open_program", "program_functions", "program_ids", "read_btf"]
