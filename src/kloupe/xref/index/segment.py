"""A segment: the words of a few thousand texts, sorted, in compressed blocks of a few hundred words each.

A segment is never changed. An update adds a new one; texts that are no longer in the tree are just not asked for.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import chain

from ...base.errors import FormatError
from ...base.record import record

WORDS_PER_BLOCK = 256
MAX_TEXTS = 1 << 15  # a posting is 16 bits: the text's number in its segment, and whether it may define the word
_HEAD = struct.Struct("<II")  # bytes of the words, number of words


@record(frozen=True, eq=False)
class Block:
    """Some words in order, and their postings."""

    first: bytes
    data: bytes


class SegmentWriter:
    """Collects texts, then gives blocks."""

    def __init__(self) -> None:
        self._postings: defaultdict[bytes, list[int]] = defaultdict(list)
        self.count = 0

    def add(self, defined: Collection[bytes], words: set[bytes]) -> int:
        """Add a text by the words that it may define, and all of its words; its number in this segment."""
        number = self.count
        self.count += 1
        mentions, defines = number << 1, number << 1 | 1
        postings = self._postings
        for word in defined:
            postings[word].append(defines)
        for word in words.difference(defined):
            postings[word].append(mentions)
        return number

    def blocks(self) -> Iterable[Block]:
        """The blocks, in order of their words."""
        words = sorted(self._postings)
        for at in range(0, len(words), WORDS_PER_BLOCK):
            some = words[at : at + WORDS_PER_BLOCK]
            yield Block(some[0], _pack(some, [self._postings[word] for word in some]))


def _pack(words: list[bytes], postings: list[list[int]]) -> bytes:
    text = b"\n".join(words)
    counts = array("H", map(len, postings))
    numbers = array("H", chain.from_iterable(postings))
    return zlib.compress(_HEAD.pack(len(text), len(words)) + text + counts.tobytes() + numbers.tobytes(), 1)


class OpenBlock:
    """A block that was read: words and their postings."""

    def __init__(self, data: bytes, path: str) -> None:
        """Raises FormatError when the bytes were damaged."""
        try:
            raw = zlib.decompress(data)
            text_bytes, count = _HEAD.unpack_from(raw)
            at = _HEAD.size + text_bytes
            self.words = raw[_HEAD.size : at].split(b"\n")
            self._counts = array("H", raw[at : at + 2 * count])
            self._numbers = array("H", raw[at + 2 * count :])
        except (zlib.error, struct.error, ValueError) as error:
            raise FormatError(path, 0, f"damaged block of the index ({error})") from error
        if len(self.words) != count or sum(self._counts) != len(self._numbers):
            raise FormatError(path, 0, "damaged block of the index (counts do not agree)")

    def postings(self, word: bytes) -> list[tuple[int, bool]]:
        """(number of a text, whether it may define the word) of every text with this word."""
        at = bisect_left(self.words, word)
        if at == len(self.words) or self.words[at] != word:
            return []
        return self._postings_at(at)

    def _postings_at(self, index: int) -> list[tuple[int, bool]]:
        start = sum(self._counts[:index])
        return [(number >> 1, bool(number & 1)) for number in self._numbers[start : start + self._counts[index]]]

    def defined_words(self) -> list[bytes]:
        """The words that some text may define."""
        found, at = [], 0
        for word, count in zip(self.words, self._counts, strict=True):
            if any(number & 1 for number in self._numbers[at : at + count]):
                found.append(word)
            at += count
        return found
