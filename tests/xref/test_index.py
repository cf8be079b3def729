"""The index: updates by content, interruptions, damage, other writers."""

import fcntl
import os
import sqlite3
from pathlib import Path

import pytest

from kloupe.base.errors import PermissionNeeded, TargetError
from kloupe.source import Tree
from kloupe.xref.index import build
from kloupe.xref.index.batch import content_hash
from kloupe.xref.index.segment import OpenBlock, SegmentWriter
from kloupe.xref.index.words import file_words, take_numbers, words_of
from kloupe.xref.text import SourceText


def test_postings_survive_packing() -> None:
    writer = SegmentWriter()
    for number in range(300):
        assert writer.add({b"def%d" % (number % 7)}, {b"all", b"w%d" % number}) == number
    blocks = list(writer.blocks())
    assert len(blocks) > 1
    found = {word: OpenBlock(b.data, "x").postings(word) for b in blocks for word in OpenBlock(b.data, "x").words}
    assert found[b"all"] == [(number, False) for number in range(300)]
    assert found[b"def3"] == [(number, True) for number in range(300) if number % 7 == 3]
    assert found[b"w41"] == [(41, False)]


def test_content_hash_is_gits() -> None:
    assert content_hash(b"hello\n").hex() == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_words_marked_as_defined_cover_the_definitions(indexed: Tree) -> None:
    for path in indexed.paths():
        data = (Path(indexed.root) / path).read_bytes()
        if path.endswith((".c", ".h", ".S")):
            marked, words = file_words(path, data)
            named = {item.name for item in SourceText(path, data).names()} - {"demo", "demo_early"}
            assert named <= {w.decode() for w in marked}, path
            assert words >= words_of(data)


def test_registers_are_words_and_defined() -> None:
    data = b"/* SPDX */\n" + b"".join(b"#define REG_%d\t0x%xUL\n" % (n, n) for n in range(9))
    data += b"#define REG_LAST 0x10 /* the end */\n#define REG_SUM (REG_1 + OTHER)\n#define REG_CALL(x) \\\n\treg(x)\n"
    marked, words = file_words("drivers/gpu/regs.h", data)
    assert words | set(marked) == words_of(data)
    assert set(marked) == {b"REG_%d" % n for n in range(9)} | {b"REG_LAST", b"REG_SUM", b"REG_CALL"}
    assert take_numbers(data)[0] == [b"REG_%d" % n for n in range(9)]
    assert take_numbers(b"int a;\n" * 9 + data)[0], "half of the lines will do"
    assert take_numbers(b"int a;\n" * 90 + data) == ([], b"int a;\n" * 90 + data)


STRANGE = b"""\
static inline int stub(struct page *page)
{ return 0; }
static inline int behind_a_stub(void)
{
	return 1;
}

static inline struct holder *to_holder(struct page *page)
{
	return page->holder;
}

struct behind_a_function {
	DECLARE_BITMAP(in_brackets, 64);
};

typedef struct { unsigned long in_one_line; } one_line_t;
register unsigned long stack_pointer asm("rsp");
static struct holder
*star_in_front(void)
{
	return 0;
}

	.macro  of_assembly, reg
	.endm
"""


def test_definitions_of_rare_layout_are_marked() -> None:
    marked, _ = file_words("include/linux/strange.h", STRANGE)
    assert {b"stub", b"behind_a_stub", b"to_holder", b"behind_a_function", b"in_brackets", b"in_one_line"} <= set(
        marked
    )
    assert {b"one_line_t", b"stack_pointer", b"star_in_front", b"of_assembly"} <= set(marked)


def test_what_the_index_does_not_mark_is_looked_for(folder: Path) -> None:
    path = folder / "kernel" / "strange.c"
    path.write_text(
        "static __printf(2, 3) void with_attribute(int mask, const char *format, ...)\n{\n\tdemo_loop(1);\n}\n"
    )
    tree = Tree(folder)
    tree.index()
    assert b"with_attribute" not in file_words("kernel/strange.c", path.read_bytes())[0], "the case is worth a test"
    assert [item.line for item in tree.definitions("with_attribute")] == [1]
    assert [call.callee for call in tree.callees("with_attribute")] == ["demo_loop"]
    assert not tree.definitions("nowhere_at_all")


def test_a_thousand_functions_in_a_row() -> None:
    text = SourceText("a.c", b"".join(b"int f%d(void)\n{\n\treturn 0;\n}\n" % number for number in range(3000)))
    assert [item.name for item in text.names_near([text.data.rindex(b"f2999")])] == ["f2999"]


def test_an_unchanged_tree_is_not_read_again(folder: Path) -> None:
    tree = Tree(folder)
    first = tree.index()
    assert (first.indexed, first.rebuilt) == (first.files, f"no index {tree.index_path}")
    again = tree.index()
    assert (again.indexed, again.removed, again.rebuilt) == (0, 0, "")


def test_only_new_content_is_read(folder: Path) -> None:
    tree = Tree(folder)
    tree.index()
    source = folder / "kernel/demo.c"
    text = source.read_text()
    source.write_text(text + "\nint demo_fresh(void)\n{\n\treturn 0;\n}\n")
    (folder / "fs/read_demo.c").unlink()
    report = tree.index()
    assert (report.indexed, report.removed) == (1, 1)
    assert [item.file for item in tree.definitions("demo_fresh")] == ["kernel/demo.c"]
    assert not tree.definitions("plain_read")
    source.write_text(text)
    assert tree.index().indexed == 0, "content that was there before is known"
    assert not tree.definitions("demo_fresh")
    assert tree.definitions("demo_loop")


def test_a_file_moved_keeps_its_words(folder: Path) -> None:
    tree = Tree(folder)
    tree.index()
    (folder / "kernel/demo.c").rename(folder / "kernel/moved.c")
    assert tree.index().indexed == 0
    assert [item.file for item in tree.definitions("demo_loop")] == ["kernel/moved.c"]


def test_an_interrupted_build_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(folder)

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "_add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tree.index()
    assert not Tree(folder).indexed
    assert [p.name for p in (folder / ".kloupe").iterdir()] == ["source.sqlite.lock"]
    tree.index()
    (folder / "kernel/demo.c").write_text("int demo_changed;\n")
    with monkeypatch.context() as patch:
        patch.setattr(build, "_add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Tree(folder).index()
    after = Tree(folder)
    assert after.indexed
    assert after.definitions("demo_open"), "the index before is still in use"
    assert not after.definitions("demo_changed")


def test_questions_during_a_rebuild_see_the_old_index(folder: Path) -> None:
    Tree(folder).index()
    reader = Tree(folder)
    writer = sqlite3.connect(reader.index_path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM files")
    assert reader.definitions("demo_loop")
    writer.execute("ROLLBACK")


def test_a_second_indexer_is_told(folder: Path) -> None:
    tree = Tree(folder)
    tree.index()
    with open(tree.index_path + ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TargetError, match="being indexed by another"):
            tree.index()


@pytest.mark.parametrize("where", [0, 100, 9000, 20000])
def test_damage_is_found_said_and_repaired(folder: Path, where: int) -> None:
    tree = Tree(folder)
    tree.index()
    path = Path(tree.index_path)
    data = bytearray(path.read_bytes())
    data[where : where + 4000] = b"\xa5" * len(data[where : where + 4000])
    path.write_bytes(data)
    damaged = Tree(folder)
    assert [item.line for item in damaged.definitions("demo_loop")] == [84], "the answer is right in any case"
    damaged.index()
    assert [item.line for item in Tree(folder).definitions("demo_loop")] == [84]


def test_a_damaged_block_is_said(folder: Path) -> None:
    tree = Tree(folder)
    tree.index()
    with sqlite3.connect(tree.index_path) as database:
        database.execute("UPDATE blocks SET data = zeroblob(length(data))")
    damaged = Tree(folder)
    assert [item.line for item in damaged.definitions("demo_loop")] == [84]
    assert "damaged block" in damaged.index_fault
    assert not damaged.indexed
    assert "no index" in damaged.index().rebuilt


def test_an_empty_file_instead_of_an_index(folder: Path) -> None:
    tree = Tree(folder)
    tree.index()
    Path(tree.index_path).write_bytes(b"")
    assert Tree(folder).index_fault
    assert "damaged" in Tree(folder).index().rebuilt


def test_a_tree_that_cannot_be_written_has_its_index_in_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(folder)))
    tree = Tree(folder)
    assert tree.index_path.startswith(str(tmp_path / "cache"))
    tree.index()
    assert Tree(folder).definitions("demo_loop")


def test_a_folder_that_cannot_be_made(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionNeeded, match="cannot write an index"):
        Tree(folder, index=tmp_path / "file" / "x").index()


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(sqlite3.Connection):
        def executemany(self, *args: object) -> sqlite3.Cursor:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Full))
    with pytest.raises(TargetError, match="disk is full"):
        Tree(folder).index()
    assert not os.path.exists(folder / ".kloupe/source.sqlite")
    assert not os.path.exists(folder / ".kloupe/source.sqlite.new")


def test_several_processes_make_the_same_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "BATCH_BYTES", 250)
    seen: list[tuple[int, int]] = []
    tree = Tree(folder)
    tree.index(lambda done, total: seen.append((done, total)), jobs=2)
    assert seen[-1][0] == seen[-1][1] > 0
    assert len(seen) > 3
    assert [item.line for item in tree.definitions("demo_loop")] == [84]
    assert len(tree.references("demo_open")) == 6
