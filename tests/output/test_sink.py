"""Writing: buffering, readers that go away, full disks; names of flags, errors and signals."""

from __future__ import annotations

import os

import pytest

from kloupe.output.model import Place
from kloupe.output.report import excerpt, message_line
from kloupe.output.sink import OutputError, Sink
from kloupe.output.tables import errno_text, gfp_text, signal_text


@pytest.mark.parametrize(
    ("mode", "after_write", "after_tick"), [("line", b"", b"x"), ("none", b"x", b"x"), ("full", b"", b"")]
)
def test_buffering(tmp_path, mode, after_write, after_tick):
    path = tmp_path / "out"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    sink = Sink(fd, mode)
    sink.write(b"x")
    assert path.read_bytes() == after_write
    sink.tick()
    assert path.read_bytes() == after_tick
    sink.flush()
    assert path.read_bytes() == b"x"
    os.close(fd)


def test_reader_gone():
    read, write = os.pipe()
    os.close(read)
    sink = Sink(write, "none")
    with pytest.raises(OutputError) as caught:
        sink.write(b"x")
    assert caught.value.reader_gone and caught.value.exit_status == 141
    sink.write(b"y")  # dropped without another complaint
    os.close(write)


def test_full_disk():
    fd = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OutputError, match="No space left on device") as caught:
        Sink(fd, "none").write(b"x")
    assert not caught.value.reader_gone
    os.close(fd)


def test_names_of_numbers():
    assert [errno_text(n) for n in (0, 1, -2, 5, 41, 9999)] == [
        "Success", "Operation not permitted", "No such file or directory", "I/O error", "Unknown error", "Unknown error",
    ]  # fmt: skip
    assert [signal_text(n) for n in (9, 10, 99, 0, 32, 34)] == [
        "Killed", "User defined signal 1", "N/A", "Unknown signal 0", "Unknown signal 32", "Real-time signal 0",
    ]  # fmt: skip
    assert gfp_text(0xCC0 | 0x100) == "GFP_KERNEL|__GFP_ZERO"


def test_messages_with_excerpt():
    place = Place("stdin", 1, 3, 5, "\ta\tb c")
    assert excerpt(place) == "    a    b c\n     ~~~~~\n"
    assert message_line("WARNING", "w\n", place) == "stdin:1:3-5: WARNING: w\n"
    assert message_line("ERROR", "e", color=True) == "\033[31mERROR: e\033[0m\n"
