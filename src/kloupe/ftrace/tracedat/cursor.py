"""Values from bytes, and bytes from a file, both with the place of what is wrong."""

from __future__ import annotations

import os

from ...base.errors import FormatError, UsageError


class Cursor:
    """Reads values from bytes that lie at `base` of a file. Raises FormatError at the end."""

    def __init__(self, data: bytes, path: str, order: str, base: int = 0) -> None:
        self.data, self.path, self.order, self.base = data, path, order, base
        self.at = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if not 0 <= size <= len(self.data) - self.at:
            raise FormatError(self.path, self.base + self.at, f"the file ends before {size} more bytes")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        """The next integer."""
        return int.from_bytes(self.take(size), "little" if self.order == "<" else "big")

    def text(self) -> str:
        """The next string that ends with NUL."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise FormatError(self.path, self.base + self.at, "a string does not end")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8", "replace")


class FileCursor(Cursor):
    """The same over an open file, of which only what is asked for is read."""

    _STRING_BYTES = 4096

    def __init__(self, fd: int, size: int, path: str, order: str, at: int = 0) -> None:
        super().__init__(b"", path, order)
        self.fd, self.size, self.at = fd, size, at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if not 0 <= size <= self.size - self.at:
            raise FormatError(self.path, min(self.at, self.size), f"the file ends before {size} more bytes")
        data = os.pread(self.fd, size, self.at)
        if len(data) != size:
            raise FormatError(self.path, self.at, "the file became shorter while it was read")
        self.at += size
        return data

    def text(self) -> str:
        """The next string that ends with NUL."""
        data = os.pread(self.fd, self._STRING_BYTES, self.at) if self.at < self.size else b""
        end = data.find(b"\0")
        if end < 0:
            raise FormatError(self.path, self.at, "a string does not end")
        self.at += end + 1
        return data[:end].decode("utf-8", "replace")


def open_file(path: str) -> tuple[int, int]:
    """(descriptor, size). Raises UsageError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        size = os.fstat(fd).st_size
        if os.path.isdir(path):
            os.close(fd)
            raise UsageError(f"cannot read '{path}': it is a folder")
    except OSError as error:
        raise UsageError(f"cannot read '{path}': {error.strerror}") from None
    return fd, size
