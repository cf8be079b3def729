"""The index as an SQLite file: segments of words, the texts in them by content, and the tree's files.

SQLite gives what an own format would have to build: updates that happen whole or not at all, readers beside a writer, and
checks of its pages. What is in the blocks has checksums of its own (`segment.py`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator

from ...base.errors import FormatError, KloupeError, MissingFacts, TargetError
from ...base.record import record
from .segment import Block, OpenBlock

VERSION = 2  # of the layout, and of what words.py finds; another number means a rebuild
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (segment INTEGER NOT NULL, first BLOB NOT NULL, data BLOB NOT NULL);
CREATE INDEX blocks_by_word ON blocks (segment, first);
CREATE TABLE texts (id INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE INDEX texts_by_content ON texts (content);
CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER, mtime INTEGER, text INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX files_by_text ON files (text);
"""
_FRESH = "PRAGMA page_size=8192; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"  # nobody reads it before it is whole
_TEXTS = 1 << 16  # a text's id is its segment times this plus its number there


@record(frozen=True)
class IndexedFile:
    """A file as it was when it was indexed. `text` is the id of its content."""

    path: str
    size_bytes: int
    mtime_ns: int
    text: int


class Store:
    """An open index. Not for several threads."""

    def __init__(self, path: str, create: bool = False) -> None:
        """Open an index to read, or create an empty one. Raises MissingFacts when there is none, FormatError when it is damaged."""
        self.path = path
        if create:
            try:
                self._database = sqlite3.connect(path, isolation_level=None)
                self._database.executescript(_FRESH + _SCHEMA)
            except sqlite3.DatabaseError as error:
                raise _explained(error, path) from error
            self.set_fact("version", str(VERSION))
        else:
            if not os.path.exists(path):
                raise MissingFacts(f"no index {path}", hint="Make it with: kloupe source index")
            self._database = sqlite3.connect(path, isolation_level=None, timeout=60)
            if self.fact("version") != str(VERSION):
                self.close()
                raise FormatError(path, 0, "the index is of another version of kloupe")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _rows(self, question: str, *values: object) -> list[tuple[object, ...]]:
        try:
            return self._database.execute(question, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise _explained(error, self.path) from error

    def _put(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        try:
            self._database.executemany(statement, rows)
        except sqlite3.DatabaseError as error:
            raise _explained(error, self.path) from error

    # What stands in it

    def fact(self, name: str) -> str:
        """A fact about the whole index, or "" when it is not known."""
        rows = self._rows("SELECT value FROM facts WHERE name = ?", name)
        return str(rows[0][0]) if rows else ""

    def segments(self) -> list[int]:
        """The numbers of the segments."""
        last = self._rows("SELECT max(id) FROM texts")[0][0]
        return list(range(int(last) // _TEXTS + 1)) if isinstance(last, int) else []

    def texts_with(self, word: bytes) -> Iterator[tuple[int, bool]]:
        """(id of a text, whether it may define the word) of every text that has the word."""
        for segment in self.segments():
            rows = self._rows(
                "SELECT data FROM blocks WHERE segment = ? AND first <= ? ORDER BY first DESC LIMIT 1", segment, word
            )
            for (data,) in rows:
                for number, defines in OpenBlock(_bytes(data), self.path).postings(word):
                    yield segment * _TEXTS + number, defines

    def blocks(self, prefix: bytes = b"") -> Iterator[OpenBlock]:
        """All blocks that may have words with a prefix."""
        for segment in self.segments():
            for (data,) in self._rows(
                "SELECT data FROM blocks WHERE segment = ? AND first < ? AND first >= coalesce("
                "(SELECT max(first) FROM blocks WHERE segment = ? AND first <= ?), x'')",
                *(segment, prefix + b"\xff", segment, prefix),
            ):
                yield OpenBlock(_bytes(data), self.path)

    def files_of(self, texts: Iterable[int]) -> Iterator[str]:
        """The tree's files with these texts."""
        find = "SELECT path FROM files WHERE text = ?"
        for text in texts:
            for (path,) in self._rows(find, text):
                yield str(path)

    def files(self) -> dict[str, tuple[int, int]]:
        """path -> (size, time of change) of all files."""
        return {path: (size, mtime) for path, size, mtime in self._rows("SELECT path, size, mtime FROM files")}  # type: ignore[misc]

    def paths(self) -> list[str]:
        """The paths of all files, in order."""
        return [str(row[0]) for row in self._rows("SELECT path FROM files ORDER BY path")]

    def text_of_content(self, content: bytes) -> int | None:
        """The id of a text by the hash of its content, when the index has it."""
        rows = self._rows("SELECT id FROM texts WHERE content = ? LIMIT 1", content)
        return int(str(rows[0][0])) if rows else None

    # Changes

    def begin(self) -> None:
        """Start a change that happens whole or not at all. Waits for another writer."""
        self._rows("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make a change true."""
        self._rows("COMMIT")

    def rollback(self) -> None:
        """Forget a change."""
        if self._database.in_transaction:
            self._rows("ROLLBACK")

    def set_fact(self, name: str, value: str) -> None:
        """Note a fact about the whole index."""
        self._rows("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, value)

    def add_segment(self, blocks: Iterable[Block], contents: list[bytes]) -> int:
        """Add a segment; the id of its first text, behind which the others follow."""
        segment = len(self.segments())
        self._put("INSERT INTO blocks VALUES (?, ?, ?)", ((segment, block.first, block.data) for block in blocks))
        self._put("INSERT INTO texts VALUES (?, ?)", ((segment * _TEXTS + n, c) for n, c in enumerate(contents)))
        return segment * _TEXTS

    def put_files(self, files: Iterable[IndexedFile]) -> None:
        """Add files, or replace what is known of them."""
        self._put(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
            ((file.path, file.size_bytes, file.mtime_ns, file.text) for file in files),
        )

    def remove_files(self, paths: Iterable[str]) -> None:
        """Take files out."""
        self._put("DELETE FROM files WHERE path = ?", ((path,) for path in paths))


def _explained(error: sqlite3.DatabaseError, path: str) -> KloupeError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return TargetError(f"{path} is being written by another program", hint="Try again in a moment.")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return TargetError(
            f"cannot write the index {path}: {error}", hint="Free some space, or choose a folder: --index DIR"
        )
    return FormatError(path, 0, f"damaged index ({error})")


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""
