"""Images to bytes and back; damage of any kind is a FormatError."""

from __future__ import annotations

import random
import struct
import zlib

import pytest

from kloupe import imagefile
from kloupe.base import ctype as c
from kloupe.base.errors import FormatError
from kloupe.base.layout import event_layout
from kloupe.base.record import replace
from kloupe.image import (
    AttachSpec,
    EventSpec,
    FunctionInfo,
    Image,
    MapSpec,
    ProgramSpec,
    Relocation,
    SourcePlace,
)
from kloupe.imagefile import from_bytes, to_bytes

PLACE = SourcePlace("a\udcff.bt", 3, 1, 9, "\tprintf(é)")


def loud() -> tuple[c.Field, ...]:
    raise AssertionError("nobody needs the fields of what is only pointed to")


FAR = c.Struct("struct", "task_struct", 9000, loud)


def node_fields() -> tuple[c.Field, ...]:
    return (
        c.Field("next", c.Pointer(NODE, c.Space.KERNEL), 0),
        c.Field("owner", c.Pointer(FAR), 8),
        c.Field("bits", c.UINT32, 16, 3, 5, "unsigned"),
        c.Field("", c.Struct("union", "", 4, (c.Field("u", c.INT32, 0),)), 20),
        c.Field("call", c.Pointer(c.Function(c.VOID, (("task", c.Pointer(FAR)),), True)), 24),
    )


NODE = c.Struct("struct", "node", 32, node_fields)
TYPES = [
    c.INT8, c.UINT64, c.BOOL, c.Float(8), c.Pointer(c.VOID, c.Space.USER), c.Array(c.Array(c.INT8, 3), 2), c.String(64),
    c.Enum("e", 4, True, (("A", -1), ("B", 1))), c.Buffer(9), c.Tuple((c.INT8, c.Tuple((c.UINT16,)))),
    c.Record((("a", c.INT32), ("b", c.String(4)))), c.INET, c.MAC, c.USYM, c.Stack(True, "perf", 5), NODE, c.NONE,
]  # fmt: skip


def full_image() -> Image:
    code = bytes(range(256)) * 4
    program = ProgramSpec(
        "begin_1", "kprobe", "kprobe_multi", code, (Relocation(3, "map_value", ".data", -8),), (FunctionInfo("f", 4, 2),),
        ((0, 0), (5, 0)), (PLACE,), (AttachSpec("kprobe", "kprobe:f", {"function": "f", "retval": False, "address": 2**64 - 1}, 7),),
        True, 3,
    )  # fmt: skip
    maps = [
        MapSpec(f"@m{i}", "hash", 8, 8, 4096, 1, t, value)
        for i, (t, value) in enumerate(
            [
                (None, c.Aggregate("avg", True)),
                (c.INT64, c.Histogram("lhist", 0, -5, 10, 2)),
                *[(t, c.INT64) for t in TYPES],
            ]
        )
    ]
    maps.append(MapSpec(".data", "array", 4, 64, 1, initial=b"\0\xff", read_only=True))
    event = EventSpec(0, "printf", event_layout(TYPES), PLACE, {"format": "%d", "top": 0, "x": True})
    config = {"max_strlen": 64, "stack_mode": "perf", "print_maps_on_exit": False}
    return Image(
        "a.bt", "x86_64", (program,), tuple(maps), (event,), ("", "é", "\udc80"), config, ("w",), ("kprobe:x",)
    )


def test_round_trip():
    image = full_image()
    back = from_bytes(to_bytes(image))
    assert back == image
    node = back.maps[2 + TYPES.index(NODE)].key_type
    assert isinstance(node, c.Struct) and node.align == NODE.align
    assert node.fields == NODE.fields
    assert node.fields[0].type.target is node
    assert node.fields[1].type.target.fields == ()  # only pointed to


def test_same_image_same_bytes():
    image = full_image()
    data = to_bytes(image)
    assert to_bytes(from_bytes(data)) == data
    shuffled = replace(image, config=dict(reversed(image.config.items())))
    assert to_bytes(shuffled) == data


def packed(content: bytes) -> bytes:
    head = struct.pack("<8sII", imagefile.MAGIC, zlib.crc32(content), len(content))
    return head + zlib.compress(content)


def content_of(data: bytes) -> bytes:
    return zlib.decompress(data[16:])


@pytest.mark.parametrize(
    "data", [b"", b"KLOUPE", b"\x7fELF" + bytes(40), imagefile.MAGIC + bytes(8), imagefile.MAGIC + b"\xff" * 50]
)
def test_other_files(data):
    with pytest.raises(FormatError):
        from_bytes(data, "x")


def test_other_version_says_so():
    data = bytearray(to_bytes(full_image()))
    data[7] = 9
    with pytest.raises(FormatError, match="image format 9, this kloupe reads 2"):
        from_bytes(bytes(data))


def test_every_cut_is_noticed():
    data = to_bytes(full_image())
    for end in range(0, len(data), 7):
        with pytest.raises(FormatError):
            from_bytes(data[:end])
    content = content_of(data)
    for end in range(0, len(content), 11):
        with pytest.raises(FormatError):
            from_bytes(packed(content[:end]))


def test_damage_under_a_right_checksum_never_escapes():
    content = content_of(to_bytes(full_image()))
    numbers = random.Random(1)
    outcomes = set()
    for _ in range(4000):
        damaged = bytearray(content)
        for _ in range(numbers.randint(1, 4)):
            at = numbers.randrange(len(damaged) if numbers.random() < 0.5 else 1200)
            damaged[at] = numbers.choice((0, 1, 2, 0x7F, 0x80, 0xFF, numbers.randrange(256)))
        try:
            image = from_bytes(packed(bytes(damaged)))
            to_bytes(image)
            outcomes.add("read")
        except FormatError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_a_struct_that_contains_itself_is_refused():
    holder = c.Struct("struct", "s", 8, lambda: (c.Field("a", c.Array(c.INT8, 8), 0),))
    image = Image("x", "x86_64", (), (MapSpec("@", "hash", 8, 8, 1, 0, holder, c.INT64),), (), (), {})
    good = content_of(to_bytes(image))
    # the array's element (type 1: int8) becomes type 0: the struct itself
    array_row = bytes([6, 2, 16])
    assert good.count(array_row) == 1
    with pytest.raises(FormatError, match="contains itself"):
        from_bytes(packed(good.replace(array_row, bytes([6, 0, 16]))))
