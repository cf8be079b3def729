"""The file: read back to its last complete block, whatever happened to the rest; damage is a FormatError."""

import json
import random
import tracemalloc
from contextlib import suppress

import pytest
from scripted import READ, read_call, record, replay

from kloupe.base.errors import FormatError, UsageError
from kloupe.recording import write
from kloupe.recording.format import ANSWERS, END, RUNS, STACKS, encode_block
from kloupe.recording.meta import read_meta
from kloupe.recording.read import Recording
from kloupe.recording.write import RecordingWriter


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


def test_cut_at_any_byte_it_is_read_to_the_last_complete_block(recorded, tmp_path):
    """Blocks of 1, 2, 3, ... runs; every length of the file."""
    meta = Recording(str(recorded))
    (chunk,) = meta.chunks()
    run = chunk[: int.from_bytes(chunk[:4], "little")]
    path = tmp_path / "many.klr"
    writer = RecordingWriter(str(path))
    writer.begin(meta.meta, b"")
    ends = {path.stat().st_size: 0}  # length of the file -> runs in it
    for number in range(1, 6):
        for _ in range(number):
            writer.add_run(run)
        writer.flush()
        ends[path.stat().st_size] = writer.runs
    writer.close()
    data = path.read_bytes()
    whole = len(data)
    known = 0
    for size in range(min(ends), whole):
        known = ends.get(size, known)
        path.write_bytes(data[:size])
        found = Recording(str(path))
        assert not found.complete
        assert len(list(found.runs())) == known
    assert known == 15
    for size in range(min(ends)):  # before its description is there, it is none
        path.write_bytes(data[:size])
        with suppress(FormatError):
            assert list(Recording(str(path)).runs()) == []
    with pytest.raises(FormatError, match="before its description"):
        path.write_bytes(data[:20])
        Recording(str(path))


def test_memory_of_the_writer_is_bounded(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_MOST_KNOWN", 1 << 11)
    monkeypatch.setattr(write, "_MOST_WAITING", 1 << 9)
    monkeypatch.setattr(write, "_BLOCK_BYTES", 1 << 16)
    meta = Recording(str(recorded)).meta
    writer = RecordingWriter(str(tmp_path / "large.klr"))
    writer.begin(meta, b"")
    record = bytes(400)
    tracemalloc.start()
    for number in range(20_000):
        writer.add_run(record)
        writer.add_answer("ksym", [number], ["a_function", 5])
        writer.add_stack(0, number, (1, 2, 3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    writer.close()
    assert peak < 2 << 20
    found = Recording(str(tmp_path / "large.klr"))
    assert (found.complete, found.summary["runs"], len(found.stacks)) == (True, 20_000, 20_000)
    assert found.answer("ksym", [19_999]) == found.answer("ksym", [0]) == ["a_function", 5]
    assert (tmp_path / "large.klr").stat().st_size < 20_000 * 400 // 10


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


TAMPERED = {
    "clocks": {"clocks": {"monotonic": -1, "boot": 0, "tai": 0, "wall": 0}},
    "task": {"task": {"pid": 1}},
    "cpus": {"cpus": 10**12},
    "formats": {"formats": {"a:b": 1}},
    "stack_maps": {"stack_maps": [".ustack_x9x"]},
    "points": {"points": [[1]]},
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_description_with_impossible_values_is_refused(recorded, tmp_path, name):
    """Checksums hold against accidents, not against whoever wrote the file."""
    meta = Recording(str(recorded)).meta
    fields = json.loads(meta.to_bytes()) | TAMPERED[name]
    with pytest.raises(FormatError, match=f"not a recording's .*{name}"):
        read_meta(json.dumps(fields).encode(), "f")


@pytest.mark.parametrize(
    "kind, content",
    [
        (STACKS, [[0, 1, [-1]]]),
        (STACKS, [[0, 1, [1 << 64]]]),
        (ANSWERS, [["ksym", [1], ["name", "x"]]]),
        (ANSWERS, [["file", ["61"], [None, 1]]]),
        (ANSWERS, [["command", ["61"], "no hex"]]),
        (ANSWERS, [["time", [], -1]]),
        (ANSWERS, [[None, [], 1]]),
        (END, {"runs": None}),
    ],
)
def test_facts_that_cannot_be_are_refused(recorded, tmp_path, kind, content):
    path = tmp_path / "facts.klr"
    data = recorded.read_bytes()
    path.write_bytes(data[: data.index(encode_block(RUNS, b"")[:8])] + encode_block(kind, json.dumps(content).encode()))
    with pytest.raises(FormatError, match="not what it should be"):
        Recording(str(path))


def test_answers_of_later_versions_are_left_alone(recorded, tmp_path):
    path = tmp_path / "later.klr"
    data = recorded.read_bytes()
    later = json.dumps([["colour", [1], {"any": "thing"}]]).encode()
    path.write_bytes(data[: data.index(encode_block(RUNS, b"")[:8])] + encode_block(ANSWERS, later))
    assert Recording(str(path)).answer("colour", [1]) == {"any": "thing"}
