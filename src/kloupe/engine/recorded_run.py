"""What a program sees in a replay: the memory, stacks, clocks and other answers that were recorded with its run."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from ..base import journal
from ..base.record import replace
from ..bpf.helpers import HELPERS
from ..image import MapSpec
from ..recording.read import Entry, Recording
from .machine.clock import VirtualClock
from .machine.maps import CurrentCpu, StackTraceMap
from .machine.memory import AddressSpace, MemoryFault
from .machine.task import NO_STACKS, Stacks, Task


def _number(name: str) -> int:
    return HELPERS[name].number


_READS = {
    _number("probe_read"): None,
    _number("probe_read_user"): True,
    _number("probe_read_kernel"): False,
    _number("copy_from_user"): True,
}
_TEXTS = {
    _number("probe_read_str"): None,
    _number("probe_read_user_str"): True,
    _number("probe_read_kernel_str"): False,
}
_STACK_ID, _STACK, _D_PATH = _number("get_stackid"), _number("get_stack"), _number("d_path")
_NODE, _NS = _number("get_numa_node_id"), _number("get_ns_current_pid_tgid")
_FUNCTION, _RANDOM = _number("get_func_ip"), _number("get_prandom_u32")
_USER_STACK = 1 << 8
_MONOTONIC, _BOOT, _TAI = _number("ktime_get_ns"), _number("ktime_get_boot_ns"), _number("ktime_get_tai_ns")
_COARSE, _JIFFIES = _number("ktime_get_coarse_ns"), _number("jiffies64")


class _Piece(NamedTuple):
    """One recorded read. `user` None: either side. `size` is what was asked for; `data` of a text ends with its NUL or is cut."""

    address: int
    data: bytes
    user: bool | None
    failed: bool
    size: int
    text: bool


_NULL_PAGE_BYTES = 4096  # a read there fails on every kernel, recorded or not


class RecordedMemory:
    """A MemorySource: what was read in one run. Anything else is missing, which is counted and cannot be read."""

    def __init__(self, pieces: list[_Piece], missing: list[int]) -> None:
        self._pieces = pieces
        self._next = 0
        self._missing = missing

    def _candidates(self, address: int, size: int, user: bool, text: bool) -> list[_Piece]:
        """The pieces that may answer; first the one whose turn it is."""
        pieces = self._pieces
        if self._next < len(pieces):
            turn = pieces[self._next]
            if turn.address == address and turn.text is text and turn.size == size:
                self._next += 1
                pieces = [turn, *pieces]
        return [piece for piece in pieces if piece.user in (user, None)]

    def _fail(self, address: int) -> MemoryFault:
        if address >= _NULL_PAGE_BYTES:
            self._missing[0] += 1
        return MemoryFault(f"the recording has no memory at {address:#x}")

    def read(self, address: int, size: int, user: bool) -> bytes:
        """See MemorySource."""
        for piece in self._candidates(address, size, user, False):
            at = address - piece.address
            if piece.failed:
                if at == 0 and piece.size <= size:
                    raise MemoryFault(f"{address:#x} could not be read")
            elif at >= 0 and at + size <= len(piece.data):
                return piece.data[at : at + size]
        raise self._fail(address)

    def read_text(self, address: int, limit: int, user: bool) -> bytes:
        """See TextSource."""
        for piece in self._candidates(address, limit + 1, user, True):
            at = address - piece.address
            if piece.failed and at == 0:
                raise MemoryFault(f"{address:#x} could not be read")
            if piece.failed or not 0 <= at < len(piece.data):
                continue
            end = piece.data.find(b"\0", at, at + limit)
            if end >= 0:
                return piece.data[at:end]
            if len(piece.data) - at >= limit:
                return piece.data[at : at + limit]
        raise self._fail(address)


class ReplayClock(VirtualClock):
    """The recording's clocks. Programs get the readings of the recorded run in their order, and without one the run's time."""

    def __init__(self, clocks: dict[str, int]) -> None:
        super().__init__(clocks["monotonic"])
        self._behind = {name: clocks[name] - clocks["monotonic"] for name in ("boot", "tai")}
        self.readings: dict[int, list[int]] = {}  # helper -> readings of this run, last first

    def _reading(self, helper: int) -> int | None:
        left = self.readings.get(helper)
        return left.pop() if left else None

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return (self._reading(_MONOTONIC) if self.readings else None) or self.now_ns

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME."""
        return self._reading(_BOOT) or self.now_ns + self._behind["boot"]

    def tai_ns(self) -> int:
        """CLOCK_TAI."""
        return self._reading(_TAI) or self.now_ns + self._behind["tai"]

    def coarse_ns(self) -> int:
        """CLOCK_MONOTONIC_COARSE."""
        return self._reading(_COARSE) or self.now_ns

    def jiffies(self) -> int | None:
        """The kernel's ticks, where the run read them."""
        return self._reading(_JIFFIES)


class RecordedRandom:
    """The random numbers that the run got; others when it asks for more."""

    def __init__(self, fallback: object) -> None:
        self.numbers: list[int] = []  # last first
        self._fallback = fallback

    def next_u32(self) -> int:
        """The next 32 bits."""
        return self.numbers.pop() if self.numbers else self._fallback.next_u32()  # type: ignore[attr-defined]


class RecordedStackMap(StackTraceMap):
    """Gives stacks the ids that they had, since tables sort by them."""

    def __init__(self, spec: MapSpec, space: AddressSpace, cpu: CurrentCpu, ids: dict[tuple[int, ...], int]) -> None:
        super().__init__(spec, space, cpu)
        self._ids = ids

    def store(self, stack: Sequence[int], flags: int) -> int:
        """See StackTraceMap."""
        kept = tuple(stack[: self.value_size // 8])
        known = self._ids.get(kept)
        if known is None:
            return super().store(stack, flags)
        self._buckets[known] = kept
        return known


class Seen:
    """The entries of one run, sorted by what asks for them."""

    def __init__(
        self, entries: list[Entry], task: Task, recording: Recording, limits: tuple[int, int], missing: list[int]
    ) -> None:
        self.pieces: list[_Piece] = []
        self.readings: dict[int, list[int]] = {}
        self.random: list[int] = []
        self.paths: dict[int, bytes] = {}
        self.stacks = NO_STACKS
        self.function = 0
        self.task = task
        changes: dict[str, int] = {}
        for helper, limit, key, result, data in entries:
            if helper in _READS:
                self.pieces.append(_Piece(key, data, _READS[helper], result < 0, len(data), False))
            elif helper in _TEXTS:
                text = data if 0 < result < limit else data[:-1]
                self.pieces.append(_Piece(key, text, _TEXTS[helper], result < 0, limit, True))
            elif helper == _STACK_ID:
                self._add_stack(recording, limits, missing, key, result)
            elif helper == _NODE:
                changes["numa_node"] = result
            elif helper == _NS and len(data) == 8:
                changes["ns_tid"], changes["ns_pid"] = struct.unpack("=II", data)
            elif helper == _FUNCTION:
                self.function = result & 0xFFFFFFFFFFFFFFFF
            elif helper == _RANDOM:
                self.random.insert(0, result & 0xFFFFFFFF)
            elif helper == _D_PATH and result > 0:
                self.paths[key] = data[:-1]
            elif helper == _STACK and result > 0:
                self._set_stack(bool(key & _USER_STACK), struct.unpack(f"={len(data) // 8}Q", data))
            else:
                self.readings.setdefault(helper, []).insert(0, result)
        if changes:
            self.task = replace(task, **changes)

    def _add_stack(
        self, recording: Recording, limits: tuple[int, int], missing: list[int], key: int, result: int
    ) -> None:
        user = bool(key & _USER_STACK)
        number = key >> journal.MAP_SHIFT
        addresses = recording.stacks.get((number, result)) if result >= 0 else None
        if addresses is None:
            return
        wanted = limits[user]
        names = recording.meta.stack_maps
        limit = int(names[number].rpartition("k")[2].rpartition("_")[2] or 0) if number < len(names) else 0
        if len(addresses) >= limit < wanted:  # it goes on where the recording does not
            missing[0] += 1
            return
        self._set_stack(user, addresses)

    def _set_stack(self, user: bool, addresses: tuple[int, ...]) -> None:
        known = self.stacks.user if user else self.stacks.kernel
        if known is None or len(known) < len(addresses):
            self.stacks = Stacks(self.stacks.kernel, addresses) if user else Stacks(addresses, self.stacks.user)
