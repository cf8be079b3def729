"""Kernel maps: creation from MapSpec, and access from user space."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from ...base.errors import InternalError, KloupeError
from ...base.layout import align_up
from ...base.record import replace
from ...bpf.program_types import MAP_FLAGS, MAP_TYPES, PER_CPU_MAP_KINDS
from ...host import bpf, bpf_map, proc
from ...image import MapSpec
from .refusal import explain_refusal

T = TypeVar("T")

_BATCH_BYTES = 1 << 18
_BUILD_ID_BYTES = 32  # struct bpf_stack_build_id
_NO_BATCH = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, bpf.ENOTSUPP}


class KernelMap:
    """One map of a loaded Image (engine.protocol.MapAccess). Owns its descriptor `fd`."""

    def __init__(self, spec: MapSpec, fd: int) -> None:
        self.spec = spec
        self.fd = fd
        self.cpus = proc.possible_cpus() if spec.kind in PER_CPU_MAP_KINDS else 0
        self._stride = align_up(spec.value_size, 8)
        self._calls = bpf_map.MapCalls(fd, spec.key_size, self._stride * self.cpus if self.cpus else spec.value_size)
        self._batches = spec.max_entries > 1

    def lookup(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        return self._asked(self._calls.lookup, key)

    def per_cpu_lookup(self, key: bytes) -> Sequence[bytes] | None:
        """The values of `key`, one per possible CPU, or None."""
        packed = self._asked(self._calls.lookup, key)
        return None if packed is None else self._split(packed)

    def update(self, key: bytes, value: bytes) -> None:
        """Store; in a per-CPU map the same value for every CPU."""
        packed = value.ljust(self._stride, b"\0") * self.cpus if self.cpus else value
        try:
            self._calls.update(key, packed)
        except (OSError, ValueError) as error:
            raise self._explain(error) from error

    def fill(self, values: Sequence[bytes]) -> None:
        """Store the first elements of an array. In one batch: into a map of maps, each update waits for a grace period."""
        keys = [index.to_bytes(4, sys.byteorder) for index in range(len(values))]
        try:
            self._calls.update_batch(b"".join(keys), b"".join(values), len(keys))
        except OSError as error:
            if error.errno not in _NO_BATCH:
                raise self._explain(error) from error
            for key, value in zip(keys, values, strict=True):
                self.update(key, value)

    def delete(self, key: bytes) -> bool:
        """Remove; False when it was not there."""
        return self._asked(self._calls.delete, key)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All (key, value) of a plain map."""
        return self._entries()

    def per_cpu_items(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """All (key, values per CPU) of a per-CPU map."""
        split = self._split
        for key, packed in self._entries():
            yield key, split(packed)

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _split(self, packed: bytes) -> list[bytes]:
        size = self.spec.value_size
        return [packed[at : at + size] for at in range(0, len(packed), self._stride)]

    def _explain(self, error: Exception) -> KloupeError:
        what = f"map {self.spec.name}"
        return explain_refusal(error, what) if isinstance(error, OSError) else InternalError(f"{what}: {error}")

    def _asked(self, call: Callable[[bytes], T], key: bytes) -> T:
        try:
            return call(key)
        except (OSError, ValueError) as error:
            raise self._explain(error) from error

    def _entries(self) -> Iterator[tuple[bytes, bytes]]:
        if self._batches:
            try:
                yield from self._batched()
                return
            except OSError as error:
                if error.errno not in _NO_BATCH:
                    raise self._explain(error) from error
                self._batches = False
        yield from self._one_by_one()

    def _batched(self) -> Iterator[tuple[bytes, bytes]]:
        """Entries in batches. The first call fails, or none: an OSError can only come before the first entry."""
        calls = self._calls
        key_bytes, value_bytes = calls.key_bytes, calls.value_bytes
        count = min(self.spec.max_entries, max(64, _BATCH_BYTES // (key_bytes + value_bytes)))
        position: bytearray | None = None
        end = False
        while not end:
            try:
                position, keys, values, found, end = calls.lookup_batch(position, count)
            except OSError as error:
                if error.errno != errno.ENOSPC:  # ENOSPC: a hash bucket with more than `count` entries
                    raise
                count *= 2
                continue
            yield from zip(_chunks(keys, key_bytes, found), _chunks(values, value_bytes, found), strict=True)

    def _one_by_one(self) -> Iterator[tuple[bytes, bytes]]:
        """Entries by following keys. When the current key is deleted the kernel starts over, hence `seen`."""
        seen: set[bytes] = set()
        calls = self._calls
        try:
            key = calls.next_key(None)
            while key is not None and key not in seen:
                seen.add(key)
                value = calls.lookup(key)
                if value is not None:
                    yield key, value
                key = calls.next_key(key)
        except OSError as error:
            raise self._explain(error) from error


def _chunks(packed: bytes, size: int, count: int) -> Iterable[bytes]:
    return [packed[at : at + size] for at in range(0, size * count, size)]


def create_map(spec: MapSpec, made: Mapping[str, KernelMap] | None = None) -> KernelMap:
    """Make a map, fill it with `initial` or with its members among `made`, freeze it if read-only. Raises TargetError."""
    members = [(made or {})[name] for name in spec.members]
    if spec.kind == "stack_trace":
        spec = _as_deep_as_allowed(spec)
    kind = MAP_TYPES.get(spec.kind)
    if kind is None:
        raise InternalError(f"map {spec.name}: unknown kind {spec.kind}")
    flags = spec.flags | (MAP_FLAGS["rdonly_prog"] if spec.read_only else 0)
    try:
        fd = _create(kind, spec, flags, members[0].fd if members else 0)
    except OSError as error:
        raise explain_refusal(error, f"creating map {spec.name}") from error
    created = KernelMap(spec, fd)
    try:
        if spec.initial:
            created.update(bytes(spec.key_size), spec.initial.ljust(spec.value_size, b"\0"))
        if members:
            created.fill([member.fd.to_bytes(4, sys.byteorder) for member in members])
        if spec.read_only:
            bpf_map.freeze_map(fd)
    except OSError as error:
        created.close()
        raise explain_refusal(error, f"freezing map {spec.name}") from error
    except BaseException:
        created.close()
        raise
    return created


def _as_deep_as_allowed(spec: MapSpec) -> MapSpec:
    """The map with as many frames as the kernel keeps at most; it refuses maps for more (stack_map_alloc() in kernel/bpf/stackmap.c)."""
    most = proc.read_text("/proc/sys/kernel/perf_event_max_stack")
    if most is None:
        return spec
    frame_bytes = _BUILD_ID_BYTES if spec.flags & MAP_FLAGS["stack_build_id"] else 8
    return replace(spec, value_size=min(spec.value_size, int(most) * frame_bytes))


def _create(kind: int, spec: MapSpec, flags: int, inner_fd: int) -> int:
    size = (spec.key_size, spec.value_size, spec.max_entries)
    try:
        return bpf_map.create_map(kind, *size, flags, spec.name, inner_fd)
    except OSError as error:
        # Before 5.11 maps are charged to RLIMIT_MEMLOCK, and running into it is EPERM.
        if error.errno != errno.EPERM or not proc.raise_memory_lock_limit():
            raise
    return bpf_map.create_map(kind, *size, flags, spec.name, inner_fd)
