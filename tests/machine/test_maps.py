"""Maps: the kernel's errors, stable addresses, per-CPU values, LRU, stacks, the ring buffer."""

from __future__ import annotations

import struct
from errno import E2BIG, EEXIST, EINVAL, ENOENT

import pytest

from kloupe.base.errors import NotSupported, TargetError
from kloupe.engine.machine.engine import MAP_CLASSES
from kloupe.engine.machine.maps import CurrentCpu, HashMap, Map, StackTraceMap
from kloupe.engine.machine.memory import AccessFault, AddressSpace
from kloupe.engine.machine.ringbuf import RingBuffer
from kloupe.image import MapSpec

ANY, NOEXIST, EXIST = 0, 1, 2


def key(number: int) -> bytes:
    return struct.pack("=I", number)


def value(number: int) -> bytes:
    return struct.pack("=Q", number)


def make(kind: str, entries: int = 2, cpus: int = 1, **options: object) -> Map:
    spec = MapSpec("@", kind, 4, 8, entries, **options)  # type: ignore[arg-type]
    return MAP_CLASSES[kind](spec, AddressSpace(), CurrentCpu(cpus))


def test_array() -> None:
    array = make("array", initial=value(7))
    assert list(array.items()) == [(key(0), value(7)), (key(1), value(0))]
    assert array.put(key(2), value(1), ANY) == -E2BIG
    assert array.put(key(1), value(1), NOEXIST) == -EEXIST
    assert array.put(key(1), value(1), 3) == -EINVAL
    assert array.put(key(1), value(9), EXIST) == 0
    assert array.lookup(key(1)) == value(9)
    assert array.find(key(2)) == 0
    assert array.drop(key(0)) == -EINVAL
    assert not array.delete(key(0))
    assert array.find(key(1)) == array.find(key(0)) + 8


def test_read_only_array_is_written_by_user_space_only() -> None:
    array = make("array", read_only=True)
    with pytest.raises(AccessFault, match="map @ is read-only"):
        array.space.write(array.find(key(0)), b"x")
    array.update(key(0), value(3))
    assert array.lookup(key(0)) == value(3)


def test_hash() -> None:
    table = make("hash")
    assert table.put(key(1), value(1), EXIST) == -ENOENT
    assert table.put(key(1), value(1), NOEXIST) == 0
    assert table.put(key(1), value(1), NOEXIST) == -EEXIST
    assert table.put(key(2), value(2), ANY) == 0
    assert table.put(key(3), value(3), ANY) == -E2BIG
    assert table.put(key(2), value(22), ANY) == 0
    assert dict(table.items()) == {key(1): value(1), key(2): value(22)}
    assert table.drop(key(3)) == -ENOENT
    assert table.delete(key(1)) and not table.delete(key(1))
    assert table.find(key(1)) == 0
    assert table.put(key(3), value(3), ANY) == 0
    with pytest.raises(TargetError, match="cannot take the key 09000000"):
        table.update(key(9), value(9))


def test_hash_values_stay_where_they_are_and_apart() -> None:
    table = make("hash", entries=100)
    table.put(key(1), value(1), ANY)
    address = table.find(key(1))
    for number in range(2, 50):
        table.put(key(number), value(number), ANY)
    assert table.find(key(1)) == address
    table.space.write(address, value(5))
    assert table.lookup(key(1)) == value(5)
    with pytest.raises(AccessFault, match="outside of a value of map @"):
        table.space.read(address, 9)


def test_large_hash_shares_regions() -> None:
    table = make("hash", entries=100_000)
    for number in range(1000):
        assert table.put(key(number), value(number), ANY) == 0
    assert len({table.find(key(number)) for number in range(1000)}) == 1000
    assert [table.lookup(key(number)) for number in (0, 255, 256, 999)] == [value(n) for n in (0, 255, 256, 999)]


@pytest.mark.parametrize("kind", ["percpu_hash", "percpu_array", "lru_percpu_hash"])
def test_per_cpu_values(kind: str) -> None:
    table = make(kind, cpus=3)
    table.cpu.number = 1
    table.put(key(0), value(11), ANY)
    assert table.per_cpu_lookup(key(0)) == [value(0), value(11), value(0)]
    first = table.find(key(0))
    table.cpu.number = 2
    assert table.find(key(0)) == first + 8 == (table.finder()(key(0)) or 0)
    table.put(key(0), value(22), ANY)
    assert table.per_cpu_lookup(key(0)) == [value(0), value(11), value(22)]
    assert table.find_on_cpu(key(0), 1) == first
    assert table.find_on_cpu(key(0), 3) == 0
    table.update(key(0), value(5))
    assert dict(table.per_cpu_items())[key(0)] == [value(5)] * 3


def test_per_cpu_hash_clears_reused_memory() -> None:
    table = make("percpu_hash", entries=1, cpus=2)
    table.update(key(1), value(9))
    table.delete(key(1))
    table.put(key(2), value(1), ANY)
    assert table.per_cpu_lookup(key(2)) == [value(1), value(0)]


def test_lru_drops_what_was_not_used_for_longest() -> None:
    table = make("lru_hash")
    table.put(key(1), value(1), ANY)
    table.put(key(2), value(2), ANY)
    table.find(key(1))
    assert table.put(key(3), value(3), ANY) == 0
    assert sorted(table.all_keys()) == [key(1), key(3)]
    table.put(key(1), value(4), ANY)
    table.put(key(5), value(5), ANY)
    assert dict(table.items()) == {key(1): value(4), key(5): value(5)}


def stacks(entries: int = 1024, depth: int = 4) -> StackTraceMap:
    return StackTraceMap(MapSpec("stacks", "stack_trace", 4, 8 * depth, entries), AddressSpace(), CurrentCpu())


def test_stacks_are_stored_once_and_padded() -> None:
    table = stacks()
    number = table.store((1, 2, 3), 0)
    assert number >= 0 and table.store((1, 2, 3), 0) == number
    assert table.store((9, 1, 2, 3), 1) == number
    assert table.lookup(key(number)) == struct.pack("=4Q", 1, 2, 3, 0)
    assert table.lookup(key(table.store(tuple(range(10)), 2))) == struct.pack("=4Q", 2, 3, 4, 5)
    assert next(iter(table.items()))[0] == key(number)
    assert table.delete(key(number)) and table.lookup(key(number)) is None
    with pytest.raises(NotSupported):
        table.update(key(0), bytes(32))


def test_stacks_that_meet_in_a_bucket() -> None:
    table = stacks(entries=1)
    assert table.store((1, 2), 0) == 0
    assert table.store((3, 4), 0) == -EEXIST
    assert table.store((3, 4), StackTraceMap.REUSE_STACKID) == 0
    assert table.lookup(key(0)) == struct.pack("=4Q", 3, 4, 0, 0)


def ring(capacity: int = 4096) -> RingBuffer:
    return RingBuffer(MapSpec(".events", "ringbuf", 0, 0, capacity), AddressSpace(), CurrentCpu())


def test_ring_gives_records_in_the_order_of_reservation() -> None:
    buffer = ring()
    first, second, third = (buffer.reserve(8, 0) for _ in range(3))
    for address, number in ((first, 1), (second, 2), (third, 3)):
        buffer.space.write(address, value(number))
    assert buffer.finish(third, True)
    assert buffer.drain() == []
    assert buffer.finish(second, False)
    assert buffer.finish(first, True)
    assert buffer.drain() == [value(1), value(3)]
    assert not buffer.open


def test_ring_finishes_a_record_once_and_then_forgets_it() -> None:
    buffer = ring()
    address = buffer.reserve(8, 0)
    assert buffer.finish(address, True)
    assert not buffer.finish(address, True)
    assert not buffer.finish(address + 8, True)
    with pytest.raises(AccessFault):
        buffer.space.write(address, value(1))


def test_ring_counts_headers_and_unread_records() -> None:
    buffer = ring(64)
    assert buffer.reserve(57, 0) == 0
    assert buffer.reserve(8, 1) == 0
    addresses = [buffer.reserve(9, 0), buffer.reserve(17, 0)]  # 24 + 32 bytes
    assert all(addresses) and buffer.reserve(1, 0) == 0
    for address in addresses:
        buffer.finish(address, True)
    assert buffer.output(b"12345678", 0) < 0
    assert buffer.query(0) == 56 and buffer.query(1) == 64 and buffer.query(2) == 0 and buffer.query(3) == 56
    assert [len(record) for record in buffer.drain()] == [9, 17]
    assert buffer.query(0) == 0 and buffer.query(2) == 56
    assert buffer.output(b"12345678", 0) == 0
    assert buffer.output(b"1", 4) == -EINVAL
    assert buffer.drain() == [b"12345678"]


def test_ring_records_are_copies() -> None:
    buffer = ring()
    for number in range(3):
        address = buffer.reserve(8, 0)
        buffer.space.write(address, value(number))
        buffer.finish(address, True)
    assert buffer.drain() == [value(0), value(1), value(2)]


def test_hash_is_what_the_table_says() -> None:
    assert MAP_CLASSES["hash"] is HashMap and MAP_CLASSES["ringbuf"] is RingBuffer
