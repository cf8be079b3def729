"""Which breakpoints stand in which process, kept where another process can read it: it puts the code back when the tracer was killed."""

from __future__ import annotations

import os
import struct
from contextlib import suppress

_ROW = struct.Struct("=IIQ8s8s")  # process, bytes of the trap (0: a free row), address, trap, original


class Ledger:
    """Rows in a file without a name. One made without `fd` keeps nothing."""

    def __init__(self, fd: int = -1) -> None:
        self._fd = fd
        self._free: list[int] = []
        self._rows = 0

    @classmethod
    def shared(cls) -> Ledger:
        """One that a child forked later can fill and its parent can read. Keeps nothing where the system has no such files."""
        try:
            return cls(os.memfd_create("kloupe-breakpoints", os.MFD_CLOEXEC))
        except OSError:
            return cls()

    def note(self, pid: int, address: int, trap: bytes, original: bytes) -> int:
        """A trap is about to be written; gives the row, for `strike`."""
        if self._fd < 0:
            return -1
        if not self._free:
            self._free.append(self._rows)
            self._rows += 1
        row = self._free.pop()
        os.pwrite(self._fd, _ROW.pack(pid, len(trap), address, trap, original), row * _ROW.size)
        return row

    def strike(self, row: int) -> None:
        """The trap of this row is gone."""
        if row >= 0:
            os.pwrite(self._fd, bytes(_ROW.size), row * _ROW.size)
            self._free.append(row)

    def undo(self) -> int:
        """Take out all traps that still stand; gives how many."""
        if self._fd < 0:
            return 0
        rows = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        return sum(_restore(*row) for row in _ROW.iter_unpack(rows[: len(rows) // _ROW.size * _ROW.size]) if row[1])


def _restore(pid: int, size: int, address: int, trap: bytes, original: bytes) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        memory.seek(address)
        if memory.read(size) == trap[:size]:
            memory.seek(address)
            memory.write(original[:size])
            return True
    return False
