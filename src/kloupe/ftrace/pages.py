"""Reading a CPU's pages while it is traced: mapped where the kernel can (6.10), else copied by read(2)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

from ..host.ringmap import MappedRing
from .control.folder import TracingFolder, explain_refusal


class PageReader(Protocol):
    """Gives the pages that a CPU has filled since the last time."""

    def read(self) -> Iterator[tuple[bytes, int]]:
        """(page, where its records that were not given before begin); ends when there are none."""

    def close(self) -> None:
        """Release it."""


class CopiedPages:
    """Pages by read(2): each call takes the oldest page, full or not, out of the kernel's buffer."""

    def __init__(self, fd: int, page_bytes: int) -> None:
        self._fd = fd
        self._page_bytes = page_bytes

    def read(self) -> Iterator[tuple[bytes, int]]:
        """See PageReader."""
        while True:
            try:
                page = os.read(self._fd, self._page_bytes)
            except BlockingIOError:
                return
            if not page:
                return
            yield page, 0

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


def open_pages(folder: TracingFolder, cpu: int, page_bytes: int) -> PageReader:
    """The pages of a CPU. Raises NotSupported, PermissionNeeded, MissingFacts."""
    name = f"per_cpu/cpu{cpu}/trace_pipe_raw"
    try:
        fd = os.open(f"{folder.path}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise explain_refusal(error, folder.relative(name), "read") from None
    try:
        return MappedRing(fd)
    except OSError:
        return CopiedPages(fd, page_bytes)
