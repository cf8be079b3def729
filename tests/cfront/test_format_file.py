"""Tracepoint format files."""

import pytest

from kloupe.base import ctype as ct
from kloupe.base.errors import FormatError
from kloupe.cfront import parse_tracepoint_format

TEXT = """name: made_up
ID: 372
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:int dfd;\toffset:32;\tsize:8;\tsigned:0;
\tfield:const char * filename;\toffset:40;\tsize:8;\tsigned:0;
\tfield:struct iovec *vec;\toffset:48;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] name;\toffset:56;\tsize:4;\tsigned:0;
\tfield:__rel_loc u64[] addrs;\toffset:60;\tsize:4;\tsigned:0;
\tfield:unsigned long args[6];\toffset:64;\tsize:48;\tsigned:0;
\tfield:enum zone_type zone;\toffset:112;\tsize:4;\tsigned:0;
\tfield:bool ok;\toffset:116;\tsize:1;\tsigned:0;
\tfield:xfs_odd_t odd;\toffset:120;\tsize:8;\tsigned:1;
\tfield:u8 uuid[16];\toffset:128;\tsize:16;\tsigned:0;

print fmt: "x=%d", REC->dfd
"""


def test_fields() -> None:
    found = parse_tracepoint_format(TEXT)
    assert (found.name, found.id, found.print_fmt) == ("made_up", 372, '"x=%d", REC->dfd')
    shown = [(f.name, f.offset, str(f.type), f.data_loc) for f in found.fields]
    assert shown == [
        ("common_type", 0, "uint16", 0),
        ("common_pid", 4, "int32", 0),
        ("comm", 8, "int8[16]", 0),
        ("prev_pid", 24, "int32", 0),
        ("dfd", 32, "uint64", 0),
        ("filename", 40, "int8 *", 0),
        ("vec", 48, "struct iovec *", 0),
        ("name", 56, "int8[0]", 1),
        ("addrs", 60, "uint64[0]", 2),
        ("args", 64, "uint64[6]", 0),
        ("zone", 112, "uint32", 0),
        ("ok", 116, "bool", 0),
        ("odd", 120, "int64", 0),
        ("uuid", 128, "uint8[16]", 0),
    ]
    assert ct.is_char_array(found.fields[2].type)
    assert [f.decl for f in found.fields[2:4]] == ["char comm[16]", "pid_t prev_pid"]


@pytest.mark.parametrize("text", ["", "ID: x\n", "ID: 1\n", "name: a\nfield:int x; offset:0; size:4; signed:1;\n"])
def test_broken_files(text: str) -> None:
    with pytest.raises(FormatError):
        parse_tracepoint_format(text)
