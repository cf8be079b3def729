"""BTF, the kernel's type information: raw bytes to a lazy view.

Format: the kernel's Documentation/bpf/btf.rst and include/uapi/linux/btf.h. Speed decides its shape: a type by name is a search for
bytes in the string section and then in the type section; only numbers of types need a walk, which goes no further than the
highest number asked for. Types that point at each other are resolved when their fields are asked for (btf_types).
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ..base.ctype import CType, Enum, Function, Struct
from ..base.errors import FormatError

if TYPE_CHECKING:
    from .btf_types import TypeMaker

MAGIC = 0xEB9F
HEADER = struct.Struct("<HBBIIIII")
INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(11, 20)

KIND_FLAG = 1 << 31
# kind -> (32-bit words of the record, words per element of its vlen)
RECORD_WORDS: dict[int, tuple[int, int]] = {
    **{kind: (3, 0) for kind in (PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG)},
    **{kind: (4, 0) for kind in (INT, VAR, DECL_TAG)},
    **{kind: (3, 3) for kind in (STRUCT, UNION, DATASEC, ENUM64)},
    **{kind: (3, 2) for kind in (ENUM, FUNC_PROTO)},
    ARRAY: (6, 0),
}
_LARGEST_ID = 1 << 24
_FEW_FINDS = 32  # from here on names are looked up in an index
_SMALL_NUMBER = 4096
_MOST_STEPS = 1 << 20  # of a search in a blob that may be hostile


class Btf:
    """A BTF blob. With `base` it is a module's split BTF, whose numbers and strings go on after the base's."""

    def __init__(self, data: bytes, path: str = "<btf>", base: Btf | None = None) -> None:
        """Checks the header only. Raises FormatError."""
        self.path = path
        self.base = base
        self._data = data
        if len(data) < HEADER.size:
            raise FormatError(path, 0, "too short for a BTF header")
        magic, version, _flags, header, type_off, type_len, str_off, str_len = HEADER.unpack_from(data)
        if magic != MAGIC or version != 1:
            raise FormatError(path, 0, f"not BTF (magic {magic:#x}, version {version})")
        self._types_at: int = header + type_off
        self._strings_at: int = header + str_off
        self._types_end: int = self._types_at + type_len
        self._strings_end: int = self._strings_at + str_len
        if max(self._types_end, self._strings_end) > len(data) or type_len % 4:
            raise FormatError(path, 4, "the sections lie outside the file")
        self._first_string = base.string_end if base is not None else 0
        self._words: array[int] | None = None
        self._steps: dict[int, int] = {}
        # Word positions of the types by number; the first entry stands for void (or for the last base type).
        self._positions: list[int] = [-1]
        self._indexed_to = 0
        self._finds = 0
        self._by_name: dict[bytes, list[int]] = {}
        self._names: dict[int, list[str]] = {}
        self._maker: TypeMaker | None = None

    @property
    def string_end(self) -> int:
        """The string offset after the last one, counted from the base's first string."""
        return self._first_string + self._strings_end - self._strings_at

    @property
    def words(self) -> array[int]:
        """The type section as 32-bit words."""
        if self._words is None:
            self._words = array("I", self._data[self._types_at : self._types_end])
            if sys.byteorder == "big":
                self._words.byteswap()
        return self._words

    @property
    def first_id(self) -> int:
        """The number of the first type of this blob (1 without a base)."""
        return self.base.type_count if self.base is not None else 1

    @property
    def type_count(self) -> int:
        """One more than the highest type number, base included. Walks the whole section."""
        self._index(sys.maxsize)
        return self.first_id + len(self._positions) - 1

    # -- strings --------------------------------------------------------------------------------------------------

    def string(self, offset: int) -> str:
        """The string at `offset`. Raises FormatError outside the section."""
        if offset < self._first_string:
            assert self.base is not None
            return self.base.string(offset)
        start = self._strings_at + offset - self._first_string
        end = self._data.find(b"\0", start, self._strings_end)
        if end < 0:
            raise FormatError(self.path, self._strings_at, f"string offset {offset:#x} lies outside the string section")
        return self._data[start:end].decode("utf-8", "replace")

    def _string_offset(self, name: str) -> int | None:
        if self.base is not None:
            found = self.base._string_offset(name)
            if found is not None:
                return found
        wanted = b"\0" + name.encode("utf-8", "surrogateescape") + b"\0"
        # A split blob's first string may be a name at once; the base's first string is the empty one.
        at = self._data.find(wanted, self._strings_at, self._strings_end)
        if at >= 0:
            return at + 1 - self._strings_at + self._first_string
        if (
            self._data.startswith(wanted[1:], self._strings_at)
            and self._strings_at + len(wanted) - 1 <= self._strings_end
        ):
            return self._first_string
        return None

    def _is_string_start(self, offset: int) -> bool:
        if offset < self._first_string:
            return self.base is not None and self.base._is_string_start(offset)
        at = self._strings_at + offset - self._first_string
        return at == self._strings_at or (at < self._strings_end and self._data[at - 1] == 0)

    def strings_with_prefix(self, prefix: str) -> list[str]:
        """All strings of this blob that begin with `prefix`, sorted. They may be names of anything."""
        data, wanted, found = self._data, b"\0" + prefix.encode(), []
        at = self._strings_at - 1
        while (at := data.find(wanted, at, self._strings_end)) >= 0:
            end = data.find(b"\0", at + 1, self._strings_end)
            found.append(data[at + 1 : end].decode("utf-8", "replace"))
            at = end
        return sorted(found)

    def has_string(self, text: str) -> bool:
        """Whether `text` is a name of anything here: a cheap way to ask if the kernel knows an enum constant or a type."""
        return self._string_offset(text) is not None

    # -- numbers and positions --------------------------------------------------------------------------------------

    def _step(self, info: int, position: int) -> int:
        """The words of a record with this info word. Raises FormatError for a kind that is not known."""
        record = RECORD_WORDS.get(info >> 24 & 0x1F)
        if record is None:
            raise FormatError(self.path, self._types_at + 4 * position, f"unknown BTF kind {info >> 24 & 0x1F}")
        # Only kinds with elements count them in vlen; a FUNC keeps its linkage there.
        self._steps[info] = record[0] + record[1] * (info & 0xFFFF)
        return self._steps[info]

    def _index(self, count: int) -> None:
        """Walk on until `count` entries are known or the section ends. Raises FormatError at the first broken record."""
        words, positions, steps = self.words, self._positions, self._steps
        end, at = len(words), self._indexed_to
        append = positions.append
        try:
            for _ in range(min(count - len(positions), end)):
                if at >= end:
                    break
                append(at)
                info = words[at + 1]
                try:
                    at += steps[info]
                except KeyError:
                    at += self._step(info, at)
            self._indexed_to = at
            if at > end:
                raise IndexError
        except (IndexError, FormatError) as error:
            self._indexed_to = positions.pop()  # the next walk meets the same record
            if isinstance(error, FormatError):
                raise
            raise FormatError(self.path, self._types_at + 4 * self._indexed_to, "the last type is cut off") from None

    def locate(self, type_id: int) -> tuple[Btf, int]:
        """The blob (this one or its base) and word position of a type. Raises FormatError for void and unknown numbers."""
        first = self.first_id
        if self.base is not None and type_id < first:
            return self.base.locate(type_id)
        index = type_id - first + 1
        if index >= len(self._positions):
            self._index(index + 1)
        if not 0 < index < len(self._positions):
            raise FormatError(self.path, self._types_at, f"no type number {type_id}")
        return self, self._positions[index]

    def id_at(self, position: int) -> int | None:
        """The number of the type at a word position of this blob, or None when no type begins there."""
        while self._indexed_to <= position < len(self.words):
            self._index(len(self._positions) + 8192)
        index = bisect_left(self._positions, position)
        if index < len(self._positions) and self._positions[index] == position:
            return self.first_id + index - 1
        return None

    # -- names ------------------------------------------------------------------------------------------------------

    def _occurrences(self, word: int) -> Iterator[int]:
        """Word positions in the type section that hold `word`."""
        pattern, at = struct.pack("<I", word), self._types_at
        while (at := self._data.find(pattern, at, self._types_end)) >= 0:
            if (at - self._types_at) % 4 == 0:
                yield (at - self._types_at) // 4
            at += 1

    def _plausible(self, position: int, kinds: Collection[int]) -> bool:
        """Whether the word at `position` can be the name of a type: header and elements make sense."""
        words = self.words
        if position + 2 >= len(words):
            return False
        info = words[position + 1]
        kind = info >> 24 & 0x1F
        if kind not in kinds or info & 0x60FF0000:
            return False
        fixed, per_element = RECORD_WORDS[kind]
        if not per_element:  # vlen and flag are free only in a few kinds
            return kind in (FWD, INT, FLOAT) or (info & 0x8000FFFC == 0 and words[position + 2] < _LARGEST_ID)
        start = position + fixed
        end = start + per_element * (info & 0xFFFF)
        if end > len(words):
            return False
        return all(self._is_string_start(words[at]) for at in range(start, end, per_element))

    def find(self, name: str, kinds: Collection[int]) -> int | None:
        """The word position in this blob of the first type with this name and one of these kinds, or None."""
        if not name:
            return None
        self._finds += 1
        if self._finds > _FEW_FINDS:
            return self._find_indexed(name, kinds)
        offset = self._string_offset(name)
        if offset is None:
            return None
        for at in self._occurrences(offset):
            # A small offset can also be a type number, size or value that happens to look like a header: only a walk tells.
            if self._plausible(at, kinds) and (offset > _SMALL_NUMBER or self.id_at(at) is not None):
                return at
        return None

    def _find_indexed(self, name: str, kinds: Collection[int]) -> int | None:
        """Like `find`, by an index of all names, which is made once: worth it for many names."""
        if not self._by_name:
            self._index(sys.maxsize)
            words, texts = self.words, self._texts()
            for at in self._positions[1:]:
                offset = words[at]
                if offset:
                    self._by_name.setdefault(texts.get(offset) or self.string(offset).encode(), []).append(at)
        for at in self._by_name.get(name.encode("utf-8", "surrogateescape"), ()):
            if self.words[at + 1] >> 24 & 0x1F in kinds:
                return at
        return None

    def _texts(self) -> dict[int, bytes]:
        """The strings of this blob by their offset."""
        texts, offset = {}, self._first_string
        for text in self._data[self._strings_at : self._strings_end].split(b"\0"):
            texts[offset] = text
            offset += len(text) + 1
        return texts

    def type_id(self, name: str, kinds: Collection[int]) -> int | None:
        """The number of the first type with this name and one of these kinds, here or in the base, or None.

        Programs name functions (`FUNC`), structs and typedefs by it at load time.
        """
        position = self.find(name, kinds)
        if position is not None:
            return self.id_at(position)
        return self.base.type_id(name, kinds) if self.base is not None else None

    def names(self, kind: int) -> list[str]:
        """The names of all types of one kind in this blob, in order. Walks the whole section."""
        if kind not in self._names:
            self._index(sys.maxsize)
            words, texts = self.words, self._texts()
            offsets = [words[at] for at in self._positions[1:] if words[at + 1] >> 24 & 0x1F == kind and words[at]]
            self._names[kind] = [
                texts[offset].decode("utf-8", "replace") if offset in texts else self.string(offset)
                for offset in offsets
            ]
        return self._names[kind]

    # -- types ------------------------------------------------------------------------------------------------------

    @property
    def maker(self) -> TypeMaker:
        """Makes CTypes of this blob's records."""
        if self._maker is None:
            from .btf_types import TypeMaker

            self._maker = TypeMaker(self)
        return self._maker

    def type(self, type_id: int) -> CType:
        """The type with this number, typedefs and qualifiers resolved."""
        return self.maker.by_id(type_id)

    def struct(self, kind: str, name: str) -> Struct | None:
        """A struct or union by name (`kind` "struct" or "union")."""
        position = self.find(name, (STRUCT if kind == "struct" else UNION,))
        found = self.maker.at(position) if position is not None else None
        return found if isinstance(found, Struct) else None

    def enum(self, name: str) -> Enum | None:
        """An enum by name."""
        position = self.find(name, (ENUM, ENUM64))
        found = self.maker.at(position) if position is not None else None
        return found if isinstance(found, Enum) else None

    def typedef(self, name: str) -> CType | None:
        """What a typedef or a basic type ("unsigned int") names, resolved."""
        position = self.find(name, (TYPEDEF, INT, FLOAT))
        return self.maker.at(position) if position is not None else None

    def function(self, name: str) -> Function | None:
        """A function's signature."""
        position = self.find(name, (FUNC,))
        found = self.maker.at(position) if position is not None else None
        return found if isinstance(found, Function) else None

    def name_of(self, type_id: int) -> str:
        """The name of the type with this number."""
        blob, position = self.locate(type_id)
        return blob.string(blob.words[position])

    def enum_constant(self, name: str) -> tuple[Enum, int] | None:
        """The enum with constant `name`, and its value."""
        offset = self._string_offset(name)
        if offset is None:
            return None
        budget = _MOST_STEPS
        for at in self._occurrences(offset):
            for kind in (ENUM, ENUM64):
                position, steps = self._enum_around(at, kind, budget)
                budget -= steps
                found = self.maker.at(position) if position is not None else None
                if isinstance(found, Enum):
                    value = next((v for n, v in found.values if n == name), None)
                    if value is not None:
                        return found, value
        return None

    def _enum_around(self, at: int, kind: int, budget: int) -> tuple[int | None, int]:
        """The position of the enum whose constant's name is the word at `at`, and the steps taken back to its header."""
        words = self.words
        per_element = RECORD_WORDS[kind][1]
        index = 0
        for index in range(min(at // per_element + 1, 0x10000, budget)):
            position = at - index * per_element - 3
            if position < 0 or not self._is_string_start(words[at - index * per_element]):
                break
            info = words[position + 1]
            if info >> 24 & 0x1F == kind and info & 0xFFFF > index and words[position + 2] in (1, 2, 4, 8):
                return position if self._plausible(position, (kind,)) else None, index + 1
        return None, index + 1
