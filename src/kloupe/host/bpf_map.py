"""Maps by bpf(2): creation, and operations on their elements. They raise OSError."""

from __future__ import annotations

import errno
import os
import struct

from .bpf import (
    MAP_CREATE,
    MAP_DELETE,
    MAP_FREEZE,
    MAP_LOOKUP,
    MAP_LOOKUP_BATCH,
    MAP_NEXT_KEY,
    MAP_UPDATE,
    MAP_UPDATE_BATCH,
    NUMBER,
    bpf,
    make_attr,
    object_name,
)
from .syscall import address_of, syscall


def create_map(
    kind: int, key_size: int, value_size: int, max_entries: int, flags: int = 0, name: str = "", inner_fd: int = 0
) -> int:
    """A new map; sizes in bytes. Kinds: bpf.program_types.MAP_TYPES. `inner_fd`: a map like those that a map of maps holds."""
    return bpf(
        MAP_CREATE,
        make_attr("IIIIIII16s", kind, key_size, value_size, max_entries, flags, inner_fd, 0, object_name(name)),
    )


def freeze_map(fd: int) -> None:
    """Make a map read-only for user space."""
    bpf(MAP_FREEZE, make_attr("I", fd))


_DELETE_ATTR_BYTES = 16  # up to and with `key`: what follows it must be zero


class MapCalls:
    """Element operations on one map, with buffers made once. `value_bytes`: of the whole value (all CPUs of a per-CPU map)."""

    __slots__ = ("_attr", "_attr_address", "_key", "_next", "_value", "fd", "key_bytes", "value_bytes")

    def __init__(self, fd: int, key_bytes: int, value_bytes: int) -> None:
        self.fd = fd
        self.key_bytes = key_bytes
        self.value_bytes = value_bytes
        self._key = bytearray(key_bytes)
        self._next = bytearray(key_bytes)
        self._value = bytearray(value_bytes)
        self._attr = make_attr("IIQQQ", fd, 0, address_of(self._key), address_of(self._value), 0)
        self._attr_address = address_of(self._attr)

    def _set_key(self, key: bytes) -> None:
        if len(key) != self.key_bytes:
            raise ValueError(f"a key of {len(key)} bytes for a map of {self.key_bytes}-byte keys")
        self._key[:] = key

    def lookup(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        self._set_key(key)
        try:
            syscall(NUMBER, MAP_LOOKUP, self._attr_address, len(self._attr))
        except FileNotFoundError:
            return None
        return bytes(self._value)

    def update(self, key: bytes, value: bytes) -> None:
        """Store `value`, whether or not `key` is there."""
        self._set_key(key)
        if len(value) != self.value_bytes:
            raise ValueError(f"a value of {len(value)} bytes for a map of {self.value_bytes}-byte values")
        self._value[:] = value
        syscall(NUMBER, MAP_UPDATE, self._attr_address, len(self._attr))

    def delete(self, key: bytes) -> bool:
        """Remove `key`; False when it was not there or this kind of map cannot remove."""
        self._set_key(key)
        try:
            syscall(NUMBER, MAP_DELETE, self._attr_address, _DELETE_ATTR_BYTES)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.EINVAL:  # array maps
                return False
            raise
        return True

    def next_key(self, key: bytes | None) -> bytes | None:
        """The key after `key` (None, or a key that is gone: the first), or None at the end."""
        if key is not None:
            self._set_key(key)
        where = 0 if key is None else address_of(self._key)
        attr = make_attr("IIQQQ", self.fd, 0, where, address_of(self._next), 0)
        try:
            bpf(MAP_NEXT_KEY, attr)
        except FileNotFoundError:
            return None
        return bytes(self._next)

    def lookup_batch(self, position: bytearray | None, count: int) -> tuple[bytearray, bytes, bytes, int, bool]:
        """Up to `count` entries from `position` (None: the start): (next position, keys, values, entries, end reached).

        Raises OSError: ENOSPC when one hash bucket holds more than `count`, EINVAL or ENOTSUPP when the map has no batches.
        """
        keys, values = bytearray(count * self.key_bytes), bytearray(count * self.value_bytes)
        after = bytearray(max(self.key_bytes, 4))
        attr = self._batch(0 if position is None else address_of(position), address_of(after), keys, values, count)
        end = False
        try:
            bpf(MAP_LOOKUP_BATCH, attr)
        except FileNotFoundError:
            end = True
        found: int = struct.unpack_from("=I", attr, 32)[0]
        return after, bytes(keys[: found * self.key_bytes]), bytes(values[: found * self.value_bytes]), found, end

    def update_batch(self, keys: bytes, values: bytes, count: int) -> None:
        """Store `count` entries at once. Raises OSError: EINVAL or ENOTSUPP when the map has no batches."""
        held = bytearray(keys), bytearray(values)  # for as long as the call has their addresses
        bpf(MAP_UPDATE_BATCH, self._batch(0, 0, *held, count))

    def _batch(self, position: int, after: int, keys: bytearray, values: bytearray, count: int) -> bytearray:
        return make_attr("QQQQIIQQ", position, after, address_of(keys), address_of(values), count, self.fd, 0, 0)


def has_map_type(kind: int, key_size: int, value_size: int, max_entries: int, flags: int = 0) -> bool | None:
    """Whether the kernel makes such a map; None when we may not ask."""
    try:
        fd = create_map(kind, key_size, value_size, max_entries, flags, "probe")
    except OSError as error:
        return None if error.errno in (errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM) else False
    os.close(fd)
    return True
