"""C declarations to types; layouts are held against the compiler where there is one."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from kloupe.base import ctype as ct
from kloupe.base.diag import Diagnostics
from kloupe.cfront import CDeclarations, TextPart, no_kernel, parse_c


class Kernel:
    has_btf = True

    def struct(self, kind: str, name: str) -> ct.Struct | None:
        known = ct.Struct("struct", "list_head", 16, (ct.Field("next", ct.Pointer(ct.VOID), 0),))
        return known if (kind, name) == ("struct", "list_head") else None

    def enum(self, name: str) -> ct.Enum | None:
        return None

    def typedef(self, name: str) -> ct.CType | None:
        return {"my_t": ct.UINT16}.get(name)


def declare(text: str, known: object = None, **options: object) -> tuple[CDeclarations, list[str]]:
    diagnostics = Diagnostics()
    found = parse_c(TextPart("c", text), known or no_kernel(), diagnostics, **options)  # type: ignore[arg-type]
    return found, [f"{item.span.where()}: {item.message}" for item in diagnostics.items]


def fields(text: str, name: str = "s") -> list[tuple[str, int, int, int, str]]:
    found, messages = declare(text)
    assert messages == []
    struct = found.structs[("struct", name)]
    return [(f.name, f.offset, f.bit_offset, f.bit_size, str(f.type)) for f in struct.fields]


def test_plain_members() -> None:
    assert fields("struct s { char a; int b, *c; unsigned long long d[2][3]; void (*f)(int, char *); const char *n; };") == [
        ("a", 0, 0, 0, "int8"),
        ("b", 4, 0, 0, "int32"),
        ("c", 8, 0, 0, "int32 *"),
        ("d", 16, 0, 0, "uint64[3][2]"),
        ("f", 64, 0, 0, "void (int32, int8 *) *"),
        ("n", 72, 0, 0, "int8 *"),
    ]  # fmt: skip


def test_type_words_in_any_order() -> None:
    kinds = [
        f[4]
        for f in fields("struct s { long unsigned a; unsigned b; short int c; _Bool d; u32 e; pid_t f; __be16 g; };")
    ]
    assert kinds == ["uint64", "uint32", "int16", "bool", "uint32", "int32", "uint16"]


def test_bit_fields_and_packing() -> None:
    assert fields("struct s { int a:3; unsigned b:30; int :0; char c; } __attribute__((packed));") == [
        ("a", 0, 0, 3, "int32"),
        ("b", 0, 3, 30, "uint32"),
        ("c", 8, 0, 0, "int8"),
    ]  # fmt: skip


def test_anonymous_members() -> None:
    found, messages = declare(
        "struct s { int a; struct { int b; union { long c; int d; }; }; } union u { struct s *p; };"
    )
    assert messages == []
    struct = found.structs[("struct", "s")]
    member = struct.field("d")
    assert member is not None and member.offset == 16 and struct.size == 24
    assert list(struct.field_names()) == ["a", "b", "c", "d"]
    assert found.structs[("union", "u")].size == 8


def test_self_reference_and_forward_reference() -> None:
    found, _ = declare("struct a { struct a *me; struct b *other; }; struct b { int x; };")
    me = found.structs[("struct", "a")].field("me")
    other = found.structs[("struct", "a")].field("other")
    assert me is not None and isinstance(me.type, ct.Pointer) and me.type.target is found.structs[("struct", "a")]
    assert (
        other is not None and isinstance(other.type, ct.Pointer) and other.type.target == found.structs[("struct", "b")]
    )


def test_kernel_types() -> None:
    found, messages = declare("struct s { my_t a; struct list_head l[2]; struct list_head *p; };", Kernel())
    assert messages == []
    struct = found.structs[("struct", "s")]
    assert struct.size == 48
    pointer = struct.field("p")
    assert pointer is not None and isinstance(pointer.type, ct.Pointer)
    assert isinstance(pointer.type.target, ct.Struct) and pointer.type.target.field("next") is not None


def test_enums_and_constants() -> None:
    found, messages = declare(
        "#define N 4\nenum e { A, B = 1 << 3, C, D = -(N) }; enum { X = sizeof(struct q *) }; struct s { char c[C + N]; };"
    )
    assert messages == []
    assert found.enums["e"].values == (("A", 0), ("B", 8), ("C", 9), ("D", -4))
    assert (found.enums["e"].size, found.enums["e"].signed) == (4, True)
    assert found.all_enums[1].values == (("X", 8),)
    assert found.structs[("struct", "s")].size == 13


def test_preprocessor() -> None:
    text = (
        "#include <linux/sched.h>\n#define N 5\n#define F(x, y) ((x) + y##1)\n#define LONG 1 + \\\n  2\n"
        "#if N > 4 && defined(N) && !defined(Q)\nstruct a { char x[F(N, 1)]; };\n#elif 1\n#error no\n#else\n#error no\n#endif\n"
        "#ifdef BPFTRACE_HAVE_BTF\n#define H N\n#endif\n#ifndef N\n#error no\n#endif\n#undef N\n"
    )
    found, messages = declare(text, Kernel())
    assert messages == []
    assert found.structs[("struct", "a")].size == 16
    assert found.includes == ["linux/sched.h"]
    assert found.defines == {"LONG": "1 + 2", "H": "N"}


def test_includes_are_read_when_the_caller_can() -> None:
    found, messages = declare(
        '#include "a.h"\nstruct s { t x; };', read_include=lambda path, quoted: (path, "typedef short t;")
    )
    assert messages == [] and found.structs[("struct", "s")].size == 2


def test_headers_that_need_no_file_and_headers_that_are_missing() -> None:
    def nothing(path: str, quoted: bool) -> None:
        asked.append((path, quoted))

    asked: list[tuple[str, bool]] = []
    text = '#include <linux/sched.h>\n#include "sys/types.h"\n#include <errno.h>\nenum e { A = EPERM, B = ENOENT };'
    found, messages = declare(text, read_include=nothing)
    assert messages == [] and found.enums["e"].values == (("A", 1), ("B", 2))
    assert asked == [("linux/sched.h", False), ("sys/types.h", True), ("errno.h", False)]
    _, messages = declare("#include <own/thing.h>\n", read_include=nothing)
    assert messages == ["c:1:2-23: 'own/thing.h' file not found"]


def test_functions_and_variables_are_read_over() -> None:
    found, messages = declare(
        'typedef int (*cb)(void *, ...); extern int x; static inline int f(int a) { if (a) { return 1; } return 0; }\n'
        'int y = 3, z[2]; int proto(struct nope *, enum e); struct s { cb c; };'
    )  # fmt: skip
    assert messages == [] and found.structs[("struct", "s")].size == 8
    assert isinstance(found.typedefs["cb"], ct.Pointer)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("struct s { foo x; };", "c:1:12-15: unknown type name 'foo'"),
        ("struct s { struct nope x; };", "c:1:24-25: field has incomplete type 'struct nope'"),
        ("struct s { int x; }; struct s { int y; };", "c:1:29-30: redefinition of 's'"),
        ("#error boom", "c:1:2-7: boom"),
        ("#if 1\nstruct s { int x; };", "c:2:21-21: unterminated conditional directive"),
        ("struct s { int x[-1]; };", "c:1:20-21: size of array is negative or too large"),
        ("struct s { int x[1/0]; };", "c:1:19-20: division by zero in constant expression"),
        ("enum e { A = B };", "c:1:14-15: use of undeclared identifier 'B'"),
        ("struct s { int x : 40; };", "c:1:16-17: width of bit-field 'x' (40 bits) is not valid"),
    ],
)
def test_errors_have_their_place(text: str, wanted: str) -> None:
    assert declare(text)[1][0] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "struct a { " * 10_000,
        "int " + "*" * 10_000 + "x;",
        "enum e { A = " + "(" * 10_000,
        "struct s { int x" + "[1]" * 10_000 + "; };",
        "#define A A A\n#define B A A\n" + "".join(f"#define C{i} C{i + 1} C{i + 1}\n" for i in range(60)) + "struct s { int x[C0]; };",
        "#define F(x) F(x x) F(x)\nstruct s { int x[" + "F(" * 500 + "1" + ")" * 500 + "]; };",
        "#if " + "!" * 10_000 + "1\n#endif",
    ],
    ids=["structs", "stars", "parentheses", "dimensions", "multiplying", "calls", "signs"],
)  # fmt: skip
def test_hostile_text_ends_soon(text: str) -> None:
    declare(text)


# -- against the compiler -----------------------------------------------------------------------------------------

_BITS = {
    "char": 8,
    "unsigned char": 8,
    "short": 16,
    "int": 32,
    "unsigned": 32,
    "long": 64,
    "unsigned long": 64,
    "_Bool": 1,
}
_TYPES = [*_BITS, "void *", "double", "float"]


def _members(chance: random.Random, counter: list[int], depth: int = 0) -> str:
    out = []
    for _ in range(chance.randint(1, 6)):
        counter[0] += 1
        name, pick = f"m{counter[0]}", chance.random()
        if pick < 0.35:
            kind = chance.choice(list(_BITS))
            width = chance.randint(0, _BITS[kind])
            out.append(f"{kind} {name if width and chance.random() > 0.1 else ''} : {width};")
        elif pick < 0.5 and depth < 3:
            attribute = chance.choice(["", "", "__attribute__((packed))", "__attribute__((aligned(8)))"])
            word, tag = chance.choice(["struct", "union"]), chance.choice(["", name])
            out.append(f"{word} {{ {_members(chance, counter, depth + 1)} }} {attribute} {tag};")
        elif pick < 0.65:
            out.append(f"{chance.choice(_TYPES)} {name}[{chance.randint(1, 5)}];")
        else:
            aligned = chance.choice(["", "", "", f"__attribute__((aligned({chance.choice([1, 2, 4, 16])})))"])
            out.append(f"{chance.choice(_TYPES)} {name} {aligned};")
    return " ".join(out)


def _named_fields(struct: ct.Struct, base: int = 0) -> list[tuple[ct.Field, int]]:
    out: list[tuple[ct.Field, int]] = []
    for member in struct.fields:
        if member.name:
            out.append((member, base + member.offset))
        elif isinstance(member.type, ct.Struct):
            out += _named_fields(member.type, base + member.offset)
    return out


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_layout_agrees_with_gcc(tmp_path: Path) -> None:
    chance, counter = random.Random(3), [0]
    attributes = [
        "",
        "",
        "",
        "__attribute__((packed))",
        "__attribute__((aligned(16)))",
        "__attribute__((packed, aligned(2)))",
    ]
    text = "\n".join(f"struct s{i} {{ {_members(chance, counter)} }} {chance.choice(attributes)};" for i in range(80))
    found, messages = declare(text)
    assert messages == []
    lines, wanted = [], []
    for (_, name), struct in found.structs.items():
        lines.append(f'printf("%zu %zu\\n", sizeof(struct {name}), _Alignof(struct {name}));')
        wanted.append(f"{struct.size} {struct.align}")
        for member, offset in _named_fields(struct):
            if member.bit_size:
                lines.append(
                    f"{{ struct {name} v; memset(&v, 0, sizeof v); v.{member.name} = -1; show(&v, sizeof v); }}"
                )
                wanted.append(f"{8 * offset + member.bit_offset}")
            else:
                lines.append(f'printf("%zu\\n", offsetof(struct {name}, {member.name}));')
                wanted.append(f"{offset}")
    show = 'static void show(void *p, int n) { for (int i = 0; i < 8 * n; i++) if (((unsigned char *)p)[i / 8] >> i % 8 & 1) { printf("%d\\n", i); return; } }'
    source, program = tmp_path / "a.c", tmp_path / "a"
    source.write_text(
        f"#include <stdio.h>\n#include <string.h>\n#include <stddef.h>\n{text}\n{show}\nint main(void) {{\n"
        + "\n".join(lines)
        + "\n}\n"
    )
    subprocess.run(["gcc", "-w", "-o", program, source], check=True, capture_output=True)
    shown = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split("\n")[:-1]
    assert shown == wanted
