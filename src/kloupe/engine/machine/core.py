"""The state that one machine's programs share: memory, maps, and the event that is being handled."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ...base.errors import MachineFault, NotSupported
from .clock import Clock
from .maps import CurrentCpu, Map
from .memory import OFFSET_MASK, WINDOW_BITS, AddressSpace, MemoryFault, MemorySource, TextSource
from .ringbuf import RingBuffer
from .task import NO_STACKS, Stacks, Task

MASK64 = (1 << 64) - 1
CONTEXT_NAME = "the context"


class Effect(NamedTuple):
    """Something a program asked to do to the traced system: kind "signal", "signal_thread", "override" or "write_user"."""

    kind: str
    value: int
    task: Task
    address: int = 0
    data: bytes = b""


class LimitFault(MachineFault):
    """A program ran for too many instructions."""


class Random:
    """xorshift64*: fast, seedable, good enough for bpf_get_prandom_u32. Source: Vigna, "An experimental exploration"."""

    def __init__(self, seed: int | None = None) -> None:
        self._state = (seed if seed is not None else int.from_bytes(os.urandom(8), "little")) & MASK64 or 1

    def next_u32(self) -> int:
        """The next 32 bits."""
        x = self._state
        x ^= x >> 12
        x ^= x << 25 & MASK64
        x ^= x >> 27
        self._state = x
        return (x * 0x2545F4914F6CDD1D & MASK64) >> 32


_UNSIGNED = {size: struct.Struct("=" + letter).unpack_from for size, letter in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))}


class Core:
    """What helpers get as first argument."""

    def __init__(self, task: Task, clock: Clock, *, cpus: int, seed: int | None, limit_insns: int) -> None:
        self.space = AddressSpace()
        self.cpu = CurrentCpu(cpus)
        self.clock = clock
        self.random = Random(seed)
        self.limit_insns = limit_insns
        self.budget = [limit_insns]  # instructions left; a list, since translated programs hold on to it
        self.maps: dict[int, Map] = {}  # by handle
        self.rings: list[RingBuffer] = []
        self.functions: dict[int, Callable[..., int]] = {}  # callbacks by handle
        self.allow_effects = False
        self.effects: list[Effect] = []
        self.printed: list[str] = []  # what trace_printk wrote
        self.context_address = self.space.add(CONTEXT_NAME, b"")
        self._key_cells: dict[int, list[int]] = {}
        self.own_task = task
        self.made_up: MemorySource | None = (
            None  # kernel objects that the machine invents, asked before the event's memory
        )
        self.set_event(b"", task, None, NO_STACKS, 0, 0, {}, False)

    def set_event(
        self,
        context: bytes,
        task: Task,
        memory: MemorySource | None,
        stacks: Stacks,
        cookie: int,
        function_address: int,
        paths: Mapping[int, bytes],
        is_return: bool,
    ) -> None:
        """Make this the event that helpers tell about."""
        self.space.readable[self.context_address >> WINDOW_BITS] = self.context = context
        self.task = task
        self.cpu.number = task.cpu if task.cpu < self.cpu.count else 0
        self.memory = memory
        self.stacks = stacks
        self.cookie = cookie
        self.function_address = function_address
        self.paths = paths
        self.is_return = is_return

    def add_map(self, new: Map) -> None:
        """Make a map known to helpers."""
        self.maps[new.handle] = new
        if isinstance(new, RingBuffer):
            self.rings.append(new)

    def require_map(self, handle: int) -> Map:
        """The map a helper was given. Raises MachineFault when it is none."""
        found = self.maps.get(handle)
        if found is None:
            raise MachineFault(f"{handle:#x} is not a map")
        return found

    def require_function(self, handle: int) -> Callable[..., int]:
        """The callback a helper was given. Raises MachineFault when it is none."""
        found = self.functions.get(handle)
        if found is None:
            raise MachineFault(f"{handle:#x} is not a function")
        return found

    def read_source(self, address: int, size: int, user: bool) -> bytes:
        """What probe_read gives: memory of a process, of the kernel, or (as kernel memory) of the program itself.

        Raises MemoryFault when it cannot be read.
        """
        if not size:
            return b""
        if self.space.holds(address):
            if user:
                raise MemoryFault(f"{address:#x} is not user memory")
            data = self.space.readable.get(address >> WINDOW_BITS)
            offset = address & OFFSET_MASK
            if data is None or offset + size > len(data):
                raise MemoryFault(f"no memory at {address:#x}")
            return bytes(data[offset : offset + size])
        if self.made_up is not None and not user:
            try:
                return self.made_up.read(address, size, False)
            except MemoryFault:
                pass
        if self.memory is None:
            raise MemoryFault(f"no memory at {address:#x}")
        return self.memory.read(address, size, user)

    def read_text(self, address: int, limit: int, user: bool) -> bytes | None:
        """The bytes before the first NUL, at most `limit`; None when it has to be looked for piece by piece.

        Raises MemoryFault when they cannot be read.
        """
        if isinstance(self.memory, TextSource) and not self.space.holds(address):
            return self.memory.read_text(address, limit, user)
        return None

    def load(self, address: int, size: int) -> int:
        """A direct load of a tracing program: its own memory, or the kernel's, where what cannot be read is 0 (PROBE_MEM)."""
        try:
            value: int = _UNSIGNED[size](self.space.readable[address >> WINDOW_BITS], address & OFFSET_MASK)[0]
            return value
        except (KeyError, struct.error):
            if self.space.holds(address):
                raise self.space.fault(address, size, write=False) from None
        try:
            return int(_UNSIGNED[size](self.read_source(address, size, False))[0])
        except MemoryFault:
            return 0

    def take_key_cell(self, size: int) -> int:
        """The address of `size` bytes for a key that a callback sees; give it back with `give_key_cell`."""
        free = self._key_cells.setdefault(size, [])
        return free.pop() if free else self.space.add("a map key", bytearray(size))

    def give_key_cell(self, address: int, size: int) -> None:
        """The callback is over."""
        self._key_cells[size].append(address)

    def act(self, effect: Effect) -> bool:
        """Record what a program wants done to the system; False when that is not allowed."""
        if self.allow_effects:
            self.effects.append(effect)
        return self.allow_effects

    def over_limit(self) -> None:
        """Stop a program that does not end."""
        raise LimitFault(f"more than {self.limit_insns} instructions in one run")

    def misaligned(self, address: int, size: int) -> None:
        """Stop at an access that the verifier refuses for its alignment."""
        raise MachineFault(f"{size} bytes at {address:#x}: not aligned (the stack and the context must be)")

    def unsupported(self, what: str) -> None:
        """Stop at something that only the kernel can do."""
        raise NotSupported(f"the user-space machine has no {what}", hint="run it with the kernel engine")

    def sequence(self, addresses: Sequence[int]) -> bytes:
        """Addresses as native u64."""
        return struct.pack(f"={len(addresses)}Q", *addresses)
