"""The compressions of trace.dat version 7: zlib, and zstd with what there is for it: Python's module (3.14), libzstd, `zstandard`."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module

from ...base.errors import FormatError, NotSupported
from ...host import zstd as libzstd

_Unpack = Callable[[bytes, int], bytes]
_Pack = Callable[[bytes], bytes]


def _unpack_zlib(data: bytes, size: int) -> bytes:
    return zlib.decompressobj().decompress(data, size + 1)


@cache
def _zstd() -> tuple[_Unpack, _Pack, type[Exception]]:
    """(unpack, pack, error). Raises NotSupported."""
    try:
        module = import_module("compression.zstd")
        return (lambda data, size: bytes(module.decompress(data))), module.compress, module.ZstdError
    except ImportError:
        pass
    if libzstd.is_there():
        return libzstd.decompress, libzstd.compress, libzstd.ZstdError
    try:
        module = import_module("zstandard")
    except ImportError:
        raise NotSupported(
            "zstd is not there", hint="install libzstd or kloupe[zstd], or use --compression zlib"
        ) from None
    return (
        lambda data, size: bytes(module.ZstdDecompressor().decompress(data, max_output_size=size)),
        lambda data: bytes(module.ZstdCompressor().compress(data)),
        module.ZstdError,
    )


def has_zstd() -> bool:
    """Whether files with zstd can be read and written here."""
    try:
        _zstd()
    except NotSupported:
        return False
    return True


COMPRESSIONS = ("none", "zlib", "zstd")


def decompressor(name: str) -> Callable[[bytes, int, str], bytes]:
    """(data, size, path) -> content; that raises FormatError. Raises NotSupported for a compression that is not known here."""
    unpack: _Unpack
    error: type[Exception]
    if name == "zlib":
        unpack, error = _unpack_zlib, zlib.error
    elif name == "zstd":
        unpack, _, error = _zstd()
    else:
        raise NotSupported(f"compression {name!r} of a trace.dat", hint="zlib and zstd can be read")

    def checked(data: bytes, size: int, path: str) -> bytes:
        try:
            return unpack(data, size)
        except error as problem:
            raise FormatError(path, 0, f"a compressed chunk is damaged: {problem}") from None

    return checked


def compressor(name: str) -> tuple[_Pack, str]:
    """(data -> compressed, version for the file's head). Raises NotSupported where zstd is missing."""
    if name == "zstd":
        return _zstd()[1], "1.5.0"
    return (partial(zlib.compress, level=6), zlib.ZLIB_RUNTIME_VERSION) if name == "zlib" else (bytes, "")
