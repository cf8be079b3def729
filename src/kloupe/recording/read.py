"""Reading a recording: everything but the runs at once, the runs block by block."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO

from ..base import journal
from ..base.errors import FormatError, UsageError
from ..image import Image
from .answers import check_answer
from .format import ANSWERS, END, IMAGE, META, RUNS, STACKS, read_blocks, read_head
from .meta import Meta, is_number, read_meta

_ALL_BUT_RUNS = frozenset((META, IMAGE, STACKS, ANSWERS, END))
_LENGTH = struct.Struct("=I").unpack_from
_SIZES = struct.Struct(f"=I{journal.CONTEXT_SIZE - 4}xH").unpack_from  # length, bytes of context
_ENTRY = struct.Struct("=" + journal.ENTRY_FORMAT)

Entry = tuple[int, int, int, int, bytes]  # helper, limit, key, result, data


class Recording:
    """A recording in a file. Raises UsageError when it cannot be opened, FormatError when it is none or is damaged.

    `complete` is false when it was cut off: then it ends with its last complete block.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.stacks: dict[tuple[int, int], tuple[int, ...]] = {}  # (map, id) -> addresses
        self.answers: dict[tuple[str, str], object] = {}  # (kind, question as JSON) -> answer
        self.sequences: dict[str, list[tuple[list[object], object]]] = {}  # answers in order, by kind
        self.summary: dict[str, int] = {}
        self.complete = False
        self._image = b""
        self.meta: Meta = self._read_all()

    def _read_all(self) -> Meta:
        meta = None
        path = self.path
        with self._open() as file:
            read_head(file, path)
            for kind, content in read_blocks(file, path, frozenset((RUNS,))):
                if kind == META:
                    meta = read_meta(content, path)
                elif kind == IMAGE:
                    self._image = content
                elif kind in _ALL_BUT_RUNS:
                    self._take(kind, content)
        if meta is None:
            raise FormatError(path, 8, "the recording ends before its description")
        return meta

    def _open(self) -> BinaryIO:
        try:
            return open(self.path, "rb")
        except OSError as error:
            raise UsageError(f"cannot read the recording '{self.path}': {error.strerror}") from None

    def _take(self, kind: int, content: bytes) -> None:
        try:
            value = json.loads(content)
            if kind == STACKS:
                for map_number, stack_id, addresses in value:
                    if not all(map(is_number, (map_number, stack_id, *addresses))):
                        raise ValueError("an address is not a number of 64 bits")
                    self.stacks[map_number, stack_id] = tuple(addresses)
            elif kind == ANSWERS:
                for name, question, answer in value:
                    check_answer(name, answer)
                    self.answers[name, json.dumps(question)] = answer
                    self.sequences.setdefault(name, []).append((question, answer))
            else:
                if not all(is_number(number, 63) for number in value.values()):
                    raise ValueError("a sum is not a number")
                self.summary = value
                self.complete = True
        except (ValueError, TypeError, AttributeError) as error:
            raise FormatError(self.path, 0, f"a block of kind {kind} is not what it should be: {error}") from None

    @cached_property
    def image(self) -> Image:
        """The recorded script, compiled."""
        from ..imagefile import from_bytes

        return from_bytes(self._image, self.path)

    def answer(self, kind: str, question: list[object]) -> object:
        """The last answer to a question; None when it was not asked."""
        return self.answers.get((kind, json.dumps(question)))

    def chunks(self) -> Iterator[bytes]:
        """The runs, as blocks of whole records that were checked: records start with their length, see base/journal."""
        with self._open() as file:
            read_head(file, self.path)
            for kind, content in read_blocks(file, self.path, _ALL_BUT_RUNS):
                if kind == RUNS:
                    self._check(content)
                    yield content

    def _check(self, content: bytes) -> None:
        at, end, header = 0, len(content), journal.HEADER_BYTES
        while at + header <= end:
            length, size = _SIZES(content, at)
            if length < header + size:
                break
            at += length
        if at != end:
            raise FormatError(self.path, at, "the records of a block do not fill it")

    def runs(self) -> Iterator[bytes]:
        """The runs one by one, as bytes."""
        for chunk in self.chunks():
            at = 0
            while at < len(chunk):
                length = _LENGTH(chunk, at)[0]
                yield chunk[at : at + length]
                at += length


def read_entries(record: bytes, start: int, end: int, path: str) -> list[Entry]:
    """The entries between two offsets of `record`. Raises FormatError."""
    entries = []
    while start < end:
        try:
            helper, limit, size, key, result = _ENTRY.unpack_from(record, start)
        except struct.error:
            raise FormatError(path, start, "an entry is cut") from None
        data = record[start + journal.ENTRY_BYTES : start + journal.ENTRY_BYTES + size]
        start += journal.ENTRY_BYTES + (size + 7 & ~7)
        if start > end:
            raise FormatError(path, start, "an entry is cut")
        entries.append((helper, limit, key, result, data))
    return entries
