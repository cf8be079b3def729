"""What a probe's binary part names."""

from __future__ import annotations

import os
import platform
import struct
import sys
from pathlib import Path

import pytest

from kloupe.kernel.libraries import is_elf, mapped_files, read_ld_cache, resolve

MACHINE = platform.machine()


def test_programs_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "mytool"
    tool.write_bytes(b"\x7fELF" + bytes(60))
    tool.chmod(0o755)
    (tmp_path / "myscript").write_text("#!/bin/sh\n")
    (tmp_path / "myscript").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert resolve("mytool", MACHINE) == [str(tool)] == resolve(str(tool), MACHINE)
    assert resolve("my*", MACHINE) == [str(tool)] == resolve(f"{tmp_path}/my*", MACHINE)
    assert resolve("mytools", MACHINE) == [] == resolve(f"{tmp_path}/none", MACHINE) == resolve("", MACHINE)
    monkeypatch.chdir(tmp_path)
    assert resolve("./mytool", MACHINE) == ["./mytool"]


def test_libc() -> None:
    found = resolve("libc.so.6", MACHINE)
    if not found:
        pytest.skip("needs glibc")
    assert resolve("libc", MACHINE) == found and is_elf(found[0])
    assert resolve("libc", MACHINE, os.getpid())[0].endswith("libc.so.6")
    assert resolve(sys.executable, MACHINE, os.getpid()) == [sys.executable]


def test_mapped_files() -> None:
    found = mapped_files(os.getpid())
    assert os.path.realpath(sys.executable) in [os.path.realpath(path) for path in found]
    assert all(is_elf(path) for path in found) and mapped_files(1 << 29) == []


def test_cache(tmp_path: Path) -> None:
    strings = b"libx.so.1\0/opt/libx.so.1\0"
    start = 48 + 2 * 24
    rows = struct.pack("<iIIIQ", 0x0303, start, start + 10, 0, 0) + struct.pack("<iIIIQ", 3, start, start + 10, 0, 0)
    data = b"glibc-ld.so.cache1.1" + struct.pack("<II", 2, len(strings)) + bytes(20) + rows + strings
    path = tmp_path / "cache"
    path.write_bytes(data)
    assert read_ld_cache(str(path), "x86_64") == [("libx.so.1", "/opt/libx.so.1")]
    assert read_ld_cache(str(path), "aarch64") == [] == read_ld_cache(str(tmp_path / "none"), "x86_64")
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        read_ld_cache(str(path), "x86_64")
    path.write_bytes(data.replace(struct.pack("<II", 2, len(strings)), struct.pack("<II", 0xFFFFFFFF, 7)))
    assert ("libx.so.1", "/opt/libx.so.1") in read_ld_cache(str(path), "x86_64")
