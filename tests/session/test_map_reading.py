"""Reading maps: merging, order, top and div, clear and zero. Orders and texts are bpftrace's."""

from __future__ import annotations

import struct

import pytest
from fake_engine import NAMES, FakeEngine, FakeMap, MemorySink, hash_map, image, scalar_map

from kloupe.base import ctype as c
from kloupe.image import MapSpec
from kloupe.output.jsonl import JsonOutput
from kloupe.output.textout import TextOutput
from kloupe.session.mapread import MapReader, Maps

PAIR = c.Tuple((c.String(8), c.INT64))
HIST = c.Histogram("hist")


def reader(spec: MapSpec) -> tuple[MapReader, FakeMap]:
    access = FakeMap(spec)
    return MapReader(spec, access, True, ".."), access


def text(table) -> str:
    sink = MemorySink()
    TextOutput(NAMES, sink, MemorySink()).map(table)
    return sink.text()


def json(table) -> str:
    sink = MemorySink()
    JsonOutput(NAMES, sink, MemorySink()).map(table)
    return sink.text()


def q(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def test_values_sort_ascending_and_top_keeps_the_last():
    maps, access = reader(hash_map("@", c.INT64, c.INT64))
    for key, value in ((1, 1), (2, 5), (3, -3)):
        access.cells[q(key)] = q(value)
    assert text(maps.table()) == "@[3]: -3\n@[1]: 1\n@[2]: 5\n"
    assert text(maps.table(top=2)) == "@[1]: 1\n@[2]: 5\n"
    assert text(maps.table(div=2)) == "@[3]: -1\n@[1]: 0\n@[2]: 2\n"
    assert text(maps.table(top=9)) == text(maps.table())


def test_narrow_integers_sort_by_value_too():
    maps, access = reader(hash_map("@k", c.String(8), c.INT8))
    access.cells = {b"a".ljust(8, b"\0"): b"\x03".ljust(8, b"\0"), b"b".ljust(8, b"\0"): b"\xff".ljust(8, b"\0")}
    assert text(maps.table()) == "@k[b]: -1\n@k[a]: 3\n"


def test_other_values_sort_by_key():
    maps, access = reader(hash_map("@", PAIR, c.String(8)))
    for name, number in (("b", 2), ("a", 10), ("a", -9)):
        access.cells[struct.pack("<8sq", name.encode(), number)] = b"v".ljust(8, b"\0")
    assert text(maps.table()) == "@[a, -9]: v\n@[a, 10]: v\n@[b, 2]: v\n"
    assert json(maps.table()) == '{"type": "map", "data": {"@": {"a,-9": "v", "a,10": "v", "b,2": "v"}}}\n'


def test_unsigned_keys_compare_as_signed():
    maps, access = reader(hash_map("@", c.UINT64, c.String(8)))
    for key in (3, 2**64 - 1):
        access.cells[struct.pack("<Q", key)] = b"v".ljust(8, b"\0")
    assert [row[0] for row in maps.rows()] == [2**64 - 1, 3]


def test_minimum_sorts_as_unsigned():
    maps, access = reader(hash_map("@mn", c.INT64, c.Aggregate("min", True), per_cpu=True))
    access.cells = {q(1): [q(-5, 1), q(0, 0)], q(2): [q(3, 1), q(9, 1)]}
    assert text(maps.table()) == "@mn[2]: 3\n@mn[1]: -5\n"


@pytest.mark.parametrize(
    ("kind", "cells", "shown", "kind_in_json"),
    [
        ("count", [q(1, 2), q(1, 1)], "@x: 3\n", "map"),
        ("avg", [q(1, 7, 2), q(0, 0, 0)], "@x: 3\n", "stats"),
        ("stats", [q(1, 7, 1), q(1, 24, 1)], "@x: { .count = 2, .average = 15, .total = 31 }\n", "stats"),
        ("max", [q(1, 7, 1), q(0, 99, 1)], "@x: 7\n", "map"),  # the second CPU never stored
    ],
)
def test_scalars_of_each_cpu(kind, cells, shown, kind_in_json):
    maps, access = reader(scalar_map("@x", c.Aggregate(kind, True), per_cpu=True))
    assert maps.table().rows == []
    access.cells[bytes(4)] = cells
    assert text(maps.table()) == shown
    assert f'"type": "{kind_in_json}"' in json(maps.table())


def test_unset_scalars_print_as_zero_when_asked_for():
    shown = []
    for t in (c.INT64, c.String(8), c.BOOL, c.Pointer(c.VOID), c.Tuple((c.INT64, c.String(8))), c.Aggregate("stats")):
        maps, _ = reader(scalar_map("@w", t))
        assert maps.table().rows == []
        shown.append(text(maps.table(show_unset=True)))
    stats = "@w: { .count = 0, .average = 0, .total = 0 }\n"
    assert shown == ["@w: 0\n", "@w: \n", "@w: false\n", "@w: 0x0\n", "@w: (0, )\n", stats]


def test_div_of_stats_is_for_the_average():
    maps, access = reader(scalar_map("@s", c.Aggregate("stats", True), per_cpu=True))
    access.cells[bytes(4)] = [q(1, -7, 1), q(0, 0, 0)]
    assert text(maps.table(div=2)) == "@s: { .count = 1, .average = -3, .total = -7 }\n"


def test_keyed_histograms():
    spec = MapSpec("@k", "percpu_hash", 16, 8, 4096, 0, c.String(2), HIST)
    maps, access = reader(spec)
    for key, bucket, count in (("b", 3, 1), ("a", 3, 5), ("c", 4, 1)):
        access.cells[struct.pack("<8sQ", key.encode(), bucket)] = [q(count), q(0)]
    assert [row[0] for row in maps.rows()] == ["b", "c", "a"]  # by total, then key
    full = "@" * 52
    assert text(maps.table(top=1)) == f"@k[a]:\n[2, 4)                 5 |{full}|\n\n"
    maps.zero()
    assert text(maps.table(top=1)) == "@k[c]:\n\n"
    assert json(maps.table(top=1)) == '{"type": "hist", "data": {"@k": {"c": []}}}\n'


def test_scalar_histogram():
    spec = MapSpec("@h", "percpu_array", 4, 8, 66, 0, None, HIST)
    maps, access = reader(spec)
    assert maps.table().rows == []
    access.cells[struct.pack("<I", 3)] = [q(1), q(2)]
    assert maps.rows() == [(None, {3: 3})]
    maps.zero()
    assert text(maps.table()) == "@h:\n\n"
    maps.clear()
    assert maps.table().rows == []


def test_clear_and_zero():
    maps, access = reader(hash_map("@x", c.INT64, c.INT64))
    access.cells = {q(1): q(5)}
    maps.zero()
    assert maps.rows() == [(1, 0)]
    assert maps.entry(q(1)) == 0 and maps.entry(q(9)) == 0
    maps.clear()
    assert maps.rows() == []
    scalar, cell = reader(scalar_map("@y", c.String(8)))
    scalar.zero()
    assert scalar.rows() == []  # never set, still not
    cell.cells[bytes(4)] = q(1) + b"abc".ljust(8, b"\0")
    scalar.zero()
    assert text(scalar.table()) == "@y: \n"
    scalar.clear()
    assert scalar.rows() == []


def test_names_sort_bytewise():
    engine = FakeEngine()
    specs = [scalar_map(name, c.INT64) for name in ("@a1", "@", "@a", "@A", "@_u")]
    made = image(maps=[*specs, MapSpec(".lost", "percpu_array", 4, 8, 1)])
    engine.load(made)
    assert Maps(made, engine, True, "..").names() == ["@", "@A", "@_u", "@a", "@a1"]
