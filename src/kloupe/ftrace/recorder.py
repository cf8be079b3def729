"""Recording: a thread for each CPU moves full pages from the kernel's buffer into a file, without looking at them."""

from __future__ import annotations

import fcntl
import os
import select
import threading
from contextlib import suppress

from ..base.errors import TargetError, UsageError
from .control.folder import TracingFolder, explain_refusal

_F_SETPIPE_SZ = 1031  # Linux's fcntl.h
_PIPE_BYTES = 1 << 20
_MOVE, _NONBLOCK = 1, 2  # SPLICE_F_MOVE, SPLICE_F_NONBLOCK (linux/splice.h)
_PAUSE_MS = 10


class CpuRecorder(threading.Thread):
    """Moves the pages of one CPU to a file until told to stop; then the rest, page by page. `error` says what went wrong."""

    def __init__(self, folder: TracingFolder, cpu: int, path: str, page_bytes: int) -> None:
        super().__init__(name=f"kloupe-cpu{cpu}", daemon=True)
        self.cpu = cpu
        self.path = path
        self.error: OSError | None = None
        self._page_bytes = page_bytes
        self._stopping = threading.Event()
        name = f"per_cpu/cpu{cpu}/trace_pipe_raw"
        try:
            self._source = os.open(f"{folder.path}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise explain_refusal(error, folder.relative(name), "read") from None
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError as error:
            os.close(self._source)
            raise UsageError(f"cannot write '{path}': {error.strerror}") from None
        self._out, self._in = os.pipe()
        with suppress(OSError):  # the largest pipe may be smaller for this user
            fcntl.fcntl(self._in, _F_SETPIPE_SZ, _PIPE_BYTES)

    def run(self) -> None:
        """The thread."""
        try:
            while not self._stopping.is_set():
                if not self._move():
                    select.select([], [], [], _PAUSE_MS / 1000)
            while self._move():
                pass
            self._copy_rest()
        except OSError as error:
            self.error = error

    def _move(self) -> int:
        """Move what full pages there are; gives how many bytes."""
        try:
            moved = os.splice(self._source, self._in, _PIPE_BYTES, flags=_MOVE | _NONBLOCK)
        except BlockingIOError:
            return 0
        left = moved
        while left:
            left -= os.splice(self._out, self._file, left, flags=_MOVE)
        return moved

    def _copy_rest(self) -> None:
        """Pages that are not full can only be read."""
        while True:
            try:
                page = os.read(self._source, self._page_bytes)
            except BlockingIOError:
                return
            if not page:
                return
            os.write(self._file, page)

    def finish(self) -> None:
        """Stop, and wait until everything is in the file. Raises TargetError."""
        self._stopping.set()
        if self.ident is not None:
            self.join()
        for fd in (self._source, self._file, self._out, self._in):
            os.close(fd)
        if self.error is not None:
            raise TargetError(f"recording CPU {self.cpu} to {self.path} failed: {self.error.strerror}")


class Recorder:
    """Records all CPUs of a tracing folder to `PREFIX.cpuN`. Call `finish` after tracing is off."""

    def __init__(self, folder: TracingFolder, prefix: str, page_bytes: int) -> None:
        self.files: dict[int, str] = {}
        self._threads: list[CpuRecorder] = []
        try:
            for cpu in folder.cpus():
                path = f"{prefix}.cpu{cpu}"
                self._threads.append(CpuRecorder(folder, cpu, path, page_bytes))
                self.files[cpu] = path
        except BaseException:
            self.finish()
            raise

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """End, with everything in the files. Raises TargetError; a second call does nothing."""
        threads, self._threads = self._threads, []
        errors = []
        for thread in threads:
            try:
                thread.finish()
            except TargetError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def remove(self) -> None:
        """Delete the files."""
        for path in self.files.values():
            with suppress(OSError):
                os.unlink(path)
