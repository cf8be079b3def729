"""Kernel symbols from a list."""

from __future__ import annotations

from pathlib import Path

import pytest
from snapshot_sample import SYMBOLS

from kloupe.base.errors import MissingFacts
from kloupe.kernel.kallsyms import Kallsyms


@pytest.fixture
def symbols(tmp_path: Path) -> Kallsyms:
    (tmp_path / "kallsyms").write_text(SYMBOLS)
    return Kallsyms(str(tmp_path / "kallsyms"))


def test_names_to_addresses(symbols: Kallsyms) -> None:
    assert symbols.address("vfs_read") == 0xFFFFFFFF81001000
    assert symbols.address("vfs_read", "ballet") == 0xFFFFFFFFC0001080
    assert symbols.address("vfs_read", "vmlinux") == 0xFFFFFFFF81001000
    assert symbols.address("vfs_rea") is None and symbols.address("fs_read") is None
    assert symbols.address("percpu_thing") is None and symbols.has("percpu_thing")


def test_addresses_to_names(symbols: Kallsyms) -> None:
    assert symbols.lookup(0xFFFFFFFF81001010) == ("vfs_read", 16, "")
    assert symbols.lookup(0xFFFFFFFFC0001004) == ("dance", 4, "ballet")
    assert symbols.lookup(0xFFFFFFFF81000000) == ("_stext", 0, "")
    assert symbols.lookup(0xFFFFFFFF80000000) is None and symbols.lookup(5) is None
    assert symbols.lookup(0xFFFFFFFFF0000000) is None
    forms = [symbols.format(a) for a in (0, 5, 0xFFFFFFFF81001100, 0xFFFFFFFF81001105)]
    assert forms == ["0", "0x5", "vfs_write", "vfs_write+5"]


def test_text_names(symbols: Kallsyms) -> None:
    assert symbols.text_names("vfs_") == [("vfs_read", ""), ("vfs_write", ""), ("vfs_open", ""), ("vfs_read", "ballet")]
    assert ("init_task", "") not in symbols.text_names()


def test_hidden_addresses(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("0000000000000000 T vfs_read\n0000000000000000 T vfs_write\n")
    hidden = Kallsyms(str(tmp_path / "k"))
    assert hidden.address("vfs_read") is None and hidden.has("vfs_read") and hidden.lookup(0xFFFFFFFF81000000) is None


def test_damaged_and_missing(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(b"garbage\n\xff\xff\n T x\nffffffff81000000 T\nffffffff81000010 t ok\n")
    assert Kallsyms(str(tmp_path / "k")).lookup(0xFFFFFFFF81000011) == ("ok", 1, "")
    with pytest.raises(MissingFacts):
        Kallsyms(str(tmp_path / "none")).address("x")
