"""zstd through the system's libzstd, for Pythons without a module for it (3.14 has one).

Source: zstd.h, the part for whole frames: ZSTD_compress, ZSTD_decompress, ZSTD_compressBound, ZSTD_isError, ZSTD_getErrorName.
"""

from __future__ import annotations

import ctypes
from functools import cache

_LEVEL = 3


class ZstdError(Exception):
    """libzstd refused; the text is its own."""


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libzstd.so.1")
    for name in ("ZSTD_compress", "ZSTD_decompress", "ZSTD_compressBound"):
        getattr(library, name).restype = ctypes.c_size_t
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    return library


def is_there() -> bool:
    """Whether this system has the library."""
    try:
        _library()
    except OSError:
        return False
    return True


def _checked(result: int) -> int:
    if _library().ZSTD_isError(ctypes.c_size_t(result)):
        raise ZstdError(_library().ZSTD_getErrorName(ctypes.c_size_t(result)).decode())
    return result


def decompress(data: bytes, size: int) -> bytes:
    """A frame whose content has at most `size` bytes. Raises ZstdError."""
    out = ctypes.create_string_buffer(max(size, 1))
    done = _library().ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    return out.raw[: _checked(done)]


def compress(data: bytes) -> bytes:
    """One frame. Raises ZstdError."""
    room = _library().ZSTD_compressBound(ctypes.c_size_t(len(data)))
    out = ctypes.create_string_buffer(room)
    done = _library().ZSTD_compress(out, ctypes.c_size_t(room), data, ctypes.c_size_t(len(data)), _LEVEL)
    return out.raw[: _checked(done)]
