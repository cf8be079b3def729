"""Trees and texts that are not what they should be: no exception, partial answers marked as such."""

import os
import random
import re
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kloupe.base.errors import KloupeError, MissingFacts, UsageError
from kloupe.source import Tree
from kloupe.xref.compat.database import CscopeDatabase
from kloupe.xref.index.words import defined_words, words_of
from kloupe.xref.kconfig import entries_in, selections_in
from kloupe.xref.patterns import longest_literal, parse_pattern
from kloupe.xref.structs import implementers_in, members_in
from kloupe.xref.text import SourceText
from kloupe.xref.uses import assignments_in, callees_in, calls_in, definitions_in, includes_in, references_in

TREE = Path(__file__).parent / "tree"


def write(root: Path, name: str, data: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)


def test_not_a_tree(tmp_path: Path) -> None:
    with pytest.raises(MissingFacts, match="no source tree"):
        Tree(tmp_path / "nowhere")
    empty = Tree(tmp_path)
    assert empty.index().files == 0
    assert not empty.definitions("x")


def test_any_folder_is_a_tree(tmp_path: Path) -> None:
    write(tmp_path, "a.c", b"int main(void)\n{\n\treturn 0;\n}\n")
    tree = Tree(tmp_path)
    tree.index()
    assert [item.file for item in tree.definitions("main")] == ["a.c"]


def test_vanished_files_make_answers_partial(folder: Path) -> None:
    tree = Tree(folder)
    tree.index()
    (folder / "kernel/demo.c").unlink()
    found = tree.references("demo_loop")
    assert found.partial == ("kernel/demo.c",)
    assert not found


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files_are_named(folder: Path) -> None:
    (folder / "kernel/demo.c").chmod(0)
    assert Tree(folder).index().partial == ("kernel/demo.c",)


def test_unreadable_files_are_named_also_to_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kloupe.xref.index import batch

    def refuse(root: str, path: str) -> bytes | None:
        return None if path == "kernel/demo.c" else read(root, path)

    read = batch.read_file
    monkeypatch.setattr(batch, "read_file", refuse)
    tree = Tree(folder)
    assert tree.index().partial == ("kernel/demo.c",)
    assert tree.definitions("plain_read")


def test_other_encodings_and_binary_files(tmp_path: Path) -> None:
    write(tmp_path, "latin.c", "int größe;\nint mark; /* é */\n".encode("latin-1"))
    write(tmp_path, "wide.c", "int wide;\n".encode("utf-16"))
    write(tmp_path, "binary.h", bytes(range(256)) * 64)
    write(tmp_path, "dos.c", b"int dos_one;\r\nint dos_two(void)\r\n{\r\n\treturn dos_one;\r\n}\r\n")
    write(tmp_path, "nothing.c", b"")
    write(tmp_path, "no_end.c", b"int no_line_break")
    tree = Tree(tmp_path)
    assert tree.index().files == 6
    assert [item.line for item in tree.definitions("mark")] == [2]
    assert [item.line for item in tree.definitions("dos_two")] == [2]
    assert [item.function for item in tree.references("dos_one")] == ["", "dos_two"]
    assert [item.file for item in tree.text("größe")] == []
    assert [item.file for item in tree.text("mark; /*")] == ["latin.c"]


def test_links_that_go_in_circles(folder: Path) -> None:
    os.symlink("..", folder / "kernel/up")
    os.symlink("demo.c", folder / "kernel/again.c")
    os.symlink("nowhere", folder / "kernel/broken.c")
    tree = Tree(folder)
    tree.index()
    assert [item.file for item in tree.definitions("demo_loop")] == ["kernel/demo.c"]


def test_a_gigantic_generated_header(tmp_path: Path) -> None:
    write(tmp_path, "huge.h", b"".join(b"#define REG_%d 0x%x\n" % (n, n) for n in range(200_000)))
    tree = Tree(tmp_path)
    tree.index()
    assert [item.line for item in tree.definitions("REG_123456")] == [123457]


@pytest.mark.parametrize(
    "text",
    [
        b"int a(void)\n{\n\tif (x) {\n\treturn 1;\n}\n\nint b(void)\n{\n\treturn 2;\n}\n",
        b"int a(void)\n{\n\treturn 1; }}\n}\n\nint b(void)\n{\n\treturn 2;\n}\n",
        b"#if X\nint a(void)\n{\n#else\n#endif\n#endif\n\treturn 1;\n}\n#endif\nint b(void)\n{\n\treturn 2;\n}\n",
        b"#ifdef A\n#if\n#else\n#else\nint a(void)\n{\n\treturn 1;\n}\nint b(void)\n{\n\treturn 2;\n}\n",
    ],
    ids=["a brace too few", "a brace too many", "too many endifs", "endless ifs"],
)
def test_unbalanced_text_costs_no_other_function(tmp_path: Path, text: bytes) -> None:
    write(tmp_path, "a.c", text)
    tree = Tree(tmp_path)
    tree.index()
    assert len(tree.definitions("a")) == 1
    assert len(tree.definitions("b")) == 1


@pytest.mark.parametrize("name", ["a b c", "x->y", "(", "", "3com", "a\nb", "é", "a;b"])
@pytest.mark.parametrize("verb", ["definitions", "references", "callers", "callees", "assignments", "members"])
def test_names_that_are_none(indexed: Tree, verb: str, name: str) -> None:
    with pytest.raises(UsageError, match="is not a name"):
        getattr(indexed, verb)(name)


def test_patterns(indexed: Tree) -> None:
    with pytest.raises(UsageError, match="bad regular expression"):
        indexed.regex("*[")
    with pytest.raises(UsageError, match=r"is no STRUCT\.MEMBER"):
        indexed.implementers("demo_operations")
    assert [item.line for item in indexed.regex(r"^SYSCALL_DEFINE.(demo_read")] == [43], "as grep has it"
    assert [item.line for item in indexed.regex(r"^SYSCALL_DEFINE.\(demo_read")] == [43], "as Python has it"


@given(st.text(alphabet="ab_*?+()[]{}|\\^$.1", max_size=12), st.lists(st.text(alphabet="ab_1", max_size=8), max_size=6))
@settings(max_examples=400, deadline=None)
def test_a_literal_is_in_every_match(pattern: str, lines: list[str]) -> None:
    try:
        compiled, literal = parse_pattern(pattern)
    except UsageError:
        return
    for line in lines:
        match = compiled.search(line.encode())
        assert match is None or literal in line.encode()


@pytest.mark.parametrize("pattern", ["[[a]", "[a&&b]", "x[a||b]"])
def test_signs_that_python_may_take_otherwise_one_day_are_no_warning(pattern: str) -> None:
    re.purge()  # a pattern in the cache warns no more
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_pattern(pattern)[0].search(b"xa")


def test_literals() -> None:
    assert longest_literal(r"^SYSCALL_DEFINE.\(read") == b"SYSCALL_DEFINE"
    assert longest_literal(r"(foo)?bar") == b"bar"
    assert longest_literal(r"foo|bar") == b""
    assert longest_literal(r"abc?d{2}e") == b"ab"


def ask_everything(path: str, data: bytes) -> None:
    """Every question about one file."""
    words_of(data)
    defined_words(data, path.endswith(".S"))
    text = SourceText(path, data)
    for item in text.names():
        assert 0 <= item.offset <= len(data)
        text.line_at(item.offset)
    for name in (b"demo_item", b"demo_read", b"a"):
        for question in (references_in, calls_in, callees_in, assignments_in):
            list(question(text, name))
        list(definitions_in(text, frozenset([name])))
        list(implementers_in(text, b"demo_operations", b"read"))
        list(members_in(text, name.decode()))
    list(includes_in(text, "demo.h"))
    list(entries_in(text, "A"))
    list(selections_in(text, "A"))


SEEDS = sorted(path for path in TREE.rglob("*") if path.is_file())
PIECES = [
    b"{",
    b"}",
    b"(",
    b")",
    b";",
    b"\n",
    b"#if A\n",
    b"#else\n",
    b"#endif\n",
    b'"',
    b"'",
    b"/*",
    b"*/",
    b"//",
    b"\\\n",
    b"=",
    b"\x00",
]


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: str(path.relative_to(TREE)))
def test_mutilated_files(path: Path) -> None:
    random_source = random.Random(7)
    for _ in range(40):
        data = bytearray(path.read_bytes())
        for _ in range(random_source.randrange(1, 8)):
            at = random_source.randrange(len(data) + 1)
            if random_source.random() < 0.5:
                data[at:at] = random_source.choice(PIECES)
            else:
                del data[at : at + random_source.randrange(1, 30)]
        ask_everything(path.name, bytes(data))


@given(
    st.lists(
        st.sampled_from(
            [
                *PIECES,
                b"int ",
                b"struct ",
                b"demo_item",
                b"a",
                b" ",
                b"static ",
                b"DEFINE_MUTEX",
                b"enum ",
                b"typedef ",
                b"#define ",
            ]
        ),
        max_size=60,
    )
)
@settings(max_examples=300, deadline=None)
def test_texts_of_pieces(parts: list[bytes]) -> None:
    for name in ("a.c", "a.S", "Kconfig"):
        ask_everything(name, b"".join(parts))


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_databases_of_garbage(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.out"
    path.write_bytes(b"cscope 15 /x               0000000300\n" + data)
    database = CscopeDatabase(str(path))
    for number, pattern in ((0, "a"), (1, "a"), (2, "a"), (3, "a"), (7, "a"), (8, "a"), (9, "a"), (4, "a")):
        with suppress(KloupeError):
            list(database.search(number, pattern))


def test_time_grows_with_the_text_and_not_faster() -> None:
    """Texts that make careless regular expressions slow, in a process that can be stopped."""
    program = (
        "from kloupe.xref.text import SourceText\n"
        "from kloupe.xref.index.words import defined_words\n"
        "for data in (b'struct ' * 20000, b'(' * 50000, b'{' * 50000, b'a ' * 50000, b'struct A __x ' * 5000 + b'{', b'/*' * 50000,\n"
        "             b'__a(' * 5000, b'int a, ' * 10000 + b';', b'#define ' * 9000, b'\\\\\\n' * 20000, b'enum ' * 9000 + b'{' ):\n"
        "    defined_words(data)\n"
        "    list(SourceText('a.c', data).names())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
