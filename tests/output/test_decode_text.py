"""Bytes to values to text and JSON, type by type."""

from __future__ import annotations

import struct

import pytest

from kloupe.base import ctype as c
from kloupe.output.decode import decoder, merger, truncated_quotient
from kloupe.output.jsonl import int_json, json_of, key_json_of, string_json
from kloupe.output.names import PlainNames
from kloupe.output.text import key_text_of, text_of

NAMES = PlainNames(("abc",))
INNER = c.Struct("struct", "in", 4, (c.Field("x", c.INT32, 0),))
ANONYMOUS = c.Struct("union", "", 4, (c.Field("u", c.UINT32, 0), c.Field("v", c.UINT8, 1)))
OUTER = c.Struct(
    "struct",
    "s",
    40,
    (
        c.Field("a", c.INT32, 0),
        c.Field("c", c.Array(c.INT8, 4), 4),
        c.Field("b", c.INT32, 8, bit_offset=0, bit_size=3),
        c.Field("d", c.UINT32, 8, bit_offset=3, bit_size=5),
        c.Field("p", c.Pointer(c.INT32), 16),
        c.Field("in", INNER, 24),
        c.Field("", ANONYMOUS, 28),
        c.Field("arr", c.Array(c.Array(c.UINT16, 2), 2), 32),
    ),
)
OUTER_BYTES = struct.pack("<i4sI4xQiI4H", -7, b"ab\0z", 0b10101_110, 0x1234, 9, 0x0203, 1, 2, 3, 4)
COLOR = c.Enum("color", 4, False, (("RED", 0), ("BLUE", 5), ("ALSO_BLUE", 5)))

CASES = [
    (c.INT8, b"\xff", -1, "-1", "-1"),
    (c.UINT64, b"\xff" * 8, 2**64 - 1, "18446744073709551615", '"18446744073709551615"'),
    (c.BOOL, b"\x01", True, "true", "true"),
    (c.Pointer(c.VOID), struct.pack("<Q", 16), 16, "0x10", "16"),
    (c.Pointer(c.VOID), bytes(8), 0, "0x0", "0"),
    (COLOR, struct.pack("<I", 5), 5, "BLUE", "5"),
    (COLOR, struct.pack("<I", 6), 6, "6", "6"),
    (c.String(4), b"abc\0", "abc", "abc", '"abc"'),
    (c.String(3), b"abc", "abc..", "abc..", '"abc.."'),
    (c.Array(c.INT8, 3), b"abc", "abc", "abc", '"abc"'),
    (c.Buffer(4), struct.pack("<I4s", 3, b"k\x01\n\0"), b"k\x01\n", "k\\x01\\x0a", "[107,1,10]"),
    (c.Array(c.INT32, 2), struct.pack("<ii", 1, 2), (1, 2), "[1,2]", "[1,2]"),
    (c.Array(c.BOOL, 2), b"\0\x01", (False, True), "[false,true]", "[false,true]"),
    (c.Tuple((c.INT32,)), struct.pack("<i", 1), (1,), "(1)", "[1]"),
    (c.Tuple((c.INT8, c.String(4), c.INT64)), struct.pack("<b4s3xq", 1, b"two", 3), (1, "two", 3), "(1, two, 3)", '[1,"two",3]'),
    (c.Record((("a", c.INT32), ("b", c.String(4)))), struct.pack("<i4s", 1, b"x"), {"a": 1, "b": "x"}, "{ .a = 1, .b = x }", '{"a": 1, "b": "x"}'),
    (c.KSYM, struct.pack("<Q", 5), 5, "0x5", '"0x5"'),
    (c.KSYM, bytes(8), 0, "0", '"0"'),
    (c.MAC, bytes([0xAB, 0xCD, 1, 2, 3, 255]), bytes([0xAB, 0xCD, 1, 2, 3, 255]), "AB:CD:01:02:03:FF", '"AB:CD:01:02:03:FF"'),
    (c.INET, struct.pack("<Q16s", 2, b"\x7f\0\0\x01"), (2, b"\x7f\0\0\x01" + bytes(12)), "127.0.0.1", '"127.0.0.1"'),
    (c.INET, struct.pack("<Q16s", 10, bytes(15) + b"\x01"), (10, bytes(15) + b"\x01"), "::1", '"::1"'),
    (c.STRERROR, struct.pack("<q", 5), 5, "I/O error", '"I/O error"'),
    (c.STRERROR, struct.pack("<q", 9999), 9999, "Unknown error", '"Unknown error"'),
    (c.Aggregate("stats", True), struct.pack("<qq", -7, 2), (2, -3, -7), "{ .count = 2, .average = -3, .total = -7 }", '{"count": 2, "average": -3, "total": -7}'),
]  # fmt: skip


@pytest.mark.parametrize(("t", "raw", "value", "text", "json"), CASES, ids=lambda x: str(x)[:20])
def test_each_type(t, raw, value, text, json):
    decoded = decoder(t)(b"??" + raw, 2)
    assert decoded == value
    assert text_of(t, NAMES)(decoded) == text
    assert json_of(t, NAMES)(decoded) == json


def test_struct_with_bit_fields_anonymous_members_and_nesting():
    value = decoder(OUTER)(OUTER_BYTES, 0)
    assert value == {
        "a": -7, "c": "ab", "b": -2, "d": 21, "p": 0x1234, "in": {"x": 9}, "u": 0x203, "v": 2, "arr": ((1, 2), (3, 4)),
    }  # fmt: skip
    assert text_of(OUTER, NAMES)(value) == (
        "{ .a = -7, .c = ab, .b = -2, .d = 21, .p = 0x1234, .in = { .x = 9 }, .u = 515, .v = 2, .arr = [[1,2],[3,4]] }"
    )


def test_big_endian():
    assert decoder(c.UINT32, little_endian=False)(b"\0\0\x01\x02", 0) == 0x102
    assert merger(c.Aggregate("count"), ">")([struct.pack(">Q", 2), struct.pack(">Q", 3)]) == 5


def test_keys_lose_outer_parentheses_only():
    pair = c.Tuple((c.Tuple((c.INT32, c.INT32)), c.String(4)))
    value = ((1, 2), "x y")
    assert key_text_of(pair, NAMES)(value) == "(1, 2), x y"
    assert key_json_of(pair, NAMES)(value) == '"(1,2),xy"'
    assert key_text_of(c.String(8), NAMES)("(a)") == "(a)"


@pytest.mark.parametrize(
    ("kind", "signed", "cells", "merged"),
    [
        ("count", False, [(2,), (3,)], 5),
        ("sum", True, [(-5,), (2,)], -3),
        ("sum", False, [(2**64 - 1,), (2,)], 1),
        ("avg", True, [(-7, 1), (-8, 1)], -7),
        ("avg", True, [(0, 0)], 0),
        ("stats", False, [(10, 1), (21, 1)], (2, 15, 31)),
        ("min", True, [(5, 1), (-5, 1), (-9, 0)], -5),
        ("max", False, [(5, 1), (7, 0)], 5),
        ("max", False, [(0, 0)], 0),
    ],
)
def test_merging(kind, signed, cells, merged):
    code = "q" if signed else "Q"
    raw = [struct.pack(f"<{code * len(cell)}", *cell) for cell in cells]
    assert merger(c.Aggregate(kind, signed))(raw) == merged


def test_division_truncates_toward_zero():
    assert [truncated_quotient(a, 2) for a in (7, -7, 6, 0)] == [3, -3, 3, 0]


def test_json_strings_are_always_valid():
    import json

    assert string_json('q"\\\t\n\r\x01\x7f') == '"q\\"\\\\\\t\\n\\r\\u0001\x7f"'
    assert string_json("\x08\x0c") == '"\\u0008\\u000c"'
    assert string_json("é") == '"é"'
    broken = b"a\xffb".decode("utf-8", "surrogateescape")
    assert json.loads(string_json(broken)) == "a\ufffdb"


def test_json_integers_that_a_float_cannot_hold_are_quoted():
    assert int_json(2**53) == "9007199254740992"
    assert int_json(2**53 + 1) == '"9007199254740993"'
    assert int_json(2**63 - 1) == '"9223372036854775807"'
    assert int_json(-(2**63)) == "-9223372036854775808"
