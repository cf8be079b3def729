"""Reads a database that cscope made, and answers cscope's searches from it.

Format: the cross-reference file of cscope 15 as its build leaves it: a header line; for every file a mark `@` with its name; for
every line with symbols its number, then by turns text and symbols (a symbol may have a tab and a mark before it), ended by an empty
line. Unless made with -c, common pairs of letters and keywords are one byte each.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable, Iterator

from ...base.errors import FormatError, PermissionNeeded, UsageError
from ...base.record import record
from ..patterns import parse_pattern
from .lines import Found

_FIRST = b" teisaprnl(of)=c"  # a byte from 0x80 on is one of these and one of the next
_SECOND = b" tnerpla"
# Bytes below a space stand for keywords; 9 and 10 are themselves.
_KEYWORDS = (
    *(b"", b"#define ", b"#include ", b"break", b"case ", b"char ", b"continue", b"default", b"double ", b"\t", b"\n"),
    *(
        b"else ",
        b"enum ",
        b"extern ",
        b"float ",
        b"for (",
        b"goto ",
        b"if (",
        b"int ",
        b"long ",
        b"register ",
        b"return",
    ),
    *(
        b"short ",
        b"sizeof",
        b"static ",
        b"struct ",
        b"switch (",
        b"typedef ",
        b"union ",
        b"unsigned ",
        b"void ",
        b"while (",
    ),
)
_HEADER = re.compile(rb"cscope (\d+) (\S[^\n]*?)((?:\s+-[cT]|\s+-q \d+)*)\s+(\d+)\n")
_LINE = re.compile(rb"(\d+) ")
_SCOPE = re.compile(rb"\n\t([$#})])([^\n]*)")
_DEFINING = "$#cegmstu"
_STEP = re.compile(rb"\s*(?:\[[^\]]*\]\s*)*(?:=(?!=)|[-+*/%&|^]=|<<=|>>=)")


@record(frozen=True)
class _Hit:
    """A symbol in the database: its mark ("" for a plain mention), the offset of the line break before it, and where the text behind it begins."""

    mark: str
    offset: int
    end: int


class CscopeDatabase:
    """A database that exists."""

    def __init__(self, path: str) -> None:
        """Raises FormatError when the file is no such database, PermissionNeeded when it cannot be read."""
        self.path = path
        try:
            with open(path, "rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError):
                raise FormatError(path, 0, "the file is empty") from error
            raise PermissionNeeded(f"cannot read {path}: {error.strerror}") from error
        header = _HEADER.match(self._data)
        if header is None:
            raise FormatError(path, 0, "neither a reference file of kloupe nor a database of cscope")
        if header[1] != b"15":
            raise FormatError(path, 0, f"a database of cscope {header[1].decode()}; kloupe reads those of cscope 15")
        self._compressed = b" -c" not in header[3]
        self._trailer = int(header[4])
        folder = header[2].decode("utf-8", "surrogateescape")
        self.root = folder if os.path.isdir(folder) else os.path.dirname(os.path.abspath(path))

    def refresh(self) -> None:
        """Nothing: it is cscope's."""

    def search(self, number: int, pattern: str, any_case: bool = False) -> Iterable[Found]:
        """The lines of one of cscope's searches. Raises UsageError for what only a tree can answer."""
        if any_case or (number in (0, 1, 2, 3, 9) and not pattern.isidentifier()):
            raise UsageError("patterns and -C need an index of kloupe's, not a database of cscope")
        if number in _BY_MARKS:
            marks, nowhere = _BY_MARKS[number]
            found = (self._found(hit, nowhere, pattern if number == 1 else "") for hit in self._hits(pattern, marks))
            return (item for item in found if item.function)  # a call outside of functions is a prototype
        if number == 9:
            return self._assignments(pattern)
        if number == 2:
            return self._callees(pattern)
        if number == 7:
            return (Found(name, "<unknown>", 1, "<unknown>") for name in self.files() if pattern in name)
        if number == 8:
            return (self._found(hit, "<global>") for hit in self._include_hits(pattern))
        return self._lines_of_files(pattern, number == 6)

    def files(self) -> list[str]:
        """The files in the database."""
        found = re.finditer(rb"\n\t@([^\n]+)\n", self._data)
        return [match[1].decode("utf-8", "surrogateescape") for match in found]

    def _hits(self, name: str, marks: str | None) -> Iterator[_Hit]:
        """The places of a symbol with one of some marks; None: with any or no mark."""
        data, text = self._data, self._encoded(name.encode())
        for match in re.finditer(re.escape(text) + rb"\n", data):
            at = match.start()
            if data[at - 1] == 0x0A:
                mark = ""
            elif data[at - 2] == 0x09 and data[at - 3] == 0x0A:
                mark = chr(data[at - 1])
            else:
                continue
            if (mark != "@") if marks is None else (mark != "" and mark in marks):
                yield _Hit(mark, at - 1 - 2 * bool(mark), match.end())

    def _assignments(self, name: str) -> Iterator[Found]:
        for hit in self._hits(name, None):
            end = self._data.find(b"\n", hit.end)
            if _STEP.match(self._decoded(self._data[hit.end : end])):
                yield self._found(hit, "<global>")

    def _include_hits(self, header: str) -> Iterator[_Hit]:
        for match in re.finditer(rb"\n\t~[\"<]([^\n]+)(?=\n)", self._data):
            if header.encode() in self._decoded(match[1]):
                yield _Hit("~", match.start(), match.end())

    def _callees(self, name: str) -> Iterator[Found]:
        for hit in self._hits(name, "$#"):
            end = self._data.find(b"\n\t}" if hit.mark == "$" else b"\n\t)", hit.offset)
            for match in re.compile(rb"\n\t`([^\n]+)(?=\n)").finditer(self._data, hit.offset, max(end, hit.offset)):
                yield self._found(
                    _Hit("`", match.start(), match.end()), "", self._decoded(match[1]).decode("utf-8", "replace")
                )

    def _found(self, hit: _Hit, nowhere: str, function: str = "") -> Found:
        start = self._line_start(hit.offset)
        number = _LINE.match(self._data, start)
        file_at = self._data.rfind(b"\n\t@", 0, start)
        if number is None or file_at < 0:
            raise FormatError(self.path, hit.offset, "damaged: a symbol without its line")
        end = self._data.find(b"\n\n", start)
        file = self._data[file_at + 3 : self._data.find(b"\n", file_at + 1)].decode("utf-8", "surrogateescape")
        text = self._line_text(self._data[number.end() : end])
        return Found(file, function or self._scope(hit) or nowhere, int(number[1]), text)

    def _line_start(self, offset: int) -> int:
        return self._data.rfind(b"\n\n", 0, offset + 1) + 2

    def _scope(self, hit: _Hit) -> str:
        """The function or macro that a place is in."""
        if hit.mark in ("~", "#"):
            return ""
        if hit.mark == "$":
            return self._decoded(self._data[hit.offset + 3 : hit.end - 1]).decode("utf-8", "replace")
        inside = ""
        file_at = max(self._data.rfind(b"\n\t@", 0, hit.offset), 0)
        for match in _SCOPE.finditer(self._data, file_at + 1, hit.offset + 1):
            opens = match[1] in (b"$", b"#")
            inside = self._decoded(match[2]).decode("utf-8", "replace") if opens else ""
        return inside

    def _line_text(self, data: bytes) -> str:
        first, *rest = data.split(b"\n")
        parts = [self._decoded(first)]
        parts += (self._decoded(part[2:] if part[:1] == b"\t" else part) for part in rest)
        return b"".join(parts).decode("utf-8", "replace").strip()

    def _encoded(self, text: bytes) -> bytes:
        if not self._compressed:
            return text
        out, at = bytearray(), 0
        while at < len(text):
            first, second = _FIRST.find(text[at : at + 1]), _SECOND.find(text[at + 1 : at + 2] or b"\n")
            if first >= 0 and second >= 0:
                out.append(0x80 + first * 8 + second)
                at += 2
            else:
                out.append(text[at])
                at += 1
        return bytes(out)

    def _decoded(self, data: bytes) -> bytes:
        return b"".join(map(_MEANINGS.__getitem__, data)) if self._compressed else data

    def _lines_of_files(self, pattern: str, is_regex: bool) -> Iterator[Found]:
        compiled, _ = parse_pattern(pattern if is_regex else re.escape(pattern))
        for name in self.files():
            try:
                with open(os.path.join(self.root, name), "rb") as file:
                    data = file.read()
            except OSError:
                continue
            for number, line in enumerate(data.split(b"\n"), 1) if compiled.search(data) else ():
                if compiled.search(line):
                    yield Found(name, "<unknown>", number, line.decode("utf-8", "replace").strip())


# cscope's number -> (marks that count, or None for all; what stands for no function).
_BY_MARKS: dict[int, tuple[str | None, str]] = {
    0: (None, "<global>"),
    1: (_DEFINING, "<global>"),
    3: ("`", ""),
}
_MEANINGS = tuple(
    (_KEYWORDS[byte] if byte < len(_KEYWORDS) else bytes((byte,)))
    if byte < 0x80
    else bytes((_FIRST[(byte & 0x7F) // 8], _SECOND[byte & 7]))
    for byte in range(256)
)
