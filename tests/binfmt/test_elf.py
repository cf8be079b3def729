"""ELF reading: headers, symbols, separate tables; against readelf where it is to be had."""

from __future__ import annotations

import lzma
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from elf_samples import SOURCE, build

from kloupe.base.errors import FormatError, KloupeError, MissingFacts
from kloupe.binfmt.elf import Elf, debug_file
from kloupe.binfmt.symtab import SymbolTable, read_debugdata, read_dynsym, read_symtab
from kloupe.kernel.binary import ElfBinary, open_binary


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(tmp_path_factory.mktemp("elf"), "sample", SOURCE, "-g", "-O0", "-Wl,--build-id")


def readelf_functions(path: str, table: str) -> dict[str, tuple[int, int]]:
    if shutil.which("readelf") is None:
        pytest.skip("needs readelf")
    text = subprocess.run(["readelf", "-sW", path], check=True, capture_output=True, text=True).stdout
    part = text.split(f"Symbol table '{table}'", 1)
    found = {}
    for line in (part[1] if len(part) > 1 else "").split("Symbol table", 1)[0].splitlines():
        row = re.match(r"\s*\d+: (\w+)\s+(\w+) (?:FUNC|IFUNC)\s+\w+\s+\w+\s+(\d+) ([^@\s]+)", line)
        if row:
            size = int(row[2], 16) if row[2].startswith("0x") else int(row[2])
            found[row[4]] = (int(row[1], 16), size)
    return found


def test_symbols_as_readelf_lists_them(program: str) -> None:
    expected = readelf_functions(program, ".symtab")
    assert "visit" in expected
    with open(program, "rb") as file:
        ours = {row.name: (row.address, row.size) for row in read_symtab(Elf(file, program)).functions()}
    assert ours == expected


def test_system_library_as_readelf_lists_it() -> None:
    path = next((p for p in Path("/usr/lib").glob("*/libstdc++.so.6")), None)
    if path is None:
        pytest.skip("needs a libstdc++")
    expected = readelf_functions(str(path), ".dynsym")
    with open(path, "rb") as file:
        ours = {row.name: (row.address, row.size) for row in read_dynsym(Elf(file, str(path))).functions()}
    assert ours == expected and len(ours) > 1000


def test_symbol_lookup(program: str) -> None:
    binary = open_binary(program)
    visit = binary.symbol("visit")
    assert visit is not None and visit.is_function and visit.size > 0
    assert visit.file_offset == binary.offset_of_address(visit.address)
    assert binary.symbol_at(visit.file_offset + visit.size - 1) == visit
    counter = binary.symbol("counter")
    assert counter is not None and not counter.is_function
    assert binary.symbol("visi") is None and binary.symbol("") is None and binary.symbol("printf") is None
    assert [s.name for s in binary.symbols("[hm]*er")] == ["helper"]
    assert binary.offset_of_address(1 << 60) is None and binary.symbol_at(1 << 60) is None
    build_id = binary.elf.build_id
    assert re.fullmatch("[0-9a-f]{40}", build_id)


def test_stripped_file_finds_its_symbols_in_debugdata_and_debug_files(program: str, tmp_path: Path) -> None:
    if shutil.which("objcopy") is None:
        pytest.skip("needs objcopy")
    stripped, packed = str(tmp_path / "stripped"), tmp_path / "symbols"
    subprocess.run(["objcopy", "--only-keep-debug", program, str(packed)], check=True)
    (tmp_path / "symbols.xz").write_bytes(lzma.compress(packed.read_bytes()))
    subprocess.run(["objcopy", "-S", program, stripped], check=True)
    assert open_binary(stripped).symbol("helper") is None
    mini = str(tmp_path / "mini")
    subprocess.run(["objcopy", f"--add-section=.gnu_debugdata={packed}.xz", stripped, mini], check=True)
    binary = open_binary(mini)
    found, original = binary.symbol("helper"), open_binary(program).symbol("helper")
    assert found is not None and found == original
    assert any(row.name == "helper" for row in read_debugdata(binary.elf).functions())
    linked = str(tmp_path / "linked")
    debug = tmp_path / ".debug" / "sample.debug"
    debug.parent.mkdir()
    debug.write_bytes(packed.read_bytes())
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", stripped, linked], check=True)
    with open(linked, "rb") as file:
        assert debug_file(Elf(file, linked)) == str(debug)
    assert open_binary(linked).symbol("helper") == original
    assert open_binary(linked).struct("struct", "node") is not None
    symbols = tmp_path / "symbols-of-it"
    symbols.mkdir()
    (symbols / "stripped.debug").write_bytes(packed.read_bytes())
    assert open_binary(stripped).struct("struct", "node") is None
    for folder in (str(symbols), "symbols-of-it"):
        assert open_binary(stripped, [folder]).struct("struct", "node") is not None
    (symbols / "linked.debug").write_bytes(b"no ELF")
    assert open_binary(linked, ["+symbols-of-it"]).struct("struct", "node") is not None


def test_debug_file_without_build_id_by_its_check_sum(program: str, tmp_path: Path) -> None:
    if shutil.which("objcopy") is None:
        pytest.skip("needs objcopy")
    other, linked, folder = tmp_path / "other.debug", str(tmp_path / "linked"), tmp_path / "elsewhere"
    subprocess.run(["objcopy", "--only-keep-debug", "-R", ".note.gnu.build-id", program, str(other)], check=True)
    subprocess.run(["objcopy", "-S", f"--add-gnu-debuglink={other}", program, linked], check=True)
    folder.mkdir()
    other.rename(folder / "other.debug")
    with open(linked, "rb") as file:
        assert debug_file(Elf(file, linked, ["elsewhere"])) == ""
        assert debug_file(Elf(file, linked, ["+elsewhere"])) == str(folder / "other.debug")
        with open(folder / "other.debug", "ab") as debug:
            debug.write(b"changed")
        assert debug_file(Elf(file, linked, ["+elsewhere"])) == ""


def test_table_prefers_global_functions_and_finds_merged_tails() -> None:
    strings = b"\0xlong_name\0"
    rows = [(5, 0x02, 10, 8), (5, 0x12, 20, 8), (5, 0x11, 30, 8), (1, 0x12, 40, 8)]
    entries = b"".join(struct.pack("<IBBHQQ", name, info, 0, 1, address, size) for name, info, address, size in rows)
    table = SymbolTable(entries, strings.replace(b"xlong_name", b"xlon_name"))
    found = table.find("_name")
    assert found is not None and found.address == 20 and found.is_function and found.is_global
    assert table.find("xlon_name") is not None and table.find("me2") is None


def test_errors() -> None:
    with pytest.raises(MissingFacts):
        open_binary("/nonexistent/file")
    for data in (b"", b"\x7fELF", b"#!/bin/sh\n" * 20, b"\x7fELF\1\1\1" + bytes(100)):
        with pytest.raises(FormatError):
            Elf(data)


def test_damaged_files_raise_only_our_errors(program: str) -> None:
    data = Path(program).read_bytes()
    dice = random.Random(2)

    def poke(broken: bytes) -> None:
        try:
            binary = ElfBinary(Elf(broken, "/tmp/none"))
            binary.symbol("visit")
            binary.symbols("*")
            binary.symbol_at(4096)
            binary.usdt()
            assert isinstance(binary.elf.build_id, str)
            for name in (".debug_info", ".comment"):
                binary.elf.named_content(name)
        except KloupeError:
            pass

    for _ in range(60):
        poke(data[: dice.randrange(len(data))])
    headers = [*range(64), *range(len(data) - 2400, len(data))]
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(3):
            broken[dice.choice(headers)] = dice.randrange(256)
        poke(bytes(broken))
