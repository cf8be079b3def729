"""The file format: a head, then blocks, each complete in itself.

    head    8 bytes: "KLOUREC", version
    block   4 bytes "KLRB", u32 kind, u32 stored bytes, u32 raw bytes, u32 CRC-32 of the four words before it and the stored bytes;
            then the stored bytes: the content compressed with zlib

Words of heads are little-endian. A file ends behind its last complete block, whatever follows; an END block says that it was closed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from ..base.errors import FormatError

MAGIC = b"KLOUREC\x01"  # the last byte is the version
BLOCK_MAGIC = 0x42524C4B  # "KLRB"
META, IMAGE, RUNS, STACKS, ANSWERS, END = range(1, 7)

_WORDS = struct.Struct("<IIII")
_CRC = struct.Struct("<I")
HEAD_BYTES = _WORDS.size + _CRC.size
LARGEST_RAW = 64 << 20
_LEVEL = 1  # fast: the recorder runs beside what it watches


def encode_block(kind: int, content: bytes) -> bytes:
    """A block with this content."""
    stored = zlib.compress(content, _LEVEL)
    words = _WORDS.pack(BLOCK_MAGIC, kind, len(stored), len(content))
    return words + _CRC.pack(zlib.crc32(stored, zlib.crc32(words))) + stored


def read_head(file: BinaryIO, path: str) -> None:
    """Check that this is a recording. Raises FormatError."""
    head = file.read(len(MAGIC))
    if head[:-1] != MAGIC[:-1]:
        raise FormatError(path, 0, "not a kloupe recording")
    if head != MAGIC:
        raise FormatError(path, 7, f"recording format {head[7]}, this kloupe reads {MAGIC[7]}")


def read_blocks(file: BinaryIO, path: str, skip: frozenset[int]) -> Iterator[tuple[int, bytes]]:
    """(kind, content) of the complete blocks, in order, up to the first that is not complete.

    Blocks of the kinds in `skip` are left out unread. Raises FormatError when a complete file (one that goes on behind it) has a damaged block.
    """
    while len(head := file.read(HEAD_BYTES)) == HEAD_BYTES:
        start = file.tell() - HEAD_BYTES
        magic, kind, stored_bytes, raw_bytes = _WORDS.unpack_from(head)
        if magic != BLOCK_MAGIC or raw_bytes > LARGEST_RAW or stored_bytes > LARGEST_RAW:
            raise FormatError(path, start, "not a block")
        if kind in skip:
            file.seek(stored_bytes, 1)
            continue
        stored = file.read(stored_bytes)
        if len(stored) < stored_bytes:
            return
        if zlib.crc32(stored, zlib.crc32(head[: _WORDS.size])) != _CRC.unpack_from(head, _WORDS.size)[0]:
            if not file.read(1):  # the last one: it was being written
                return
            raise FormatError(path, start, "damaged block: wrong checksum")
        yield kind, _inflate(stored, raw_bytes, path, start)


def _inflate(stored: bytes, raw_bytes: int, path: str, start: int) -> bytes:
    inflate = zlib.decompressobj()
    try:
        content = inflate.decompress(stored, raw_bytes + 1)
    except zlib.error as error:
        raise FormatError(path, start, f"damaged block: {error}") from error
    if len(content) != raw_bytes or not inflate.eof:
        raise FormatError(path, start, "damaged block: wrong length")
    return content
