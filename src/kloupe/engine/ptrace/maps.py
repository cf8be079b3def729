"""Mappings of processes, from /proc/PID/maps (proc_pid_maps(5))."""

from __future__ import annotations

from typing import NamedTuple


class Mapping(NamedTuple):
    """Addresses `start` to `end` hold file `path` from `offset` on; `file` is (device, inode)."""

    start: int
    end: int
    flags: str
    offset: int
    file: tuple[int, int]
    path: str


def read_maps(pid: int) -> list[Mapping]:
    """All mappings, by address; [] when the process is gone."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        parts = line.split(None, 5)
        start, _, end = parts[0].partition("-")
        major, _, minor = parts[3].partition(":")
        device = _device(int(major, 16), int(minor, 16))
        path = parts[5].removesuffix(" (deleted)") if len(parts) > 5 else ""
        found.append(Mapping(int(start, 16), int(end, 16), parts[1], int(parts[2], 16), (device, int(parts[4])), path))
    return found


def _device(major: int, minor: int) -> int:
    from os import makedev

    return makedev(major, minor)
