"""User symbols of processes that may end: find the pids in records and maps that need them, and remember those processes in time."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable, Sequence

from ..base.ctype import USYM, CType, Record, Stack, Tuple
from ..engine.protocol import Engine
from ..image import Image, MapSpec
from .symbolize import Symbolizer

_FIRST_S, _LONGEST_S = 0.05, 2.0
_START_LOOKS, _START_STEP_S = 16, 0.0002
_COST_FACTOR = 20  # looking takes at most a twentieth of the time


def pid_places(t: CType | None, base: int = 0) -> list[tuple[int, str]]:
    """(offset, struct code) of every pid that belongs to a user stack or symbol inside a value of this type."""
    if isinstance(t, Stack) and t.user and t.mode != "raw":
        return [(base + 8, "Q")]
    if t == USYM:
        return [(base + 8, "I")]
    if isinstance(t, (Tuple, Record)):
        return [
            place
            for element, offset in zip(t.elements, t.offsets, strict=True)
            for place in pid_places(element, base + offset)
        ]
    return []


def uses_user_names(image: Image) -> bool:
    """Whether what the script prints or keeps has user stacks or symbols."""
    kept = (t for spec in image.maps if spec.is_script_map for t in (spec.key_type, spec.value_type))
    return any(pid_places(t) for t in kept) or any(_sent_places(image).values())


def _sent_places(image: Image) -> dict[int, list[tuple[int, str]]]:
    """For each event whose records name such processes, where."""
    places = {
        event.id: [place for field in event.layout.fields for place in pid_places(field.type, field.offset)]
        for event in image.events
    }
    return {number: found for number, found in places.items() if found}


class PidKeeper:
    """Calls `Symbolizer.remember` for processes that show up in records and maps, and for `pids` (the child, the target)."""

    def __init__(self, image: Image, engine: Engine, symbolizer: Symbolizer, pids: Iterable[int], order: str) -> None:
        self._engine = engine
        self._symbolizer = symbolizer
        self._order = order
        self._maps: list[tuple[MapSpec, list[tuple[int, str]], list[tuple[int, str]]]] = []
        for spec in image.maps:
            keys = pid_places(spec.key_type)
            values = pid_places(spec.value_type, 8 if spec.key_type is None else 0)
            if spec.is_script_map and (keys or values):
                self._maps.append((spec, keys, values))
        self._sent = _sent_places(image)
        self._needs_kernel = any(
            isinstance(field.type, Stack) and not field.type.user
            for event in image.events
            for field in event.layout.fields
        )
        self._pids = list(pids) if uses_user_names(image) else []
        self._known: set[int] = set()
        self._interval_s = _FIRST_S
        self._next = time.monotonic()
        self.active = bool(self._maps or self._pids)

    def prepare(self) -> None:
        """Do what takes long at first (imports, the kernel's symbols) before events come, by looking at ourselves."""
        if self._pids or self._sent:
            self._symbolizer.remember(os.getpid(), files=False)
        if self._sent and self._needs_kernel:
            self._symbolizer.kernel(0)

    def meet_records(self, records: Sequence[bytes | memoryview]) -> None:
        """Note the mappings of the processes that sent these records, before the time that printing takes."""
        if not self._sent:
            return
        pids = set()
        for record in records:
            for offset, code in self._sent.get(struct.unpack_from(self._order + "I", record)[0], ()):
                pids.add(struct.unpack_from(self._order + code, record, offset)[0])
        for pid in pids:
            self._symbolizer.remember(pid, files=False)

    def follow_start(self) -> None:
        """Look closely while the child starts: it may be gone in two milliseconds, and its libraries with it."""
        for _ in range(_START_LOOKS if self._pids else 0):
            for pid in self._pids:
                self._symbolizer.remember(pid, files=False)
            time.sleep(_START_STEP_S)

    def look(self, *, now: bool = False) -> None:
        """Look if it is time to (or `now`); the interval grows from 50 ms."""
        start = time.monotonic()
        if not self.active or (start < self._next and not now):
            return
        for pid in self._pids:  # again each time: libraries come and go
            self._symbolizer.remember(pid)
        for spec, keys, values in self._maps:
            self._look_in(spec, keys, values)
        end = time.monotonic()
        self._interval_s = min(max(self._interval_s * 1.5, (end - start) * _COST_FACTOR), _LONGEST_S)
        self._next = end + self._interval_s

    def _look_in(self, spec: MapSpec, keys: list[tuple[int, str]], values: list[tuple[int, str]]) -> None:
        access = self._engine.map(spec.name)
        if "percpu" in spec.kind:  # counts: only the keys have pids
            for key, _ in access.per_cpu_items():
                self._meet(key, keys)
            return
        for key, value in access.items():
            self._meet(key, keys)
            self._meet(value, values)

    def _meet(self, raw: bytes, places: list[tuple[int, str]]) -> None:
        for offset, code in places:
            pid = struct.unpack_from(self._order + code, raw, offset)[0]
            if pid and pid not in self._known:
                self._known.add(pid)
                self._symbolizer.remember(pid)
