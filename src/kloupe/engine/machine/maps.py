"""BPF maps with the kernel's semantics, from the program's side (addresses, errno) and from user space (bytes).

Sources: kernel/bpf/arraymap.c, hashtab.c, stackmap.c; flags and errors as in the man page bpf(2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from errno import E2BIG, EEXIST, EINVAL, ENOENT
from sys import byteorder

from ...base.errors import NotSupported, TargetError
from ...base.layout import align_up
from ...bpf.program_types import PER_CPU_MAP_KINDS
from ...image import MapSpec
from .memory import AddressSpace

BPF_ANY, BPF_NOEXIST, BPF_EXIST = 0, 1, 2
BPF_F_LOCK = 4
# Up to this many entries each value is a region of its own, so that running over its end is seen.
_EXACT_ENTRIES = 8192
_CELLS_PER_REGION = 256


class CurrentCpu:
    """The CPU that programs seem to run on now, of `count`."""

    __slots__ = ("count", "number")

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.number = 0


class Map:
    """One map. `find`, `put`, `drop` are what helpers call; the rest is engine/protocol.MapAccess."""

    def __init__(self, spec: MapSpec, space: AddressSpace, cpu: CurrentCpu) -> None:
        self.spec = spec
        self.space = space
        self.cpu = cpu
        self.key_size, self.value_size = spec.key_size, spec.value_size
        self.is_per_cpu = spec.kind in PER_CPU_MAP_KINDS
        self.stride = align_up(max(1, spec.value_size), 8)
        self.cell_bytes = self.stride * (cpu.count if self.is_per_cpu else 1)
        self.handle = space.handle(f"map {spec.name}")

    # The program's side. Addresses are of the current CPU's value; errors are negative errno values.

    def find(self, key: bytes) -> int:
        """The address of the value, 0 when there is none."""
        cell = self._cell(key)
        return cell + self.cpu.number * self.stride if cell and self.is_per_cpu else cell

    def find_on_cpu(self, key: bytes, cpu: int) -> int:
        """The address of that CPU's value; 0 when there is none, or no such CPU."""
        cell = self._cell(key)
        return cell + cpu * self.stride if cell and self.is_per_cpu and cpu < self.cpu.count else 0

    def finder(self) -> Callable[[bytes], int | None]:
        """The fastest callable that does what `find` does (None may stand for 0)."""
        return self.find

    def put(self, key: bytes, value: bytes, flags: int) -> int:
        """Store the value (of the current CPU); 0 or a negative errno."""
        return -EINVAL

    def drop(self, key: bytes) -> int:
        """Remove; 0 or a negative errno."""
        return -EINVAL

    def all_keys(self) -> list[bytes]:
        """All keys, as bpf_for_each_map_elem visits them."""
        return []

    def _cell(self, key: bytes) -> int:
        """The address of the value of CPU 0, 0 when there is none."""
        return 0

    # User space.

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All (key, value)."""
        for key in self.all_keys():
            value = self.lookup(key)
            if value is not None:
                yield key, value

    def per_cpu_items(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """All (key, values per CPU)."""
        for key in self.all_keys():
            values = self.per_cpu_lookup(key)
            if values is not None:
                yield key, values

    def lookup(self, key: bytes) -> bytes | None:
        """The value, or None."""
        cell = self._cell(key)
        return self.space.read(cell, self.value_size) if cell else None

    def per_cpu_lookup(self, key: bytes) -> Sequence[bytes] | None:
        """The values per CPU, or None."""
        cell = self._cell(key)
        if not cell:
            return None
        return [self.space.read(cell + cpu * self.stride, self.value_size) for cpu in range(self.cpu.count)]

    def update(self, key: bytes, value: bytes) -> None:
        """Store, on every CPU. Raises TargetError when the map is full or takes no such key."""
        cell = self._cell(key)
        if not cell:
            error = self.put(key, value, BPF_ANY)
            if error:
                raise TargetError(f"map {self.spec.name} cannot take the key {key.hex()} (error {-error})")
            cell = self._cell(key)
        for cpu in range(self.cpu.count if self.is_per_cpu else 1):
            self.space.poke(cell + cpu * self.stride, value)

    def delete(self, key: bytes) -> bool:
        """Remove; False when it was not there or cannot be removed."""
        return self.drop(key) == 0


class ArrayMap(Map):
    """array and percpu_array: `max_entries` zeroed values in one region, always there."""

    def __init__(self, spec: MapSpec, space: AddressSpace, cpu: CurrentCpu) -> None:
        super().__init__(spec, space, cpu)
        data = bytearray(self.cell_bytes * spec.max_entries)
        data[: len(spec.initial)] = spec.initial
        self.base = space.add(f"map {spec.name}", data, read_only=spec.read_only)
        if self.is_per_cpu and spec.initial:
            self.update(bytes(spec.key_size), spec.initial)

    def _cell(self, key: bytes) -> int:
        index = int.from_bytes(key, byteorder)
        return self.base + index * self.cell_bytes if index < self.spec.max_entries else 0

    def put(self, key: bytes, value: bytes, flags: int) -> int:
        """Store; -E2BIG beyond the end, -EEXIST for "must be new", since elements always exist."""
        if flags & ~BPF_F_LOCK > BPF_EXIST:
            return -EINVAL
        address = self.find(key)
        if not address:
            return -E2BIG
        if flags & BPF_NOEXIST:
            return -EEXIST
        self.space.poke(address, value)
        return 0

    def all_keys(self) -> list[bytes]:
        """All indices."""
        return [index.to_bytes(4, byteorder) for index in range(self.spec.max_entries)]


class MapOfMaps(Map):
    """array_of_maps: finding an element gives the handle of a map."""

    def hold(self, members: list[Map]) -> None:
        """Fill it, in order."""
        self._members = members

    def find(self, key: bytes) -> int:
        """The handle of member number `key`, 0 beyond the end."""
        index = int.from_bytes(key, byteorder)
        return self._members[index].handle if index < len(self._members) else 0


class HashMap(Map):
    """hash, percpu_hash and their LRU forms, which never are full: they drop the entry not used for longest."""

    def __init__(self, spec: MapSpec, space: AddressSpace, cpu: CurrentCpu) -> None:
        super().__init__(spec, space, cpu)
        self.is_lru = spec.kind.startswith("lru_")
        self.limit = spec.max_entries  # tests lower it
        self._index: dict[bytes, int] = {}
        self._free: list[int] = []
        self._cells_per_region = 1 if spec.max_entries <= _EXACT_ENTRIES else _CELLS_PER_REGION

    def finder(self) -> Callable[[bytes], int | None]:
        """The index's own `get` where nothing else is to be done."""
        return self.find if self.is_lru or (self.is_per_cpu and self.cpu.count > 1) else self._index.get

    def find(self, key: bytes) -> int:
        """The address of the value, 0 when there is none; a use, for LRU."""
        cell = self._index.get(key, 0)
        if cell and self.is_lru:
            del self._index[key]
            self._index[key] = cell
        return cell + self.cpu.number * self.stride if cell and self.is_per_cpu else cell

    def _cell(self, key: bytes) -> int:
        return self._index.get(key, 0)

    def _new_cell(self) -> int:
        if not self._free:
            size = self.cell_bytes
            # An exact region ends with the value, so that the padding cannot be touched either.
            exact = self._cells_per_region == 1 and not self.is_per_cpu
            data = bytearray(self.value_size if exact else size * self._cells_per_region)
            base = self.space.add(f"a value of map {self.spec.name}", data, read_only=self.spec.read_only)
            self._free = [base + n * size for n in reversed(range(self._cells_per_region))]
        return self._free.pop()

    def put(self, key: bytes, value: bytes, flags: int) -> int:
        """Store; -E2BIG when full, -EEXIST and -ENOENT as the flags ask."""
        flags &= ~BPF_F_LOCK
        if flags > BPF_EXIST:
            return -EINVAL
        cell = self._index.get(key, 0)
        if not cell:
            if flags == BPF_EXIST:
                return -ENOENT
            if len(self._index) >= self.limit:
                if not self.is_lru:
                    return -E2BIG
                self.drop(next(iter(self._index)))
            cell = self._new_cell()
            if self.is_per_cpu:
                self.space.poke(cell, bytes(self.cell_bytes))
        elif flags == BPF_NOEXIST:
            return -EEXIST
        elif self.is_lru:
            del self._index[key]
        self._index[key] = cell
        self.space.poke(cell + self.cpu.number * self.stride if self.is_per_cpu else cell, value)
        return 0

    def drop(self, key: bytes) -> int:
        """Remove; -ENOENT when it is not there. The memory may be reused by the next new key, as in the kernel."""
        cell = self._index.pop(key, 0)
        if not cell:
            return -ENOENT
        self._free.append(cell)
        return 0

    def all_keys(self) -> list[bytes]:
        """All keys, oldest first."""
        return list(self._index)


class StackTraceMap(Map):
    """stack_trace: buckets of addresses by a hash of the stack; values are zero-padded to `value_size`."""

    SKIP_MASK = 0xFF
    FAST_STACK_CMP = 1 << 9
    REUSE_STACKID = 1 << 10

    def __init__(self, spec: MapSpec, space: AddressSpace, cpu: CurrentCpu) -> None:
        super().__init__(spec, space, cpu)
        self._buckets: dict[int, tuple[int, ...]] = {}
        self._count = 1 << max(0, spec.max_entries - 1).bit_length()

    def store(self, stack: Sequence[int], flags: int) -> int:
        """The id of the stack without its innermost `flags & 0xff` addresses; -EEXIST when another has its bucket."""
        skip = flags & self.SKIP_MASK
        kept = tuple(stack[skip : skip + self.value_size // 8])
        number = hash(kept) & (self._count - 1)
        old = self._buckets.get(number)
        if old is not None and old != kept and not flags & self.REUSE_STACKID:
            return -EEXIST
        self._buckets[number] = kept
        return number

    def lookup(self, key: bytes) -> bytes | None:
        """The addresses as u64, innermost first, or None."""
        stack = self._buckets.get(int.from_bytes(key, byteorder))
        if stack is None:
            return None
        return b"".join([address.to_bytes(8, byteorder) for address in stack]).ljust(self.value_size, b"\0")

    def drop(self, key: bytes) -> int:
        """Remove one stack."""
        return 0 if self._buckets.pop(int.from_bytes(key, byteorder), None) is not None else -ENOENT

    def all_keys(self) -> list[bytes]:
        """All ids."""
        return [number.to_bytes(4, byteorder) for number in self._buckets]

    def update(self, key: bytes, value: bytes) -> None:
        """Not possible: only programs store stacks."""
        raise NotSupported(f"map {self.spec.name} holds stacks, which only programs store")
