"""Owned file descriptors: each has exactly one owner, which closes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator


class OwnedFd:
    """One file descriptor that is closed with its owner. `fileno()` makes it usable wherever a file is."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor, or -1 once closed or taken."""
        return self._fd

    def take(self) -> int:
        """Give the descriptor to the caller, who closes it."""
        fd, self._fd = self._fd, -1
        return fd

    def close(self) -> None:
        """Close it; a second call does nothing."""
        fd = self.take()
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> OwnedFd:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"OwnedFd({self._fd})"


class FdSet:
    """Owns many descriptors and closes them together, newest first."""

    __slots__ = ("_fds",)

    def __init__(self) -> None:
        self._fds: list[int] = []

    def __len__(self) -> int:
        return len(self._fds)

    def __iter__(self) -> Iterator[int]:
        return iter(self._fds)

    def add(self, fd: int) -> int:
        """Own `fd`; gives it back for use."""
        self._fds.append(fd)
        return fd

    def take(self) -> list[int]:
        """Give all descriptors to the caller."""
        fds, self._fds = self._fds, []
        return fds

    def close(self) -> None:
        """Close all."""
        close_all(reversed(self.take()))

    def __enter__(self) -> FdSet:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors; one that fails to close does not stop the others."""
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            continue


def open_files(pid: int | str = "self") -> dict[int, str]:
    """The open descriptors of a process and what they refer to (for leak checks). Source: proc_pid_fd(5)."""
    folder = f"/proc/{pid}/fd"
    found = {}
    for name in os.listdir(folder):
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return found


def reserve_files(count: int) -> None:
    """See to it that `count` more descriptors can be opened, by raising the soft limit if need be and as far as allowed."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + len(os.listdir("/proc/self/fd"))
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
