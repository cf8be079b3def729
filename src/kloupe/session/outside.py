"""What handlers ask the world for while they print: the time, the output of commands, files."""

from __future__ import annotations

import time
from typing import Protocol


class Outside(Protocol):
    """The world as the session finds it; a replay has a recorded one."""

    def now_s(self) -> int:
        """Seconds since 1970."""

    def run(self, command: bytes) -> tuple[bytes, int]:
        """What a shell command prints, and its status: as of `$?`, or minus a signal's number."""

    def read(self, path: bytes, limit: int) -> bytes:
        """The first `limit` bytes of a file. Raises OSError, ValueError."""


class LiveOutside:
    """This machine, now."""

    def now_s(self) -> int:
        """See `Outside`."""
        return int(time.time())

    def run(self, command: bytes) -> tuple[bytes, int]:
        """See `Outside`."""
        import subprocess

        done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.stdout, done.returncode

    def read(self, path: bytes, limit: int) -> bytes:
        """See `Outside`."""
        with open(path, "rb") as file:
            return file.read(limit)
