"""The live `Names`: symbols, stacks, users, times and cgroups of the machine that is traced."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ..base.ctype import Stack
from ..engine.protocol import Engine
from ..output.names import PlainNames

_UNWIND_FAILURE = (1 << 64) - 1
_MOST_STACKS = 1 << 16  # texts kept
_CLOCK_BOOT, _CLOCK_TAI, _CLOCK_MONOTONIC = 0, 1, 2
_BUILD_ID = struct.Struct("<i20sQ")  # struct bpf_stack_build_id of linux/bpf.h; status 1: the build id is valid


class Symbolizer(Protocol):
    """Addresses to symbols. An answer of None means not known."""

    def kernel(self, address: int) -> tuple[str, int] | None:
        """(name, offset into it) of a kernel address."""

    def user(self, pid: int, address: int, binary: str) -> tuple[str, int, str] | None:
        """(name, offset, path of the file) of an address in a process; `binary` is its program if the process is gone."""

    def remember(self, pid: int, *, files: bool = True) -> None:
        """Note what is mapped where in a process now, so that it can be asked about after its end; with `files` also read the files."""


class NoSymbols:
    """A Symbolizer that knows nothing."""

    def kernel(self, address: int) -> tuple[str, int] | None:
        """See `Symbolizer`."""
        return None

    def user(self, pid: int, address: int, binary: str) -> tuple[str, int, str] | None:
        """See `Symbolizer`."""
        return None

    def remember(self, pid: int, *, files: bool = True) -> None:
        """See `Symbolizer`."""


class LiveNames(PlainNames):
    """See `output.names.Names`. Answers are kept: an address, a user or a cgroup is looked up once.

    `places`: function of the kernel -> `file:line` of its definition or "", shown in kernel stacks where it is known.
    """

    places: Mapping[str, str] | None = None

    def __init__(
        self,
        strings: tuple[str, ...],
        engine: Engine,
        symbolizer: Symbolizer,
        syscall_numbers: Mapping[str, int] | None = None,
        little_endian: bool = True,
    ) -> None:
        super().__init__(strings)
        self.symbolizer = symbolizer
        self._engine = engine
        self._order = "<" if little_endian else ">"
        self._syscalls = {number: name for name, number in (syscall_numbers or {}).items()}
        self._kernel: dict[int, str] = {}
        self._stacks: dict[tuple[Stack, int, int], str] = {}
        self._users: dict[int, str] = {}
        self._cgroups: dict[tuple[int, str], str] = {}
        self._clock_offsets: dict[int, int] = {}

    def kernel_symbol(self, address: int) -> str:
        """See `Names`."""
        text = self._kernel.get(address)
        if text is None:
            found = self.symbolizer.kernel(address) if address else None
            text = self._kernel[address] = found[0] if found else super().kernel_symbol(address)
        return text

    def user_symbol(self, address: int, pid: int, binary: str) -> str:
        """See `Names`."""
        found = self.symbolizer.user(pid, address, binary) if address else None
        return found[0] if found else super().user_symbol(address, pid, binary)

    # -- stacks ---------------------------------------------------------------------------------------------------

    def stack(self, stack: Stack, value: tuple[int, int, int]) -> str:
        """See `Names`."""
        stack_id, pid, binary = value
        if stack_id < 0:
            return "\n"
        key = (stack, stack_id, pid if stack.user else 0)
        text = self._stacks.get(key)
        if text is None:
            text = self._render_stack(stack, stack_id, pid, self.string(binary))
            if len(self._stacks) >= _MOST_STACKS:
                self._stacks.clear()
            self._stacks[key] = text
        return text

    def _stack_bytes(self, stack: Stack, stack_id: int) -> bytes:
        side = "ustack" if stack.user else "kstack"
        mode = "build_id_" if stack.mode == "build_id" else ""
        access = self._engine.map(f".{side}_{mode}{stack.limit}")
        return access.lookup(struct.pack(self._order + "I", stack_id)) or b""

    def _render_stack(self, stack: Stack, stack_id: int, pid: int, binary: str) -> str:
        raw = self._stack_bytes(stack, stack_id)
        if stack.mode == "build_id":
            return "\n" + "".join(_build_id_frames(raw))
        count = len(raw) // 8
        addresses = struct.unpack_from(f"{self._order}{count}Q", raw)
        if 0 in addresses:
            addresses = addresses[: addresses.index(0)]
        frame = _FRAMES[stack.mode]
        lines = ["\n"]
        for address in addresses:
            if address == _UNWIND_FAILURE:
                lines.append("        <unwind failure>\n")
                break
            lines.append(frame(self, stack, address, pid, binary))
        return "".join(lines)

    def _plain_frame(self, stack: Stack, address: int, pid: int, binary: str) -> str:
        found: tuple[str, int] | tuple[str, int, str] | None
        found = self.symbolizer.user(pid, address, binary) if stack.user else self.symbolizer.kernel(address)
        if found is None:
            return f"        {address:#x}\n"
        place = self.places[found[0]] if self.places is not None and not stack.user else ""
        return f"        {found[0]}+{found[1]}{place and '@'}{place}\n"

    def _perf_frame(self, stack: Stack, address: int, pid: int, binary: str) -> str:
        if not stack.user:
            kernel = self.symbolizer.kernel(address)
            return f"\t{address:x} {kernel[0]}+{kernel[1]}\n" if kernel else f"\t{address:x} {address:#x}\n"
        user = self.symbolizer.user(pid, address, binary)
        if user is None:
            return f"\t{address:x} {address:#x} ([unknown])\n"
        return f"\t{address:x} {user[0]}+{user[1]} ({user[2] or '[unknown]'})\n"

    def _raw_frame(self, stack: Stack, address: int, pid: int, binary: str) -> str:
        return f"{address:x}\n"

    # -- the rest -------------------------------------------------------------------------------------------------

    def username(self, uid: int) -> str:
        """See `Names`."""
        if uid not in self._users:
            import pwd

            try:
                self._users[uid] = pwd.getpwuid(uid).pw_name
            except (KeyError, OverflowError):
                self._users[uid] = ""
        return self._users[uid]

    def _wall_offset_ns(self, clock: int) -> int:
        """What to add to a reading of the clock to get nanoseconds since 1970, measured once."""
        if clock not in self._clock_offsets:
            ids = {_CLOCK_BOOT: time.CLOCK_BOOTTIME, _CLOCK_TAI: time.CLOCK_TAI, _CLOCK_MONOTONIC: time.CLOCK_MONOTONIC}
            reading = time.clock_gettime_ns(ids.get(clock, time.CLOCK_BOOTTIME))
            offset = time.time_ns() - reading
            if clock == _CLOCK_TAI:  # a whole number of leap seconds
                offset = round(offset / 1e9) * 1_000_000_000
            self._clock_offsets[clock] = offset
        return self._clock_offsets[clock]

    def timestamp(self, time_ns: int, format: str, clock: int) -> str:
        """See `Names`. Besides strftime's own: `%f` microseconds, `%l` milliseconds, `%k` nanoseconds."""
        seconds, rest_ns = divmod(time_ns + self._wall_offset_ns(clock), 1_000_000_000)
        format = format.replace("%f", f"{rest_ns // 1000:06}")
        format = format.replace("%k", f"{rest_ns:09}").replace("%l", f"{rest_ns // 1_000_000:03}")
        return wall_text(format, seconds)

    def cgroup_path(self, cgroup_id: int, filter: str) -> str:
        """See `Names`."""
        key = (cgroup_id, filter)
        if key not in self._cgroups:
            self._cgroups[key] = _cgroup_paths(cgroup_id, filter)
        return self._cgroups[key]

    def syscall_name(self, number: int) -> str:
        """See `Names`."""
        return self._syscalls.get(number, "Unknown syscall")


_FRAMES: dict[str, Callable[[LiveNames, Stack, int, int, str], str]] = {
    "bpftrace": LiveNames._plain_frame,
    "perf": LiveNames._perf_frame,
    "raw": LiveNames._raw_frame,
}


def _build_id_frames(raw: bytes) -> list[str]:
    lines = []
    for status, build_id, offset in _BUILD_ID.iter_unpack(raw[: len(raw) // _BUILD_ID.size * _BUILD_ID.size]):
        if status == 0:  # BPF_STACK_BUILD_ID_EMPTY: the end
            break
        lines.append(f"{build_id.hex()} {offset:#04x}\n" if status == 1 else f"{offset:x}\n")
    return lines


def wall_text(format: str, seconds: int | None = None) -> str:
    """strftime of local time (now without `seconds`); `(?)` when there is no such time or the result is empty."""
    try:
        return time.strftime(format, time.localtime(seconds)) or "(?)"
    except (ValueError, OverflowError, OSError, UnicodeError):
        return "(?)"


def _cgroup_roots() -> list[tuple[str, str]]:
    """(name, mount point) of the cgroup hierarchies: version 2 ("unified") first. Source: proc(5), /proc/mounts."""
    unified, named = [], []
    try:
        with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                _, path, kind, *_ = line.split(" ")
                if kind == "cgroup2":
                    unified.append(("unified", path))
                elif kind == "cgroup":
                    named.append((os.path.basename(path), path))
    except (OSError, ValueError):
        return []
    return unified + sorted(named)


def _find_cgroup(root: str, cgroup_id: int) -> str:
    """The path below `root` of the directory whose inode is the cgroup's id; empty when there is none."""
    try:
        if os.stat(root).st_ino == cgroup_id:
            return "/"
        pending = [root]
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        continue
                    if entry.inode() == cgroup_id:
                        return entry.path[len(root) :]
                    pending.append(entry.path)
    except OSError:
        pass
    return ""


def _cgroup_paths(cgroup_id: int, filter: str) -> str:
    from fnmatch import fnmatchcase

    found = []
    for name, root in _cgroup_roots():
        if not filter or fnmatchcase(name, filter):
            path = _find_cgroup(root, cgroup_id)
            if path:
                found.append(f"{name}:{path}")
    return ",".join(found)
