"""The pieces: packaged formats, emulated instructions, frame tables, filters."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from following import THREADS, build

from kloupe.base.errors import FormatError
from kloupe.binfmt.eh_frame import OFFSET, FrameTable
from kloupe.binfmt.elf import Elf
from kloupe.binfmt.unwind import Layout, evaluate, unwind
from kloupe.engine.ptrace.emulate import does_same_elsewhere, emulate
from kloupe.engine.ptrace.records import RecordLayout
from kloupe.engine.ptrace.tracee import withheld_privileges
from kloupe.host.ptrace import RET_ALLOW, RET_TRACE, make_filter
from kloupe.kernel.packaged import PackagedTarget
from layers import cannot_run

COMPARED = """
from kloupe.cli.machine import live_target
from kloupe.kernel.packaged import OTHER_EVENTS, PackagedTarget
live, ours = live_target(), PackagedTarget()
def fields(target, name):
    return [(f.name, f.offset, f.type.size, f.decl) for f in target.tracepoint(*name).fields
            if not f.name.startswith("common_") and not f.data_loc]
calls = live.tracepoints("syscalls", "*")
known = set(ours.tracepoints("syscalls", "*"))
print(len(calls), sorted(set(calls) - known))
for name in [*sorted(known & set(calls)), *OTHER_EVENTS]:
    pairs = list(zip(fields(live, name), fields(ours, name)))
    if [a[:3] for a, b in pairs] != [b[:3] for a, b in pairs] or not pairs:
        print("WRONG", name)
    elif fields(live, name) != fields(ours, name):
        print("version", name)
"""


def test_packaged_formats_are_the_kernels() -> None:
    """All system calls of this kernel are known; fields have the same names, places and sizes. A newer kernel may add arguments, or spell a type
    otherwise: that is rare."""
    done = subprocess.run([sys.executable, "-c", COMPARED], capture_output=True, text=True, check=False)
    if done.returncode:
        cannot_run(f"no tracefs here: {done.stderr[-200:]}")
    first, *rest = done.stdout.splitlines()
    count, _, unknown = first.partition(" ")
    assert int(count) > 600 and unknown == "[]"
    assert [line for line in rest if line.startswith("WRONG")] == []
    assert len(rest) <= 8


def test_both_architectures_have_their_calls() -> None:
    intel, arm = PackagedTarget("x86_64"), PackagedTarget("aarch64")
    read = ["__syscall_nr", "fd", "buf", "count"]
    for target, prefix in ((intel, "__x64_sys_"), (arm, "__arm64_sys_")):
        found = target.tracepoint("syscalls", "sys_enter_read")
        assert found is not None and [field.name for field in found.fields] == read
        assert list(target.functions("*_sys_read")) == [prefix + "read"]
        calls = dict(target.tracepoints("syscalls", "sys_enter_fadvise*")[:1])
        assert calls == {"syscalls": "sys_enter_fadvise64" if target is intel else "sys_enter_fadvise64_64"}
        numbers = target.arch.syscall_numbers
        served = set(target.call_numbers.values())  # type: ignore[attr-defined]
        # what no kernel serves any more, and the newest
        assert {name for name, number in numbers.items() if number not in served} <= GONE
    assert intel.tracepoint("syscalls", "sys_enter_open") is not None
    assert arm.tracepoint("syscalls", "sys_enter_open") is None
    assert len(arm.tracepoints("syscalls", "*")) > 640


GONE = set(
    [
        "uselib",
        "_sysctl",
        "create_module",
        "get_kernel_syms",
        "query_module",
        "nfsservctl",
        "getpmsg",
        "putpmsg",
        "afs_syscall",
        "tuxcall",
        "security",
        "set_thread_area",
        "get_thread_area",
        "lookup_dcookie",
        "epoll_ctl_old",
        "epoll_wait_old",
        "vserver",
        "rseq_slice_yield",
    ]
)


@pytest.mark.parametrize(
    ("machine", "fourth", "personality"),
    [("x86_64", "child_tidptr", "personality"), ("aarch64", "tls", "arm64_personality")],
)
def test_what_architectures_have_each_in_their_way(machine: str, fourth: str, personality: str) -> None:
    target = PackagedTarget(machine)
    clone = target.tracepoint("syscalls", "sys_enter_clone")
    assert clone is not None and clone.fields[4].name == fourth
    assert target.call_numbers[personality] == target.arch.syscall_numbers["personality"]


def test_records_with_texts() -> None:
    target = PackagedTarget("x86_64")
    found = target.tracepoint("sched", "sched_process_exec")
    assert found is not None
    data = RecordLayout(found.fields).pack((b"/bin/x", 5, 6))
    assert struct.unpack_from("<II", data, 8) == (7 << 16 | 24, 5)
    assert data[24:31] == b"/bin/x\0"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("f30f1efa", {"ip": 0x1004}),
        ("55", {"sp": 0xFF8, "ip": 0x1001}),
        ("4155", {"sp": 0xFF8, "ip": 0x1002}),
        ("4889e5", {"bp": 0x1000, "ip": 0x1003}),
        ("4883ec10", {"sp": 0xFF0, "flags": 0x16 & ~0x10 & ~0x2 | 0x2, "ip": 0x1004}),
        ("90", {"ip": 0x1001}),
        ("0f1f4000", {"ip": 0x1004}),
        ("660f1f840000000000", {"ip": 0x1009}),
        ("c3", {"sp": 0x1008, "ip": 0x2000}),
        ("e8fb0f0000", {"sp": 0xFF8, "ip": 0x2000}),
        ("eb10", {"ip": 0x1012}),
        ("7410", {"ip": 0x1002}),
        ("7510", {"ip": 0x1012}),
        ("0f8500010000", {"ip": 0x1106}),
        ("8b05", None),
    ],
)
def test_emulated_instructions(code: str, changes: dict[str, int] | None) -> None:
    registers = {"sp": 0x1000, "bp": 7, "flags": 2, "r13": 9}
    written: list[tuple[int, bytes]] = []
    found = emulate(
        "x86_64",
        bytes.fromhex(code).ljust(16, b"\xcc"),
        0x1000,
        lambda name: registers[name],
        lambda at, size: (0x2000).to_bytes(size, "little"),
        lambda at, data: not written.append((at, data)),
    )
    assert found == changes
    if code in ("55", "4155"):
        assert written == [(0xFF8, (7 if code == "55" else 9).to_bytes(8, "little"))]


@pytest.mark.parametrize(
    ("code", "same"),
    [("8d447f01", True), ("b801000000", True), ("488b0500000000", False), ("ff2500000000", False), ("ffd0", False), ("0f05", False), ("e800000000", False), ("c5f877", False)],
)  # fmt: skip
def test_instructions_that_may_move(code: str, same: bool) -> None:
    assert does_same_elsewhere("x86_64", bytes.fromhex(code).ljust(16, b"\0")) is same


def test_frame_rules_of_a_function(tmp_path: Path) -> None:
    path = build(tmp_path, THREADS, "-O0", "-fno-omit-frame-pointer", "-s")
    plain = build(tmp_path, THREADS, "-O0", "-fno-omit-frame-pointer")
    with open(plain, "rb") as file:
        from kloupe.kernel.binary import ElfBinary

        symbol = ElfBinary(Elf(file, plain)).symbol("leaf")
    assert symbol is not None and path
    with open(plain, "rb") as file:
        table = FrameTable(Elf(file, plain))
    entry = table.row(symbol.address)
    assert entry is not None
    assert (entry.register, entry.offset, entry.rules[16]) == (7, 8, (OFFSET, -8))
    inside = table.row(symbol.address + symbol.size - 2)
    assert inside is not None
    assert (inside.register, inside.offset, inside.rules[6]) == (6, 16, (OFFSET, -16))
    assert table.row(1) is None


def test_damaged_frame_tables_are_refused_or_empty() -> None:
    with open(sys.executable, "rb") as file:
        whole = file.read()
    with pytest.raises(FormatError):
        FrameTable(Elf(whole[:64] + bytes(len(whole) - 64)))


def test_stack_by_frame_pointers() -> None:
    memory = {0x100: 0x200, 0x108: 0x5000, 0x200: 0, 0x208: 0x6000}
    stack = unwind({7: 0xF0, 6: 0x100}, 0x4000, Layout("x86_64"), lambda at: (None, 0), memory.get)
    assert stack == (0x4000, 0x5000, 0x6000)


def test_expressions() -> None:
    # breg7 8; breg16 0; lit15; and; lit11; ge; lit3; shl; plus: the frame base in a procedure linkage table
    code = bytes.fromhex("770880003f1a3b2a332422")
    assert evaluate(code, {7: 0x1000, 16: 0x4B}, lambda at: None) == 0x1010
    assert evaluate(code, {7: 0x1000, 16: 0x41}, lambda at: None) == 0x1008
    assert evaluate(b"\x06", {}, lambda at: None) is None


def _judge(program: bytes, number: int, arch: int = 0xC000003E, flags: int = 0) -> int:
    """Run a filter as the kernel does."""
    data = struct.pack("<IIQ6Q", number, arch, 0, 0, 0, flags, 0, 0, 0)
    rows = list(struct.iter_unpack("<HBBI", program))
    at = value = 0
    while True:
        code, yes, no, constant = rows[at]
        at += 1
        if code == 0x06:
            return int(constant)
        if code == 0x20:
            value = struct.unpack_from("<I", data, constant)[0]
        else:
            at += yes if (value == constant if code == 0x15 else value & constant) else no


def test_filters_stop_at_wanted_calls_only() -> None:
    code = make_filter("x86_64", [0, 257], exec_mapping=9)
    assert [_judge(code, n) for n in (0, 257, 1, 9)] == [RET_TRACE, RET_TRACE, RET_ALLOW, RET_ALLOW]
    assert _judge(code, 9, flags=5) == RET_TRACE
    assert _judge(code, 0, arch=0x40000003) == RET_ALLOW
    assert [_judge(make_filter("x86_64", None), n) for n in (0, 300, 9999, 0xFFFFFFFF)] == [RET_TRACE] * 4
    assert _judge(make_filter("x86_64", None), 0, arch=0x40000003) == RET_ALLOW


def test_programs_that_would_get_privileges_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "sleep"
    shutil.copy("/bin/sleep", program)
    program.chmod(0o4755)
    child = subprocess.Popen([str(program), "30"])
    try:
        assert withheld_privileges(child.pid) == ""
        monkeypatch.setattr(os, "geteuid", lambda: 4242)  # whose file it is not
        assert withheld_privileges(child.pid) == str(program)
        assert withheld_privileges(0) == ""
    finally:
        child.kill()
        child.wait()
