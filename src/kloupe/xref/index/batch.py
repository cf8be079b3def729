"""From files to a segment: what one worker does with its share of a tree. Plain values in and out, since they travel between processes."""

from __future__ import annotations

import hashlib
import os

from ...base.record import field, record
from ..walk import SourceFile
from .segment import MAX_TEXTS, SegmentWriter
from .words import file_words

BATCH_BYTES = 16 << 20  # of text: so small that most of a segment in the making stays in the processor's cache


@record
class Batch:
    """A segment's blocks as (first word, data), the hashes of its texts in order, and of each file the number of its text.

    A file that could not be read has none.
    """

    blocks: list[tuple[bytes, bytes]] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    numbers: list[int | None] = field(default_factory=list)


def content_hash(data: bytes) -> bytes:
    """The id that git gives to a file with these bytes."""
    digest = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.digest()


def read_file(root: str, path: str) -> bytes | None:
    """A file's bytes, or None when it cannot be read."""
    try:
        with open(os.path.join(root, path), "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return None


def index_batch(root: str, files: list[SourceFile]) -> Batch:
    """Read and index some files."""
    writer, batch = SegmentWriter(), Batch()
    numbers: dict[bytes, int] = {}
    for file in files:
        data = read_file(root, file.path)
        if data is None:
            batch.numbers.append(None)
            continue
        content = content_hash(data)
        if content not in numbers:
            numbers[content] = writer.add(*file_words(file.path, data))
            batch.contents.append(content)
        batch.numbers.append(numbers[content])
    batch.blocks = [(block.first, block.data) for block in writer.blocks()]
    return batch


def split_batches(files: list[SourceFile], size_bytes: int = BATCH_BYTES) -> list[list[SourceFile]]:
    """Cut a list of files into shares of about the same number of bytes."""
    batches: list[list[SourceFile]] = []
    room = 0
    for file in files:
        if room <= 0 or len(batches[-1]) >= MAX_TEXTS:
            batches.append([])
            room = size_bytes
        batches[-1].append(file)
        room -= file.size_bytes
    return batches
