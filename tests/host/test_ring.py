"""The ring buffer's consumer, on memory laid out as the kernel lays it out."""

import mmap
import os
import random
import struct

import pytest

from kloupe.host.fd import open_files
from kloupe.host.ring import RingReader

PAGE = mmap.PAGESIZE
SIZE = PAGE
BUSY, DISCARD = 1 << 31, 1 << 30


class FakeRing:
    """A ring of SIZE bytes in a memory file: the data is written twice, as the kernel's double mapping shows it."""

    def __init__(self, start: int = 0) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * SIZE)
        self.position = start
        self._set(0, start)
        self._set(PAGE, start)
        self.reader = RingReader(self.fd, SIZE)

    def _set(self, offset: int, value: int) -> None:
        os.pwrite(self.fd, struct.pack("=Q", value), offset)

    def _store(self, at: int, data: bytes) -> None:
        for index, byte in enumerate(data):
            where = (at + index) % SIZE
            os.pwrite(self.fd, bytes([byte]), 2 * PAGE + where)
            os.pwrite(self.fd, bytes([byte]), 2 * PAGE + SIZE + where)

    def put(self, data: bytes, flags: int = 0) -> int:
        at = self.position
        self._store(at, struct.pack("=II", len(data) | flags, 0) + data)
        self.position += (len(data) + 8 + 7) // 8 * 8
        self._set(PAGE, self.position)
        return at

    def commit(self, at: int, length: int) -> None:
        self._store(at, struct.pack("=I", length))

    def consumed(self) -> int:
        return struct.unpack("=Q", os.pread(self.fd, 8, 0))[0]

    def __enter__(self) -> "FakeRing":
        return self

    def __exit__(self, *exc: object) -> None:
        self.reader.close()
        os.close(self.fd)


def test_empty_ring_gives_nothing():
    with FakeRing() as ring:
        assert ring.reader.read() == []
        assert ring.reader.pending_bytes() == 0


def test_records_come_in_order_and_position_advances():
    with FakeRing() as ring:
        sent = [b"a" * 16, b"b" * 3, b"c" * 8, b"", b"d" * 41]
        for data in sent:
            ring.put(data)
        assert ring.reader.pending_bytes() > 0
        assert ring.reader.read() == sent
        assert ring.consumed() == ring.position
        assert ring.reader.read() == []


def test_a_run_of_equal_lengths():
    with FakeRing() as ring:
        sent = [bytes([index]) * 16 for index in range(100)]
        for data in sent:
            ring.put(data)
        assert ring.reader.read() == sent


def test_a_run_is_not_misled_by_data_that_looks_like_a_header():
    with FakeRing() as ring:
        header = struct.pack("=II", 8, 0)
        sent = [b"x" * 8, b"y" * 8, header * 5, b"z" * 8]
        for data in sent:
            ring.put(data)
        assert ring.reader.read() == sent


def test_discarded_records_are_skipped():
    with FakeRing() as ring:
        ring.put(b"one.")
        ring.put(b"gone" * 5, DISCARD)
        ring.put(b"two.")
        assert ring.reader.read() == [b"one.", b"two."]
        assert ring.consumed() == ring.position


def test_reading_stops_at_a_busy_record_and_goes_on_when_it_is_committed():
    with FakeRing() as ring:
        ring.put(b"first")
        at = ring.put(b"second", BUSY)
        ring.put(b"third")
        assert ring.reader.read() == [b"first"]
        assert ring.consumed() == at
        assert ring.reader.read() == []
        ring.commit(at, 6)
        assert ring.reader.read() == [b"second", b"third"]


def test_records_wrap_around():
    with FakeRing(start=7 * SIZE - 24) as ring:
        sent = [bytes([index]) * 16 for index in range(4)]
        for data in sent:
            ring.put(data)
        assert ring.reader.read() == sent


def test_limit_leaves_the_rest():
    with FakeRing() as ring:
        sent = [bytes([index]) * 8 for index in range(20)]
        for data in sent:
            ring.put(data)
        assert ring.reader.read(limit=7) == sent[:7]
        assert ring.reader.read() == sent[7:]


@pytest.mark.parametrize("seed", range(8))
def test_random_streams(seed):
    choose = random.Random(seed)
    with FakeRing(start=choose.randrange(0, 10 * SIZE, 8)) as ring:
        for _ in range(6):
            expected = []
            room = SIZE
            while True:
                data = choose.randbytes(choose.choice((8, 8, 8, 16, 16, choose.randrange(80))))
                room -= (len(data) + 15) // 8 * 8
                if room < 0:
                    break
                drop = choose.random() < 0.1
                ring.put(data, DISCARD if drop else 0)
                if not drop:
                    expected.append(data)
            assert ring.reader.read() == expected


def test_close_leaves_no_descriptor():
    before = open_files()
    with FakeRing() as ring:
        ring.put(b"x")
        ring.reader.read()
    assert open_files() == before
