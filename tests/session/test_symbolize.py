"""Names of the live machine: stacks, times, users, cgroups; processes remembered in time."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

from fake_engine import FakeEngine, event, hash_map, image

from kloupe.base import ctype as c
from kloupe.image import MapSpec
from kloupe.session.pids import PidKeeper, pid_places
from kloupe.session.symbolize import LiveNames, wall_text
from kloupe.session.symbols import MachineSymbols


class Symbols:
    def __init__(self):
        self.remembered = []

    def kernel(self, address):
        return ("f", address - 0x1000) if 0x1000 <= address < 0x2000 else None

    def user(self, pid, address, binary):
        return ("g", 23, "/bin/x") if (pid, address) == (7, 0x500) else None

    def remember(self, pid, *, files=True):
        self.remembered.append(pid)


def live(*addresses, mode="bpftrace", user=False, limit=4):
    engine = FakeEngine()
    name = f".{'u' if user else 'k'}stack_{limit}"
    engine.load(image(maps=[MapSpec(name, "stack_trace", 4, 8 * limit, 16)]))
    engine.maps[name].cells[struct.pack("<I", 5)] = struct.pack(
        f"<{limit}Q", *addresses, *[0] * (limit - len(addresses))
    )
    return LiveNames(("/bin/x",), engine, Symbols(), {"read": 0}), c.Stack(user, mode, limit)


def test_kernel_stacks():
    names, stack = live(0x1000, 0x1017, 0x9000)
    assert names.stack(stack, (5, 0, 2**64 - 1)) == "\n        f+0\n        f+23\n        0x9000\n"
    assert names.stack(stack, (-14, 0, 0)) == "\n"
    names, stack = live(0x1000, 0x9000, mode="perf")
    assert names.stack(stack, (5, 0, 0)) == "\n\t1000 f+0\n\t9000 0x9000\n"
    names, stack = live(0x1000, mode="raw")
    assert names.stack(stack, (5, 0, 0)) == "\n1000\n"


def test_kernel_stacks_with_places_of_a_tree():
    names, stack = live(0x1000, 0x1017, 0x9000)
    names.places = {"f": "fs/f.c:12"}
    assert names.stack(stack, (5, 0, 0)) == "\n        f+0@fs/f.c:12\n        f+23@fs/f.c:12\n        0x9000\n"
    names, stack = live(0x1000)
    names.places = {"f": ""}
    assert names.stack(stack, (5, 0, 0)) == "\n        f+0\n"
    names, stack = live(0x500, user=True)
    names.places = {}
    assert names.stack(stack, (5, 7, 0)) == "\n        g+23\n"


def test_user_stacks():
    names, stack = live(0x500, 0x600, user=True)
    assert names.stack(stack, (5, 7, 0)) == "\n        g+23\n        0x600\n"
    assert names.stack(stack, (5, 8, 0)) == "\n        0x500\n        0x600\n"  # another process, another answer
    names, stack = live(0x500, 0x600, user=True, mode="perf")
    assert names.stack(stack, (5, 7, 0)) == "\n\t500 g+23 (/bin/x)\n\t600 0x600 ([unknown])\n"


def test_symbols_users_times_and_syscalls():
    names, _ = live()
    assert [names.kernel_symbol(a) for a in (0, 0x1004, 5)] == ["0", "f", "0x5"]
    assert [names.user_symbol(a, 7, "") for a in (0, 0x500, 6)] == ["0", "g", "0x6"]
    assert (names.username(0), names.username(2**31 - 7)) == ("root", "")
    assert (names.syscall_name(0), names.syscall_name(99999)) == ("read", "Unknown syscall")
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert abs(int(names.timestamp(now, "%s", 0)) - time.time()) < 2
    assert abs(int(names.timestamp(time.time_ns(), "%s", 1)) - time.time()) < 40  # tai without leap seconds, if set
    micros, millis, nanos = names.timestamp(now, "%f %l %k", 0).split()
    assert (
        (len(micros), len(millis), len(nanos)) == (6, 3, 9) and nanos.startswith(micros) and micros.startswith(millis)
    )
    assert wall_text("%Y", 86400 * 365) == "1971" and wall_text("%Y", 1 << 70) == "(?)"


def test_cgroups():
    names, _ = live()
    assert names.cgroup_path(0xFFFF_FFFF_FFFF, "") == ""
    root = "/sys/fs/cgroup"
    if os.path.exists(f"{root}/cgroup.controllers"):
        assert "unified:/" in names.cgroup_path(os.stat(root).st_ino, "").split(",")
        assert names.cgroup_path(os.stat(root).st_ino, "nomatch") == ""


def test_pids_in_maps_are_remembered():
    key = c.Tuple((c.INT64, c.Stack(True)))
    assert pid_places(key) == [(16, "Q")] and pid_places(c.Stack(False)) == []
    engine, symbols = FakeEngine(), Symbols()
    made = image(maps=[hash_map("@", key, c.Aggregate("count"), per_cpu=True), hash_map("@u", c.INT64, c.USYM)])
    engine.load(made)
    engine.maps["@"].cells[struct.pack("<qqQQ", 1, 5, 77, 0)] = [bytes(8)] * 2
    engine.maps["@u"].cells[bytes(8)] = struct.pack("<QII", 1, 88, 0)
    keeper = PidKeeper(made, engine, symbols, [3], "<")
    keeper.look(now=True)
    keeper.look(now=True)
    assert symbols.remembered == [3, 77, 88, 3]


def test_pids_in_records_are_remembered_before_printing():
    stack, number = c.Stack(True), c.INT64
    made = image(
        events=[event(0, "printf", [number, stack], format="%d %s"), event(1, "printf", [number], format="%d")]
    )
    symbols = Symbols()
    keeper = PidKeeper(made, FakeEngine(), symbols, [], "<")
    sent = struct.pack("<IIqqQQ", 0, 0, 5, 1, 77, 0)
    keeper.meet_records([struct.pack("<IIq", 1, 0, 78), sent, sent])
    assert symbols.remembered == [77]


def test_no_user_names_no_work():
    made = image(maps=[hash_map("@", c.INT64, c.INT64)], events=[event(0, "printf", [c.INT64], format="%d")])
    keeper = PidKeeper(made, FakeEngine(), Symbols(), [3], "<")
    assert not keeper.active


def test_own_process_symbols_after_its_end():
    symbols = MachineSymbols()
    pid = os.posix_spawnp("sleep", ["sleep", "10"], os.environ)
    try:
        deadline = time.monotonic() + 5
        maps = Path(f"/proc/{pid}/maps")
        while "libc" not in maps.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        line = next(x for x in maps.read_text().splitlines() if "libc" in x and "r-xp" in x)
        symbols.remember(pid)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    start, end = (int(part, 16) for part in line.split()[0].split("-"))
    found = [symbols.user(pid, address, "") for address in range(start, end, (end - start) // 50)]
    assert any(entry and "libc" in entry[2] for entry in found)
    assert symbols.user(1 << 22, 5, "") is None
