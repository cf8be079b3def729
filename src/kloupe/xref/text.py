"""One file of the tree, taken apart as far as a question needs."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from .parse.clean import without_comments
from .parse.definitions import Named, PieceReader, assembly, macros
from .parse.pasting import pasted_names
from .parse.structure import Outline, outline_of_clean
from .walk import is_assembly, is_code, is_kconfig

_ASSEMBLY_HEADER = re.compile(rb"^[ \t]*\.macro\b", re.M)
_ENTRIES = frozenset(("asm_function", "label"))


# Whether a byte is one of an identifier's. What is not ASCII counts as none, as in the index.
_INSIDE = tuple(c < 128 and (chr(c).isalnum() or c == 0x5F) for c in range(256))
_END, _END_OF_RECORD = b"\n}\n", b"\n};\n"
# The end of a function's head, and not of a struct's with an attribute.
_FUNCTION_HEAD = re.compile(rb"\)\s*$")
_ATTRIBUTE_END = re.compile(rb"(?:__\w+|[A-Z_]+)\s*\([^()]*\)\s*$")
_CONFIG = re.compile(rb"^[ \t]*(?:menu)?config[ \t]+(\w+)[ \t]*$", re.M)


def _config_names(data: bytes) -> Iterator[Named]:
    for match in _CONFIG.finditer(data):
        yield Named(match[1].decode(), "config", match.start(1), match.start(), match.end())


class SourceText:
    """A file's bytes and, lazily, what is in them."""

    def __init__(self, path: str, data: bytes, first_line: int = 1) -> None:
        self.path = path
        self.data = data
        self._first_line = first_line
        self._place = (0, first_line)  # an offset, and the line it is in

    @cached_property
    def is_assembly(self) -> bool:
        """Whether this is assembly: by its name, or a header with macros of the assembler."""
        return is_assembly(self.path) or (b".macro" in self.data and _ASSEMBLY_HEADER.search(self.data) is not None)

    @cached_property
    def clean(self) -> bytes:
        """The text with comments and the insides of strings as spaces."""
        return without_comments(self.data)

    @cached_property
    def outline(self) -> Outline:
        """The text's directives and top-level pieces."""
        return outline_of_clean(self.data, self.clean)

    @cached_property
    def reader(self) -> PieceReader:
        """Reads what pieces define."""
        return PieceReader(self.outline)

    def line_at(self, offset: int) -> int:
        """The number of the line that an offset is in. Fast when offsets come in order."""
        known, line = self._place if self._place[0] <= offset else (0, self._first_line)
        line += self.data.count(b"\n", known, offset)
        self._place = offset, line
        return line

    def line_text_at(self, offset: int) -> str:
        """The line that an offset is in, without its break and the space around it."""
        start = self.data.rfind(b"\n", 0, offset) + 1
        end = self.data.find(b"\n", offset)
        return self.data[start : end if end >= 0 else None].decode("utf-8", "replace").strip()

    def parts_with(self, name: bytes) -> list[SourceText]:
        """Parts of the text, cut between top-level definitions, that together have all places of a word.

        To understand a function takes only itself: what is asked about in thousands of files is found several times as fast.
        """
        if self.is_assembly or not is_code(self.path):
            return [self]
        data, parts, start, end, line = self.data, [], 0, 0, 1
        while (at := data.find(name, end)) >= 0:
            cut = _cut_before(data, end, at)
            in_comment = data.rfind(b"/*", start, cut) > data.rfind(b"*/", start, cut)
            if in_comment or b"\\\n}" in data[max(start, cut - 5) : cut]:  # or behind a macro inside of a function
                return [self]
            line += data.count(b"\n", start, cut)
            start, end = cut, _cut_behind(data, at)
            parts.append(SourceText(self.path, data[start:end], line))
        return parts

    def words(self, name: bytes) -> Iterator[int]:
        """The offsets where a word stands in code or directives, outside of comments and strings."""
        if name not in self.data:
            return
        clean, size = self.clean, len(name)
        at = clean.find(name)
        while at >= 0:
            end = at + size
            if not _INSIDE[clean[at - 1] if at else 0] and not _INSIDE[clean[end] if end < len(clean) else 0]:
                yield at
            at = clean.find(name, end)

    @cached_property
    def _piece_starts(self) -> list[int]:
        return [piece.start for piece in self.outline.pieces]

    @cached_property
    def _assembly_names(self) -> list[Named]:
        return sorted(assembly(self.outline), key=lambda named: named.offset)

    @cached_property
    def _macro_names(self) -> list[Named]:
        return list(macros(self.outline))

    @cached_property
    def _macro_starts(self) -> list[int]:
        return [named.start for named in self._macro_names]

    def assembly_range(self, item: Named) -> tuple[int, int]:
        """Where the instructions of an assembly function are: up to the next one."""
        starts = [n.start for n in self._assembly_names if n.kind in _ENTRIES and n.start > item.start]
        return item.end, min(starts, default=len(self.clean))

    def piece_at(self, offset: int) -> int:
        """The number of the top-level piece that an offset is in, or -1."""
        index = bisect_right(self._piece_starts, offset) - 1
        if index < 0:
            return -1
        piece = self.outline.pieces[index]
        return index if offset < max(piece.head_end, piece.body_end) else -1

    def scope_at(self, offset: int) -> Named | None:
        """The function or macro whose definition an offset is inside of, behind its name."""
        index = bisect_right(self._macro_starts, offset) - 1
        if index >= 0 and self._macro_names[index].offset < offset < self._macro_names[index].end:
            return self._macro_names[index]
        if self.is_assembly:
            before = [n for n in self._assembly_names if n.kind in _ENTRIES and n.offset < offset]
            return before[-1] if before else None
        index = self.piece_at(offset)
        if index < 0:
            return None
        inside = [named for named in self.reader.code(index) if named.start <= offset]
        return inside[-1] if inside else None  # of `read` and `sys_read` the name of the function

    @cached_property
    def _pasted(self) -> list[Named]:
        """What the file's own macros make with ##."""
        found = []
        for name, macro, offset, is_function in pasted_names(self.clean):
            kind = "macro_function" if is_function else "variable"
            end = self.clean.find(b"\n", offset)
            found.append(
                Named(name.decode(), kind, offset, offset, end if end >= 0 else len(self.clean), macro.decode())
            )
        return found

    def names(self) -> Iterator[Named]:
        """Everything that the text defines."""
        if is_kconfig(self.path):
            yield from _config_names(self.data)
        if not is_code(self.path):
            return
        yield from self._macro_names
        if self.is_assembly:
            yield from self._assembly_names
            return
        yield from self._pasted
        for index in range(len(self.outline.pieces)):
            yield from self.reader.names(index)

    def names_near(self, offsets: list[int]) -> Iterator[Named]:
        """What macros, and the top-level pieces that some offsets are in, define."""
        if not is_code(self.path):
            yield from self.names()
            return
        yield from self._macro_names
        if self.is_assembly:
            yield from self._assembly_names
            return
        yield from self._pasted
        for index in sorted({self.piece_at(offset) for offset in offsets if not self._is_local(offset)} - {-1}):
            yield from self.reader.names(index)

    def _is_local(self, offset: int) -> bool:
        """Whether an offset is inside of a function, where nothing is defined."""
        piece = self.outline.pieces[self.piece_at(offset)] if self.piece_at(offset) >= 0 else None
        if piece is None or piece.body_start < 0 or offset < piece.head_end:
            return False
        head = self.outline.code[max(piece.start, piece.head_end - 200) : piece.head_end]
        return _FUNCTION_HEAD.search(head) is not None and _ATTRIBUTE_END.search(head) is None


def _cut_before(data: bytes, start: int, at: int) -> int:
    """Behind the last definition that ends between two offsets, or the first of them."""
    function, record = data.rfind(_END, start, at), data.rfind(_END_OF_RECORD, start, at)
    return max(start, function + len(_END) if function >= 0 else 0, record + len(_END_OF_RECORD) if record >= 0 else 0)


def _cut_behind(data: bytes, at: int) -> int:
    """Behind the next definition that ends behind an offset."""
    function = data.find(_END, at)
    end = function + len(_END) if function >= 0 else len(data)
    record = data.find(_END_OF_RECORD, at, end)
    return record + len(_END_OF_RECORD) if record >= 0 else end
