"""trace.dat: both versions give the same events in the order of time; anything else is a FormatError."""

import random
import subprocess
import sys

import pytest
from made_trace import Maker
from sample_tracedat import event, extend, page, record, version_6, version_7

from kloupe.base.errors import FormatError, NotSupported, UsageError
from kloupe.ftrace.source import open_trace
from kloupe.ftrace.tracedat import TraceFile
from kloupe.ftrace.tracedat.write import write_trace

LONG = b"n" * 200
CPUS = (
    [
        page(1000, event(5, record(1, 10)), event(20, record(3, 11, LONG))),
        page(5000, extend(1 << 30), event(1, record(9, 10))),
    ],
    [page(1010, event(5, record(2, 11))), page(6000, event(0, record(4, 10)))],
)
EXPECTED = [(1005, 0, 1), (1015, 1, 2), (1025, 0, 3), (6000, 1, 4), (5001 + (1 << 30), 0, 9)]
FILES = {"6": version_6(*CPUS), "7": version_7(*CPUS), "7 not compressed": version_7(*CPUS, compression="none")}


def read(tmp_path, data: bytes) -> TraceFile:
    path = tmp_path / "trace.dat"
    path.write_bytes(data)
    return TraceFile(str(path))


@pytest.mark.parametrize("name", FILES)
def test_events_in_the_order_of_time(tmp_path, name):
    file = read(tmp_path, FILES[name])
    found = list(file.events())
    assert [(e.time_ns, e.cpu, int.from_bytes(e.data[8:12], "little")) for e in found] == EXPECTED
    assert found[2].data[16:216] == LONG
    assert file.formats[77][:2] == ("sched", "wake")
    assert file.comms == {10: "bash", 11: "cat"}
    assert file.clock == ("mono" if name == "6" else "boot")


@pytest.mark.parametrize("name", FILES)
def test_a_script_over_a_trace(tmp_path, name):
    path = tmp_path / "trace.dat"
    path.write_bytes(FILES[name])
    script = 'tracepoint:sched:wake { printf("%d %s %d %s %d\\n", nsecs, comm, args.value, str(args.name, 8), cpu); @[pid] = count(); }'
    command = [sys.executable, "-m", "kloupe", "-q", "--replay", str(path), "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines()[:3] == ["1005 bash 1 x 0", "1015 cat 2 x 1", "1025 cat 3 nnnnnnn 0"]
    assert ("@[10]: 5" in done.stdout) == (name != "6")  # version 7 has the processes saved


@pytest.mark.parametrize("name", FILES)
def test_damage_is_a_format_error(tmp_path, name):
    chance = random.Random(3)
    for number in range(300):
        data = bytearray(FILES[name])
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(min(len(data), 1500) if number % 2 else len(data))] = chance.randrange(256)
        if number % 10 == 0:
            del data[chance.randrange(len(data)) :]
        try:
            list(read(tmp_path, bytes(data)).events())
        except (FormatError, NotSupported):
            continue


def test_other_files(tmp_path):
    with pytest.raises(FormatError, match="not a trace"):
        read(tmp_path, b"hello")
    with pytest.raises(NotSupported, match="version 9"):
        read(tmp_path, FILES["6"].replace(b"tracing6", b"tracing9", 1))
    with pytest.raises(NotSupported, match="lzma"):
        list(read(tmp_path, FILES["7"].replace(b"zlib\0", b"lzma\0", 1)).events())
    with pytest.raises(UsageError):
        TraceFile(str(tmp_path / "none"))


def test_a_trace_has_no_script(tmp_path):
    path = tmp_path / "trace.dat"
    path.write_bytes(FILES["6"])
    done = subprocess.run(
        [sys.executable, "-m", "kloupe", "--replay", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no script of its own" in done.stderr


def test_version_6_refuses_what_it_cannot_hold(tmp_path):
    maker, path = Maker(), tmp_path / "a.dat"
    pages = maker.pages([(1_000_000_000, maker.wake(10, 1, "one"))])
    buffers = [("", [(0, pages)]), ("second", [(0, pages)])]
    with pytest.raises(UsageError, match="these are 2: the main one, second") as caught:
        write_trace(str(path), maker.tables(cpus=1), buffers, version=6)
    assert "--file-version 7" in caught.value.hint and not path.exists()
    write_trace(str(path), maker.tables(cpus=1), buffers, version=7)
    assert [instance.name for instance in open_trace(str(path)).instances] == ["", "second"]
    words = ["-m", "kloupe", "ftrace", "split", str(path), "-o", str(tmp_path / "b.dat"), "--file-version", "6"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "version 6 holds one instance" in done.stderr
    done = subprocess.run([sys.executable, *words, "--instance", "second"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("compression", ["none", "zlib"])
def test_types_with_and_without_their_size(tmp_path, monkeypatch, compression):
    """trace-cmd writes the kernel's BTF as it is; a size may stand before it."""
    maker = Maker()
    tables = maker.tables()
    types = b"\x9f\xeb\x01\x00\x18\x00\x00\x00" + bytes(range(256)) * 1100
    for written in (types, len(types).to_bytes(8, "little") + types):
        tables.btf = written
        write_trace(
            str(tmp_path / "a.dat"), tables, [("", [(0, maker.pages(maker.sample()[0]))])], compression=compression
        )
        assert open_trace(str(tmp_path / "a.dat")).btf() == types
