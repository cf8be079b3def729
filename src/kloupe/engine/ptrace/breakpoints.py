"""Breakpoints in followed processes: where they belong, which are set, and what was there before."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress

from .ledger import Ledger
from .maps import Mapping, read_maps
from .routes import Hook

TRAPS = {"x86_64": b"\xcc", "aarch64": b"\x00\x00\x20\xd4"}  # int3; brk #0
TRAP_ADVANCE = {"x86_64": 1, "aarch64": 0}  # how far behind the trap the instruction pointer is when it is reported
SLOT_BYTES = 16
_MOST_GONE = 4096  # remembered; forks that are under way know of the latest only
_COUNTER = struct.Struct("=H")  # a USDT semaphore


class Breakpoint:
    """A trap at `address` in place of `original`. Calls that wait for a return here are `waiting`."""

    __slots__ = ("address", "entries", "original", "returns", "row", "waiting")

    def __init__(self, address: int, original: bytes, row: int) -> None:
        self.address = address
        self.original = original
        self.row = row  # of the ledger
        self.entries: list[Hook] = []  # run when it is reached
        self.returns: list[Hook] = []  # run when the function that begins here returns
        self.waiting = 0


class AddressSpace:
    """The memory that one process, or several since vfork, run in, with the traps in it."""

    def __init__(self, pid: int, trap: bytes, ledger: Ledger) -> None:
        self.pid = pid
        self._ledger = ledger
        self.users = 1
        self.trap = trap
        self.breakpoints: dict[int, Breakpoint] = {}
        self._gone: dict[int, bytes] = {}  # what stood where traps were taken out
        self.counters: list[int] = []  # addresses of the semaphores that we have raised
        self._fd = -1
        self._slot = -1  # not looked for
        self.slot_code = bytes(SLOT_BYTES)
        self.placed: set[tuple[int, int]] = set()  # (start, end) of mappings that have been looked at

    def fork(self, pid: int) -> AddressSpace:
        """The copy that a child has."""
        copy = AddressSpace(pid, self.trap, self._ledger)
        copy.counters = list(self.counters)
        copy.placed = set(self.placed)
        copy._slot = self._slot
        if self._slot > 0:  # what it holds may have changed since the fork
            copy.slot_code = copy.read(self._slot, SLOT_BYTES)
        for address, old in self.breakpoints.items():
            row = self._ledger.note(pid, address, self.trap, old.original)
            new = copy.breakpoints[address] = Breakpoint(address, old.original, row)
            new.entries, new.returns, new.waiting = old.entries, old.returns, old.waiting
        copy._gone = dict(self._gone)
        for address, original in self._gone.items():  # taken out here between the fork and our hearing of it
            if address not in copy.breakpoints and copy.read(address, len(self.trap)) == self.trap:
                copy.write(address, original)
        return copy

    @property
    def is_touched(self) -> bool:
        """Whether copies of this memory may hold something of ours."""
        return bool(self.breakpoints or self._gone or self.counters)

    def is_ours(self, address: int) -> bool:
        """Whether a thread that was trapped at this address ran into a breakpoint, even if that is gone by now."""
        return address in self.breakpoints or address in self._gone

    def write(self, address: int, data: bytes) -> bool:
        """Store, also into read-only pages (proc_pid_mem(5)); False when there is no such memory."""
        try:
            return os.pwrite(self._file(), data, address) == len(data)
        except (OSError, OverflowError):
            return False

    def read(self, address: int, size: int) -> bytes:
        """Memory as it is, with traps; b"" when there is none."""
        try:
            return os.pread(self._file(), size, address)
        except (OSError, OverflowError):
            return b""

    def _file(self) -> int:
        if self._fd < 0:
            self._fd = os.open(f"/proc/{self.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        return self._fd

    def close(self) -> None:
        """The memory is gone: release the descriptor."""
        for each in self.breakpoints.values():
            self._ledger.strike(each.row)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def slot(self) -> int:
        """The address of 16 unused bytes of code memory, 0 where there are none: the zeros that fill up a mapping's last page."""
        if self._slot < 0:
            self._slot = 0
            for each in read_maps(self.pid):
                at = each.end - SLOT_BYTES
                if "x" in each.flags and each.path.startswith("/") and self.read(at, SLOT_BYTES) == bytes(SLOT_BYTES):
                    self._slot = at
                    break
        return self._slot

    def fill_slot(self, code: bytes) -> bool:
        """Put an instruction into the slot."""
        if self.slot_code != code:
            self.slot_code = code
            return self.write(self.slot(), code)
        return True

    def set(self, address: int) -> Breakpoint | None:
        """The breakpoint at an address, set if it was not."""
        found = self.breakpoints.get(address)
        if found is None:
            original = self.read(address, len(self.trap))
            if len(original) != len(self.trap):
                return None
            row = self._ledger.note(self.pid, address, self.trap, original)
            if not self.write(address, self.trap):
                self._ledger.strike(row)
                return None
            found = self.breakpoints[address] = Breakpoint(address, original, row)
        return found

    def forget_replaced(self, start: int, end: int) -> None:
        """New memory stands from `start` to `end`: traps that were in the old one are gone with it."""
        for address, point in list(self.breakpoints.items()):
            if start <= address < end and self.read(address, len(self.trap)) != self.trap:
                self._ledger.strike(point.row)
                del self.breakpoints[address]

    def drop_waiting(self, address: int) -> None:
        """One call less returns to `address`; the trap goes when nobody needs it."""
        found = self.breakpoints.get(address)
        if found is None:
            return
        found.waiting -= 1
        if found.waiting <= 0 and not found.entries and not found.returns:
            self.write(address, found.original)
            self._forget(found)
            del self.breakpoints[address]

    def _forget(self, point: Breakpoint) -> None:
        if len(self._gone) >= _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        self._gone[point.address] = point.original
        self._ledger.strike(point.row)

    def clear(self) -> None:
        """Put everything back as it was."""
        for each in self.breakpoints.values():
            if self.read(each.address, len(self.trap)) == self.trap:
                self.write(each.address, each.original)
            self._forget(each)
        for address in self.counters:
            self._count(address, -1)
        if self._slot > 0:
            self.fill_slot(bytes(SLOT_BYTES))
        self.breakpoints, self.counters = {}, []

    def original(self, address: int, data: bytes) -> bytes:
        """`data` read at `address`, without the traps."""
        end = address + len(data)
        hit = [each for at, each in self.breakpoints.items() if at < end and at + len(self.trap) > address]
        if not hit:
            return data
        clean = bytearray(data)
        for each in hit:
            for index, byte in enumerate(each.original):
                if address <= each.address + index < end:
                    clean[each.address + index - address] = byte
        return bytes(clean)

    def raise_counter(self, address: int) -> None:
        """Tell a USDT marker that somebody is interested."""
        if self._count(address, 1):
            self.counters.append(address)

    def _count(self, address: int, change: int) -> bool:
        data = self.read(address, _COUNTER.size)
        if len(data) != _COUNTER.size:
            return False
        return self.write(address, _COUNTER.pack(_COUNTER.unpack(data)[0] + change & 0xFFFF))


class UserPlaces:
    """The files and offsets that uprobes name, and how to set their breakpoints in a process."""

    def __init__(self, hooks: Iterable[Hook]) -> None:
        self._hooks: dict[str, list[Hook]] = {}
        for hook in hooks:
            self._hooks.setdefault(str(hook.spec.params["path"]), []).append(hook)
        self._files: dict[tuple[int, int], list[Hook]] = {}
        self._names: dict[str, list[Hook]] = {}
        for path, group in self._hooks.items():
            with suppress(OSError):
                found = os.stat(path)
                self._files.setdefault((found.st_dev, found.st_ino), []).extend(group)
            self._names.setdefault(os.path.realpath(path), []).extend(group)

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def place(self, space: AddressSpace) -> None:
        """Set what is not yet set in the mappings that are there now."""
        maps = read_maps(space.pid)
        for mapping in maps:
            key = (mapping.start, mapping.end)
            if "x" not in mapping.flags or key in space.placed:
                continue
            space.placed.add(key)
            hooks = self._files.get(mapping.file) or self._names.get(mapping.path)
            if hooks:
                space.forget_replaced(mapping.start, mapping.end)
            for hook in hooks or ():
                self._place(space, mapping, hook, maps)

    def _place(self, space: AddressSpace, mapping: Mapping, hook: Hook, maps: list[Mapping]) -> None:
        params = hook.spec.params
        address = mapping.start + int(params["offset"]) - mapping.offset
        if not mapping.start <= address < mapping.end:
            return
        point = space.set(address)
        if point is None:
            return
        group = point.returns if params["retval"] else point.entries
        if hook not in group:
            group.append(hook)
            counter = int(params.get("ref_ctr_offset", 0))
            if counter:
                self._raise(space, mapping, counter, maps)

    def _raise(self, space: AddressSpace, code: Mapping, offset: int, maps: list[Mapping]) -> None:
        for each in maps:
            inside = each.offset <= offset < each.offset + each.end - each.start
            if each.file == code.file and "w" in each.flags and inside:
                space.raise_counter(each.start + offset - each.offset)
                return
