"""printf: conversions, quirks, batches."""

from __future__ import annotations

import struct

import pytest

from kloupe.base import ctype as c
from kloupe.base.errors import InternalError
from kloupe.base.format import Conversion, parse_format
from kloupe.base.layout import event_layout
from kloupe.output.decode import scalar_code
from kloupe.output.names import PlainNames
from kloupe.output.printf import Printf

NAMES = PlainNames()


def record(types, values):
    layout = event_layout(types)
    data = bytearray(layout.size)
    for field, value in zip(layout.fields, values, strict=True):
        raw = struct.pack("<" + scalar_code(field.type), value) if scalar_code(field.type) else value
        data[field.offset : field.offset + len(raw)] = raw
    return layout, bytes(data)


def printed(format, *typed):
    layout, data = record([t for t, _ in typed], [v for _, v in typed])
    plan = Printf(format, layout, NAMES)
    once = plan.joined([data])
    assert plan.joined([data, memoryview(data)]) == once * 2
    assert plan.each([data]) == [once]
    return once.decode()


I, L, B, H = c.INT32, c.UINT64, c.INT8, c.UINT16  # noqa: E741
BUF = c.Buffer(4)
PAIR = c.Tuple((c.INT32, c.String(4)))
COLOR = c.Enum("color", 4, False, (("RED", 0), ("BLUE", 5)))


@pytest.mark.parametrize(
    ("format", "typed", "text"),
    [
        # observed with bpftrace 0.27.1
        ("%5d|%-5d|%05d|%x|%X|%o|%%", [(I, 42)] * 3 + [(I, 255)] * 2 + [(I, 8)], "   42|42   |00042|ff|FF|10|%"),
        ("%c|%5c|%-5c|", [(I, 65), (I, 0x141), (B, 66)], "A|    A|B    |"),
        ("%llu|%ld", [(L, 1), (c.INT64, -1)], "1|-1"),
        ("%d|%ld", [(c.INT64, 4294967295), (c.INT64, -1)], "-1|-1"),
        ("%hhd|%hd|%hhu|%hx", [(I, 300), (I, 70000), (I, 300), (I, 70000)], "44|4464|44|1170"),
        ("%s|%d|%u|%x|%lx|%zu", [(B, -1)] * 6, "-1|-1|4294967295|ffffffff|ffffffffffffffff|18446744073709551615"),
        ("%p|%p|%10p|%-10p|", [(I, 0), (L, 16), (I, 255), (I, 255)], "0|0x10|      0xff|0xff      |"),
        ("%5s|%-8s|%08s|", [(c.String(4), b"abc")] * 3, "  abc|abc     |00000abc|"),
        ("%s|%-10s|%5d|", [(c.BOOL, True)] * 3, "true|true      |    1|"),
        ("%r|%rx|%rh|%20r|", [(BUF, struct.pack("<I4s", 2, b"a\n")), *[(BUF, struct.pack("<I4s", 2, b"ab"))] * 3],
         "a\\x0a|\\x61\\x62|61 62|                  ab|"),
        ("%gr %gr %gr|%10gr|", [(I, 0xCC0), (I, 0x400CC0), (L, 0x80000001), (I, 0)],
         "GFP_KERNEL GFP_KERNEL_ACCOUNT GFP_DMA|0x80000000|         0|"),
        ("%s %d %x", [(COLOR, 5)] * 3, "BLUE 5 5"),
        ("%y|%5%|%d%%", [(I, 3)], "%y|%|3%"),
        ("%5s|", [(c.String(3), "é".encode())], "   é|"),  # widths count bytes
        ("%#x|%#o", [(I, 255), (I, 8)], "0xff|010"),
        # what C does, where bpftrace slips
        ("%.3s|%6.2s|", [(c.String(8), b"abcdef")] * 2, "abc|    ab|"),
        ("%.5d|%08.3d|%-8.3d|", [(I, 42), (I, 7), (I, -7)], "00042|     007|-007    |"),
        ("%#010x|%+05d|%+d|% d", [(I, 255), (I, 7), (I, 5), (I, 5)], "0x000000ff|+0007|+5| 5"),
        ("%#x|%#o|%#6o|%-#6o|%#06o", [(I, 0)] * 2 + [(I, 8)] * 3, "0|0|   010|010   |000010"),
        ("%+x|% u", [(I, 255), (I, 5)], "ff|5"),
        ("%10s|%-10s|", [(PAIR, struct.pack("<i4s", 1, b"a"))] * 2, "    (1, a)|(1, a)    |"),
    ],
)  # fmt: skip
def test_conversions(format, typed, text):
    assert printed(format, *typed) == text


def test_a_string_without_terminator_was_cut():
    assert printed("%s|%s|", (c.String(4), b"abcd"), (c.Array(c.INT8, 4), b"abcd")) == "abcd..|abcd|"


def test_bytes_pass_unchanged():
    layout, data = record([c.String(4)], [b"\xff\xfe"])
    assert Printf("%s", layout, NAMES).joined([data]) == b"\xff\xfe"


def test_no_arguments_and_percent_signs():
    plan = Printf("100%% é\n", event_layout([]), NAMES)
    assert plan.joined([bytes(8)] * 3) == "100% é\n".encode() * 3
    assert plan.each([bytes(8)] * 2) == ["100% é\n".encode()] * 2


def test_many_records_in_order():
    layout = event_layout([L, c.String(8)])
    plan = Printf("%d %s\n", layout, NAMES)
    records = [struct.pack("<QQ8s", 0, i, b"x%d" % i) for i in range(5000)]
    assert plan.joined(records) == b"".join(b"%d x%d\n" % (i, i) for i in range(5000))


def test_records_longer_or_shorter_than_the_layout():
    layout = event_layout([I, I])
    plan = Printf("%d %d;", layout, NAMES)
    good = struct.pack("<Qii", 0, 1, 2)
    assert plan.joined([good + b"longer", good[:12]]) == b"1 2;1 0;"


def test_a_format_that_does_not_fit_is_our_fault():
    with pytest.raises(InternalError):
        Printf("%d", event_layout([]), NAMES)


def test_parse_format():
    assert parse_format("a%%b%-+08.3llxc%") == ["a%b", Conversion("%-+08.3llx", "-+0", 8, 3, "ll", "x"), "c%"]
    assert [p.kind for p in parse_format("%r%rx%rh%gr%g") if isinstance(p, Conversion)] == ["r", "rx", "rh", "gr", "g"]
