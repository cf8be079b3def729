"""Signatures, structs and lines from DWARF."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from elf_samples import SOURCE, build

from kloupe.base import ctype as ct
from kloupe.base.errors import KloupeError
from kloupe.binfmt.dwarf import DebugInfo
from kloupe.kernel.binary import ElfBinary, open_binary


@pytest.fixture(scope="module", params=["-gdwarf-4", "-gdwarf-5", "-gdwarf-5 -gsplit-dwarf"])
def binary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ElfBinary:
    return open_binary(build(tmp_path_factory.mktemp("dwarf"), "sample", SOURCE, "-O0", *request.param.split()))


def test_signature(binary: ElfBinary) -> None:
    visit = binary.function_arguments("visit")
    assert visit is not None and visit.result == ct.INT32 and visit.variadic
    assert [n for n, _ in visit.parameters] == ["first", "text", "flags"]
    first = visit.parameters[0][1]
    assert isinstance(first, ct.Pointer) and first.space is ct.Space.USER and str(first) == "struct node *"
    assert visit.parameters[1][1] == ct.Pointer(ct.INT8, ct.Space.USER)
    assert visit.parameters[2][1] == ct.UINT8
    assert binary.function_declarations("visit") == ("node_t* first", "const char* text", "unsigned char flags")
    helper = binary.function_arguments("helper")
    assert helper is not None and str(helper) == "int32 (struct inner, float64)"
    assert binary.function_arguments("nothing") is None


def test_struct(binary: ElfBinary) -> None:
    node = binary.struct("struct", "node")
    assert node is not None and node.size == 88
    assert [(f.name, f.offset) for f in node.fields] == [
        ("next", 0),
        ("name", 8),
        ("in", 24),
        ("", 40),
        ("m", 44),
        ("col", 68),
        ("ok", 72),
        ("cb", 80),
    ]
    by_name = {f.name: f for f in node.fields}
    assert by_name["name"].type == ct.Array(ct.INT8, 16) and by_name["name"].decl == "char name[16]"
    assert by_name["m"].type == ct.Array(ct.Array(ct.INT32, 3), 2)
    assert by_name["ok"].type == ct.BOOL
    color = by_name["col"].type
    assert isinstance(color, ct.Enum) and color.values == (("RED", 0), ("BLUE", 7))
    inner = by_name["in"].type
    assert isinstance(inner, ct.Struct)
    assert [(f.offset, f.bit_offset, f.bit_size) for f in inner.fields] == [(0, 0, 3), (0, 3, 7), (8, 0, 0)]
    following = by_name["next"].type
    assert isinstance(following, ct.Pointer) and following.target is node
    number = node.field("y")
    assert number is not None and number.offset == 40 and number.type == ct.Float(4)
    assert binary.struct("struct", "nothing") is None


def test_lines(binary: ElfBinary) -> None:
    visit = binary.symbol("visit")
    assert visit is not None
    line = next(n for n, text in enumerate(SOURCE.splitlines(), 1) if "printf(" in text)
    offsets = binary.line_offsets("sample.c", line)
    assert offsets and all(visit.file_offset < o < visit.file_offset + visit.size for o in offsets)
    folder = Path(binary.path).parent.name
    assert binary.line_offsets(f"{folder}/sample.c", line) == offsets
    assert binary.line_offsets("sample.c", line, 3) == offsets[:1]
    assert binary.line_offsets("ample.c", line) == [] and binary.line_offsets("sample.c", 9999) == []


def test_file_without_debug_information(tmp_path: Path) -> None:
    plain = open_binary(build(tmp_path, "plain", SOURCE, "-O0", "-g0"))
    assert plain.function_arguments("main") is None
    assert plain.struct("struct", "node") is None and plain.line_offsets("plain.c", 1) == []
    assert plain.function_declarations("main") == ()


@pytest.fixture
def split(tmp_path: Path) -> tuple[Path, Path]:
    """A program and its .dwo file."""
    program = Path(build(tmp_path, "apart", SOURCE, "-O0", "-gdwarf-5", "-gsplit-dwarf"))
    return program, next(tmp_path.glob("*.dwo"))


def test_split_units_from_a_package_and_missing_ones(split: tuple[Path, Path]) -> None:
    program, dwo = split
    tool = shutil.which("llvm-dwp") or shutil.which("llvm-dwp-14")
    if tool is not None:
        subprocess.run([tool, "-e", program, "-o", f"{program}.dwp"], check=True)
    dwo.unlink()
    binary = open_binary(str(program))
    if tool is not None:
        assert binary.function_declarations("visit") == ("node_t* first", "const char* text", "unsigned char flags")
        Path(f"{program}.dwp").unlink()
    assert open_binary(str(program)).function_declarations("visit") == ()
    line = next(n for n, text in enumerate(SOURCE.splitlines(), 1) if "printf(" in text)
    assert open_binary(str(program)).line_offsets("apart.c", line)


def test_damaged_split_units_raise_only_our_errors(split: tuple[Path, Path]) -> None:
    program, dwo = split
    data, dice = dwo.read_bytes(), random.Random(4)
    for _ in range(25):
        broken = bytearray(data)
        for _ in range(6):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        dwo.write_bytes(broken)
        poke(DebugInfo(str(program)))


def test_damaged_information_raises_only_our_errors(binary: ElfBinary, tmp_path: Path) -> None:
    data, dice = Path(binary.path).read_bytes(), random.Random(3)
    section = binary.elf.section(".debug_info")
    assert section is not None
    for _ in range(25):
        broken = bytearray(data)
        for _ in range(4):
            broken[section.offset + dice.randrange(section.size)] = dice.randrange(256)
        path = tmp_path / "broken"
        path.write_bytes(broken)
        poke(DebugInfo(str(path)))


def poke(info: DebugInfo) -> None:
    asks = (
        lambda: info.function("visit"),
        lambda: [f.type for f in (info.struct("struct", "node") or ct.Struct("struct", "", 0)).fields],
        lambda: info.addresses("sample.c", 12),
    )
    for ask in asks:
        with contextlib.suppress(KloupeError):
            ask()
