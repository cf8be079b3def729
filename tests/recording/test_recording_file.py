"""The file: read back to its last complete block, whatever happened to the rest; damage is a FormatError."""

import random

import pytest
from scripted import READ, read_call, record, replay

from kloupe.base.errors import FormatError, UsageError
from kloupe.recording.format import RUNS, encode_block
from kloupe.recording.read import Recording


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "r.klr"
    record(str(path), f"{READ} {{ @ = str(args.buf); }}", [read_call() for _ in range(20)])
    return path


def test_a_whole_recording(recorded):
    recording = Recording(str(recorded))
    assert recording.complete
    assert recording.summary["runs"] == 20
    assert len(list(recording.runs())) == 20
    assert recording.meta.points == [[READ]]
    assert recording.meta.script["text"].startswith(READ)


def test_a_recording_that_was_cut_anywhere_is_read_up_to_there(recorded, tmp_path):
    data = recorded.read_bytes()
    first = data.index(encode_block(RUNS, b"")[:8])
    cut = tmp_path / "cut.klr"
    for size in range(first, len(data), 7):
        cut.write_bytes(data[:size])
        recording = Recording(str(cut))
        assert not recording.complete
        assert len(list(recording.runs())) in (0, 20)
    _, messages = replay(str(cut))
    assert "cut off" in messages[-1]


@pytest.mark.parametrize("part", range(1, 8))
def test_damage_is_found(recorded, tmp_path, part):
    data = bytearray(recorded.read_bytes())
    data[len(data) * part // 9] ^= 0x10
    broken = tmp_path / "broken.klr"
    broken.write_bytes(data)
    with pytest.raises(FormatError):
        list(Recording(str(broken)).runs())


def test_random_damage_raises_nothing_else(recorded, tmp_path):
    data = recorded.read_bytes()
    broken = tmp_path / "broken.klr"
    chance = random.Random(1)
    for _ in range(200):
        copy = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            copy[chance.randrange(len(copy))] = chance.randrange(256)
        broken.write_bytes(copy)
        try:
            recording = Recording(str(broken))
            assert len(list(recording.runs())) in (0, 20)
            assert recording.image.programs
        except FormatError:
            continue


def test_records_that_lie_about_their_length(recorded, tmp_path):
    data = recorded.read_bytes()
    path = tmp_path / "odd.klr"
    chance = random.Random(2)
    runs = b"".join(Recording(str(recorded)).chunks())
    for _ in range(100):
        copy = bytearray(runs)
        copy[chance.randrange(len(copy))] = chance.randrange(256)
        path.write_bytes(data + encode_block(RUNS, bytes(copy)))
        try:
            replay(str(path))
        except FormatError:
            continue


def test_other_files_are_no_recordings(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"hello, this is text")
    with pytest.raises(FormatError, match="not a kloupe recording"):
        Recording(str(path))
    path.write_bytes(b"KLOUREC\x63")
    with pytest.raises(FormatError, match="format 99"):
        Recording(str(path))
    with pytest.raises(UsageError, match="cannot read"):
        Recording(str(tmp_path / "missing"))
