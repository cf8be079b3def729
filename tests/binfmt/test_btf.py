"""BTF reading: types built in the test with BtfWriter, and the running kernel's own."""

from __future__ import annotations

import contextlib
import os
import random
import struct

import pytest

from kloupe.base import ctype as ct
from kloupe.base.errors import FormatError, KloupeError
from kloupe.binfmt import btf as b
from kloupe.binfmt.btf_text import declaration, parameter_declarations
from kloupe.binfmt.btf_write import GLOBAL, BtfWriter

VMLINUX = "/sys/kernel/btf/vmlinux"
live = pytest.mark.skipif(not os.access(VMLINUX, os.R_OK), reason="needs the kernel's BTF")


class RawWriter(BtfWriter):
    """Adds the record kinds that programs never need."""

    def raw(self, name: str, kind: int, length: int, size_or_type: int, *rest: int) -> int:
        return self._add(name, kind, length, size_or_type, *rest)


def sample() -> tuple[bytes, dict[str, int]]:
    w = RawWriter()
    n: dict[str, int] = {}
    n["int"] = w.add_int("int", 4, signed=True)
    n["char"] = w.add_int("char", 1)
    n["bool"] = w.raw("_Bool", b.INT, 0, 1, 4 << 24 | 8)
    n["u32"] = w.raw("u32", b.TYPEDEF, 0, w.add_int("unsigned int", 4))
    n["comm"] = w.add_array(n["char"], n["int"], 16)
    n["matrix"] = w.add_array(w.add_array(n["int"], n["int"], 3), n["int"], 2)
    n["const char"] = w.raw("", b.CONST, 0, n["char"])
    n["text"] = w.add_pointer(n["const char"])
    n["user char"] = w.raw("user", b.TYPE_TAG, 0, n["char"])
    n["user text"] = w.add_pointer(n["user char"])
    n["node *"] = w.add_pointer(n["user text"] + 2)
    n["node"] = w.add_struct(
        "node",
        48,
        [("next", n["node *"], 0), ("comm", n["comm"], 8), ("text", n["text"], 24), ("", n["node *"] + 2, 32)],
    )
    f = w.add_string
    n["anonymous"] = w.raw("", b.UNION, 2, 8, f("a"), n["u32"], 0, f("b"), n["user text"], 0)
    n["bits"] = w.raw(
        "bits", b.STRUCT | 0x80, 3, 8, f("x"), n["u32"], 3 << 24, f("y"), n["u32"], 5 << 24 | 3, f("z"), n["int"], 32
    )
    n["color"] = w.raw("color", b.ENUM | 0x80, 2, 4, f("RED"), 0, f("BLUE"), -1)
    n["wide"] = w.raw("wide", b.ENUM64, 1, 8, f("HUGE"), 1, 2)
    n["float"] = w.raw("double", b.FLOAT, 0, 8)
    n["fwd"] = w.raw("opaque", b.FWD, 0, 0)
    n["proto"] = w.add_func_proto(n["int"], [("head", n["node *"]), ("how", n["text"])])
    n["act"] = w.add_func("act", n["proto"], GLOBAL)
    n["act2"] = w.add_func("act2", n["proto"])
    n["callback"] = w.add_pointer(n["proto"])
    n["variadic"] = w.add_func_proto(0, [("fmt", n["text"]), ("", 0)])
    n["print"] = w.add_func("print", n["variadic"])
    n["act_t"] = w.raw("act_t", b.TYPEDEF, 0, n["callback"])
    return w.encode(), n


@pytest.fixture(scope="module")
def types() -> tuple[b.Btf, dict[str, int]]:
    data, numbers = sample()
    return b.Btf(data), numbers


def test_struct_and_pointers(types: tuple[b.Btf, dict[str, int]]) -> None:
    blob, _ = types
    node = blob.struct("struct", "node")
    assert node is not None and node.size == 48
    assert [f.name for f in node.fields] == ["next", "comm", "text", ""]
    following = node.fields[0].type
    assert isinstance(following, ct.Pointer) and following.target is node
    assert node.fields[1].type == ct.Array(ct.INT8, 16) and ct.is_char_array(node.fields[1].type)
    inner = node.field("b")
    assert inner is not None and inner.offset == 32
    assert inner.type == ct.Pointer(ct.INT8, ct.Space.USER)
    assert [f.decl for f in node.fields] == ["struct node * next", "char comm[16]", "const char * text", "union"]
    assert blob.struct("union", "node") is None and blob.struct("struct", "nod") is None


def test_bit_fields_and_scalars(types: tuple[b.Btf, dict[str, int]]) -> None:
    blob, numbers = types
    bits = blob.struct("struct", "bits")
    assert bits is not None
    assert [(f.offset, f.bit_offset, f.bit_size) for f in bits.fields] == [(0, 0, 3), (0, 3, 5), (4, 0, 0)]
    assert blob.type(numbers["bool"]) == ct.BOOL
    assert blob.typedef("u32") == ct.UINT32
    assert blob.type(numbers["matrix"]) == ct.Array(ct.Array(ct.INT32, 3), 2)
    assert blob.type(numbers["float"]) == ct.Float(8)
    assert blob.type(numbers["fwd"]) == ct.Struct("struct", "opaque", 0)
    assert blob.type(0) == ct.VOID


def test_enums(types: tuple[b.Btf, dict[str, int]]) -> None:
    blob, _ = types
    color = blob.enum("color")
    assert color is not None and color.values == (("RED", 0), ("BLUE", -1)) and color.signed
    assert blob.enum_constant("BLUE") == (color, -1)
    wide = blob.enum_constant("HUGE")
    assert wide is not None and wide[1] == 1 | 2 << 32 and wide[0].name == "wide"
    assert blob.enum_constant("x") is None


def test_functions(types: tuple[b.Btf, dict[str, int]]) -> None:
    blob, numbers = types
    act = blob.function("act")
    assert act is not None and act.result == ct.INT32 and [n for n, _ in act.parameters] == ["head", "how"]
    assert blob.type_id("act2", (b.FUNC,)) == numbers["act2"]
    printer = blob.function("print")
    assert printer is not None and printer.variadic and len(printer.parameters) == 1
    assert parameter_declarations(blob, "act") == ("struct node * head", "const char * how", "int retval")
    assert declaration(blob, numbers["callback"], "go") == "int (*go)(struct node *, const char *)"
    assert declaration(blob, numbers["matrix"], "m") == "int m[2][3]"
    assert blob.names(b.FUNC) == ["act", "act2", "print"]
    assert blob.strings_with_prefix("act") == ["act", "act2", "act_t"]


def test_split_blob() -> None:
    data, numbers = sample()
    base = b.Btf(data)
    count = base.type_count
    own = struct.pack("<III", base.string_end, b.TYPEDEF << 24, numbers["node *"])
    own += struct.pack("<III", base.string_end + 7, b.PTR << 24 | 0, count)
    strings = b"mine_t\0more\0"
    header = b.HEADER.pack(b.MAGIC, 1, 0, 24, 0, len(own), len(own), len(strings))
    split = b.Btf(header + own + strings, "module", base)
    assert split.type_id("mine_t", (b.TYPEDEF,)) == count
    mine = split.typedef("mine_t")
    assert isinstance(mine, ct.Pointer) and mine.target is base.struct("struct", "node")
    assert isinstance(split.type(count + 1), ct.Pointer)
    assert split.type_id("act", (b.FUNC,)) == numbers["act"]
    with pytest.raises(FormatError):
        split.type(count + 2)


def poke(blob: b.Btf) -> None:
    """Ask everything; only kloupe's own errors may come out."""
    asks = [
        lambda: blob.type_count,
        lambda: blob.struct("struct", "node") and [str(f) for f in blob.struct("struct", "node").fields],
        lambda: blob.struct("struct", "bits") and blob.struct("struct", "bits").fields,
        lambda: blob.enum_constant("BLUE"),
        lambda: blob.enum_constant("HUGE"),
        lambda: blob.function("act"),
        lambda: blob.typedef("act_t"),
        lambda: parameter_declarations(blob, "act"),
        lambda: [blob.type(n) for n in range(1, 40)],
        lambda: [declaration(blob, n, "x") for n in range(1, 30)],
        lambda: blob.names(b.FUNC),
    ]
    for ask in asks:
        with contextlib.suppress(KloupeError):
            ask()


def test_damaged_blobs_raise_only_our_errors() -> None:
    data, _ = sample()
    for cut in range(0, len(data), 3):
        with contextlib.suppress(FormatError):
            poke(b.Btf(data[:cut]))
    dice = random.Random(1)
    for _ in range(600):
        broken = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        with contextlib.suppress(FormatError):
            poke(b.Btf(bytes(broken)))


def test_type_loops_end() -> None:
    w = RawWriter()
    w.add_pointer(2)
    w.raw("", b.CONST, 0, 1)
    w.raw("t", b.TYPEDEF, 0, 3)
    w.add_array(5, 5, 2)
    w.add_array(4, 4, 2)
    poke(b.Btf(w.encode()))
    deep = RawWriter()
    for n in range(3000):
        deep.add_pointer(n + 2)
    deep.add_int("int", 4)
    with pytest.raises(FormatError):
        b.Btf(deep.encode()).type(1)


@live
def test_kernel_types() -> None:
    with open(VMLINUX, "rb") as file:
        blob = b.Btf(file.read(), VMLINUX)
    task = blob.struct("struct", "task_struct")
    assert task is not None and task.size > 1000
    comm = task.field("comm")
    assert comm is not None and comm.type == ct.Array(ct.INT8, 16)
    parent = task.field("parent")
    assert parent is not None and parent.type == ct.Pointer(task)
    opener = blob.function("do_sys_openat2") or blob.function("do_sys_open")
    assert opener is not None and opener.parameters[0] == ("dfd", ct.INT32)
    found = blob.enum_constant("BPF_FUNC_map_lookup_elem")
    assert found is not None and found[0].name == "bpf_func_id" and found[1] == 1
    assert blob.typedef("pid_t") == ct.INT32
    # a name found by searching and by walking is the same type
    number = blob.type_id("vfs_read", (b.FUNC,))
    assert number is not None and blob.type(number) == blob.function("vfs_read")
