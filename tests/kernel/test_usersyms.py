"""User symbols of a process that the test starts."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kloupe.kernel.usersyms import UserSymbols, parse_maps


def test_parse_maps() -> None:
    text = (
        "7f00-8f00 r--p 00000000 08:01 5   /lib/a.so\n"
        "00400000-00401000 r-xp 00001000 08:01 9                          /bin/with space (deleted)\n"
        "00500000-00501000 r-xp 00000000 00:00 0 \n"
        "broken line\nzz-yy r-xp 0 0:0 0 x\n"
    )
    first, second = parse_maps(text)
    assert (first.start, first.end, first.offset, first.path) == (0x400000, 0x401000, 0x1000, "/bin/with space")
    assert second.path == "" and first.key == ("08:01", "9")


def test_own_process() -> None:
    libc = ctypes.CDLL(None)
    address = ctypes.cast(libc.getpid, ctypes.c_void_p).value
    assert address is not None
    symbols = UserSymbols(os.getpid())
    found = symbols.lookup(address + 1)
    assert found is not None and "getpid" in found[0] and found[1] == 1 and "libc" in found[2]
    assert symbols.lookup(5) is None and symbols.format(5) == "0x5"
    assert symbols.format(address).endswith("getpid+0")
    assert symbols.format(address, show_path=True).endswith(".so.6)")


def test_vdso() -> None:
    mapping = next((m for m in parse_maps(Path("/proc/self/maps").read_text()) if m.path == "[vdso]"), None)
    if mapping is None:
        pytest.skip("needs a vDSO")
    symbols = UserSymbols(os.getpid())
    names = {found[0] for at in range(mapping.start, mapping.end, 16) if (found := symbols.lookup(at)) is not None}
    assert any("clock_gettime" in name for name in names)


def test_after_the_end() -> None:
    code = "import ctypes,sys; print(ctypes.cast(ctypes.CDLL(None).getppid, ctypes.c_void_p).value, flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        address = int(child.stdout.readline())
        symbols = UserSymbols(child.pid)
        symbols.preload()
    finally:
        child.communicate()
    found = symbols.lookup(address + 2)
    assert found is not None and "getppid" in found[0] and found[1] == 2
    assert UserSymbols(child.pid).lookup(address) is None
