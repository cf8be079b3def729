"""A CPU's trace buffer mapped into memory, so that pages are read without being taken through the kernel.

Source: Documentation/trace/ring-buffer-map.rst and include/uapi/linux/trace_mmap.h: a meta page, then the sub-buffers; the ioctl
TRACE_MMAP_IOCTL_GET_READER hands the next page over to the reader and updates the meta page.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from mmap import MAP_SHARED, PROT_READ

_GET_READER = 0x5220  # _IO('R', 0x20)
_META = struct.Struct("=IIIIQII")  # meta_page_size, meta_struct_len, subbuf_size, nr_subbufs, lost_events, id, read
_COMMIT = struct.Struct("=Q").unpack_from
_COMMIT_MASK = (1 << 20) - 1
_MISSED = 1 << 31  # RB_MISSED_EVENTS
_HEAD_BYTES = 16


# Python's own mmap refuses files whose size is zero, as tracefs says.
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_FAILED = ctypes.c_void_p(-1).value


class _Mapping:
    """`size` bytes of a file, to read from."""

    def __init__(self, fd: int, size: int) -> None:
        self._address = _libc.mmap(None, size, PROT_READ, MAP_SHARED, fd, 0)
        self._size = size
        if self._address == _FAILED:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))

    def get(self, at: int, size: int) -> bytes:
        """Some bytes."""
        if not 0 <= at <= at + size <= self._size:
            raise OSError("the meta page names what is not mapped")
        return ctypes.string_at(self._address + at, size)

    def close(self) -> None:
        """Unmap."""
        _libc.munmap(self._address, self._size)


class MappedRing:
    """The pages of one CPU. Owns the descriptor when it is made; raises OSError, and leaves it to the caller, where mapping is not possible."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        page = os.sysconf("SC_PAGE_SIZE")
        head = _Mapping(fd, page)
        self._meta_bytes, _, self._page_bytes, self._count, *_ = _META.unpack(head.get(0, _META.size))
        head.close()
        if (
            not page <= self._meta_bytes <= 1 << 20
            or not page <= self._page_bytes <= 1 << 24
            or not 0 < self._count < 1 << 24
        ):
            raise OSError("the meta page is not one")
        self._map = _Mapping(fd, self._meta_bytes + self._page_bytes * self._count)
        self._id = -1
        self._done = 0  # bytes of the reader page that were given

    def read(self) -> Iterator[tuple[bytes, int]]:
        """(page, where its records that were not given before begin). A page that is still being filled is given again when it has more."""
        while True:
            fcntl.ioctl(self._fd, _GET_READER)
            _, _, _, _, lost, number, _ = _META.unpack(self._map.get(0, _META.size))
            at = self._meta_bytes + number * self._page_bytes
            commit = _COMMIT(self._map.get(at + 8, 8))[0] & _COMMIT_MASK
            fresh = number != self._id
            if fresh:
                self._id, self._done = number, 0
            if commit <= self._done:
                return
            flags = commit | (_MISSED if fresh and lost else 0)
            page = self._map.get(at, 8) + struct.pack("=Q", flags) + self._map.get(at + 16, self._page_bytes - 16)
            given, self._done = self._done, commit
            yield page, _HEAD_BYTES + given

    def close(self) -> None:
        """Unmap and close; a second call does nothing."""
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)
            self._fd = -1
