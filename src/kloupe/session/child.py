"""The process that `-c` starts: forked at once (so that its pid is known), held at a gate, executed after the attach."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from ..base.errors import UsageError
from ..host.signals import IGNORED_AT_START

_TERM_GRACE_S = 1.0
_GO = b"g"  # what opens the gate
_LENGTH_BYTES = 4  # otherwise: the length of a seccomp filter, and the filter
_PIECE = 65536
_SERVE_MS = 5
# What Python and we handle or ignore: an exec would pass ignored ones on.
_CHANGED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)


class ChildTracer(Protocol):
    """An engine that follows the child with ptrace: the child runs only while it is served, and its tracer reaps it."""

    def serve(self, timeout_ms: int) -> None:
        """Handle what the child does for a while; sets `status` when it has ended."""


def split_command(command: str) -> list[str]:
    """The words of a command line, quotes as in a shell; nothing is expanded. Raises UsageError."""
    import shlex

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"cannot split the command {command!r}: {error}") from error
    if not words:
        raise UsageError("the command is empty")
    return words


def find_program(name: str) -> str:
    """The path of a program, searched on PATH when it has no slash. Raises UsageError."""
    folders = [""] if "/" in name else os.environ.get("PATH", os.defpath).split(":")
    reason = errno.ENOENT
    for folder in folders:
        path = os.path.join(folder, name) if folder else name
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
        if os.path.exists(path):
            reason = errno.EISDIR if os.path.isdir(path) else errno.EACCES
    why = os.strerror(reason)
    raise UsageError(f"Failed to fork child: Path '{name}' does not exist or is not executable ({why})")


class ProcessWatch:
    """Tells whether a process is still there. Owns a pidfd where the kernel has them (5.3)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError as error:
            raise UsageError(f"no process {pid}") from error
        except OSError:
            self._fd = -1

    def fileno(self) -> int:
        """A descriptor that is readable once the process has ended, or -1."""
        return self._fd

    def ended(self) -> bool:
        """Whether the process has ended."""
        if self._fd < 0:
            return not os.path.exists(f"/proc/{self.pid}")
        import select

        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _filter_word(code: bytes) -> bytes:
    return len(code).to_bytes(_LENGTH_BYTES, "big") + code


def _obey_filter(word: bytes, gate: int) -> None:
    """Go on under the filter that begins with `word`."""
    from ..host.ptrace import install_filter

    size = _LENGTH_BYTES + int.from_bytes(word[:_LENGTH_BYTES], "big")
    while len(word) < size and (piece := os.read(gate, _PIECE)):
        word += piece
    install_filter(word[_LENGTH_BYTES:])


class ChildProcess:
    """A child that waits at its gate until `release`. When we die before, it ends without running anything.

    It outlives us when `spared` says so at the end. Raises UsageError when there is no such program.
    """

    def __init__(self, arguments: Sequence[str], spared: Callable[[], bool] = lambda: False) -> None:
        self.arguments = list(arguments)
        self._spared = spared
        path = find_program(self.arguments[0])
        gate_read, self._gate = os.pipe()
        self._trouble, trouble_write = os.pipe()  # closed by a successful exec, else it brings the errno
        self.pid = os.fork()
        if self.pid == 0:
            self._run_child(path, gate_read, trouble_write)
        os.close(gate_read)
        os.close(trouble_write)
        self.status: int | None = None
        self.filter = b""  # a seccomp filter to put the child under (see host.ptrace)
        self.tracer: ChildTracer | None = None
        self._watch = ProcessWatch(self.pid)

    def _run_child(self, path: str, gate_read: int, trouble_write: int) -> None:
        """In the child: wait, exec; never returns."""
        try:
            os.close(self._gate)
            for number in {*_CHANGED_SIGNALS, *IGNORED_AT_START}:
                signal.signal(number, signal.SIG_IGN if number in IGNORED_AT_START else signal.SIG_DFL)
            word = os.read(gate_read, _PIECE)  # one read only: programs may already see us
            if not word:
                os._exit(0)
            if word[:1] != _GO:
                _obey_filter(word, gate_read)
            os.execv(path, self.arguments)
        except OSError as error:
            os.write(trouble_write, str(error.errno).encode())
        finally:
            os._exit(127)

    def release(self) -> None:
        """Let it run. Raises UsageError when the program cannot be executed."""
        if self._gate < 0:
            return
        with suppress(BrokenPipeError):  # it was killed at the gate: `ended` tells
            os.write(self._gate, _filter_word(self.filter) if self.filter else _GO)
        os.close(self._gate)
        self._gate = -1
        if self.tracer is not None:
            self._serve_until_exec(self.tracer)
        trouble = os.read(self._trouble, 16)
        os.close(self._trouble)
        self._trouble = -1
        if trouble:
            self.close()
            raise UsageError(f"cannot run {self.arguments[0]!r}: {os.strerror(int(trouble))}")

    def _serve_until_exec(self, tracer: ChildTracer) -> None:
        import select

        poll = select.poll()
        poll.register(self._trouble)
        while not poll.poll(0):
            tracer.serve(_SERVE_MS)

    def fileno(self) -> int:
        """A descriptor that is readable once the child has ended, or -1."""
        return self._watch.fileno()

    def ended(self) -> bool:
        """Whether the child has ended; `status` then has its exit status (negative: the signal)."""
        if self.tracer is not None:
            if self.status is None:
                self.tracer.serve(0)
            return self.status is not None
        if self.status is None:
            try:
                pid, raw = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                pid, raw = self.pid, 0
            if pid:
                self.status = os.waitstatus_to_exitcode(raw)
        return self.status is not None

    def close(self) -> None:
        """End the child if it still runs and is not spared: SIGTERM, and SIGKILL after a second. A second call does nothing."""
        import time

        for fd in (self._gate, self._trouble):
            if fd >= 0:
                os.close(fd)
        self._gate = self._trouble = -1
        if not self.ended() and not self._spared():
            os.kill(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + _TERM_GRACE_S
            while not self.ended() and time.monotonic() < deadline:
                time.sleep(0.005)
            if not self.ended():
                os.kill(self.pid, signal.SIGKILL)
                while not self.ended():
                    time.sleep(0.005)
        self._watch.close()
