"""BTF against bpftool, where that is to be had."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from kloupe.base import ctype as ct
from kloupe.binfmt import btf as b
from kloupe.binfmt.btf_write import GLOBAL, BtfWriter

VMLINUX = "/sys/kernel/btf/vmlinux"
# A command that runs bpftool may be named where it is not on PATH.
BPFTOOL = os.environ.get("KLOUPE_BPFTOOL", "bpftool").split()
pytestmark = pytest.mark.skipif(shutil.which(BPFTOOL[0]) is None, reason="needs bpftool")


def dump(path: str) -> list[str]:
    return subprocess.run(
        [*BPFTOOL, "btf", "dump", "file", path], check=True, capture_output=True, text=True, timeout=120
    ).stdout.splitlines()


def test_written_blob_is_read_by_bpftool(tmp_path) -> None:
    w = BtfWriter()
    number = w.add_int("int", 4, signed=True)
    context = w.add_pointer()
    proto = w.add_func_proto(number, [("ctx", context)])
    w.add_func("probe", proto, GLOBAL)
    w.add_struct("value", 8, [("a", number, 0), ("b", number, 4)])
    path = tmp_path / "small.btf"
    path.write_bytes(w.encode())
    assert dump(str(path)) == [
        "[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED",
        "[2] PTR '(anon)' type_id=0",
        "[3] FUNC_PROTO '(anon)' ret_type_id=1 vlen=1",
        "\t'ctx' type_id=2",
        "[4] FUNC 'probe' type_id=3 linkage=global",
        "[5] STRUCT 'value' size=8 vlen=2",
        "\t'a' type_id=1 bits_offset=0",
        "\t'b' type_id=1 bits_offset=32",
    ]


@pytest.mark.skipif(not os.access(VMLINUX, os.R_OK), reason="needs the kernel's BTF")
def test_every_kernel_struct_as_bpftool_lists_it() -> None:
    with open(VMLINUX, "rb") as file:
        blob = b.Btf(file.read(), VMLINUX)
    header = re.compile(r"\[(\d+)\] (STRUCT|UNION|ENUM|FUNC|TYPEDEF) '(.+)' (?:encoding=\w+ )?(?:size|type_id)=(\d+)")
    member = re.compile(r"\t'(.+)' type_id=(\d+) bits_offset=(\d+)(?: bitfield_size=(\d+))?")
    lines = dump(VMLINUX)
    assert sum(line.startswith("[") for line in lines) == blob.type_count - 1
    checked, at = 0, 0
    while at < len(lines):
        found = header.match(lines[at])
        at += 1
        if found is None or found[2] not in ("STRUCT", "UNION") or int(found[1]) % 7:
            continue
        ours = blob.type(int(found[1]))
        assert isinstance(ours, ct.Struct) and ours.size == int(found[4])
        assert ours.name == ("" if found[3] == "(anon)" else found[3])
        theirs = []
        while at < len(lines) and (row := member.match(lines[at])):
            theirs.append(("" if row[1] == "(anon)" else row[1], int(row[3]), int(row[4] or 0)))
            at += 1
        assert [(f.name, f.offset * 8 + f.bit_offset, f.bit_size) for f in ours.fields] == theirs
        checked += 1
    assert checked > 500
