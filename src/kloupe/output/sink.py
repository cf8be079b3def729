"""Where output bytes go: a file descriptor with a buffer of our own, so that a busy session writes in large pieces."""

from __future__ import annotations

import errno
import os

from ..base.errors import KloupeError

_FLUSH_BYTES = 1 << 16


class OutputError(KloupeError):
    """The output cannot be written. `reader_gone`: it was a pipe and its reader has closed it."""

    def __init__(self, message: str, *, reader_gone: bool = False) -> None:
        super().__init__(message, exit_status=141 if reader_gone else 1)
        self.reader_gone = reader_gone


class Sink:
    """Bytes to a file descriptor. `buffering`: "line" passes on at each `tick` (the session's pauses), "none" at once, "full" when 64 KiB
    are there. The descriptor stays the caller's. After a failed write everything further is dropped.

    `write`, `tick` and `flush` raise OutputError (once) when the reader is gone or the disk full.
    """

    def __init__(self, fd: int, buffering: str = "line", name: str = "output") -> None:
        self.fd = fd
        self.name = name
        self._buffering = buffering
        self._parts: list[bytes] = []
        self._size = 0
        self._broken = False

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _FLUSH_BYTES or self._buffering == "none":
            self.flush()

    def tick(self) -> None:
        """A pause: pass on what is there, unless everything is to be buffered."""
        if self._size and self._buffering != "full":
            self.flush()

    def flush(self) -> None:
        """Pass on what is there."""
        if not self._size:
            return
        data = memoryview(b"".join(self._parts))
        self._parts.clear()
        self._size = 0
        if self._broken:
            return
        while data:
            data = data[self._write_some(data) :]

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self.fd, data)
        except BlockingIOError:  # somebody made the shared terminal or pipe non-blocking
            import select

            poll = select.poll()
            poll.register(self.fd, select.POLLOUT)
            poll.poll()
            return 0
        except OSError as error:
            self._broken = True
            gone = error.errno == errno.EPIPE
            raise OutputError(f"cannot write {self.name}: {error.strerror}", reader_gone=gone) from error
