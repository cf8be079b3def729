"""Builds small BTF blobs: what the kernel wants with a program (functions, lines) and with maps.

Format: the kernel's Documentation/bpf/btf.rst. Type numbers begin at 1; 0 is void.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .btf import ARRAY, FUNC, FUNC_PROTO, HEADER, INT, MAGIC, PTR, STRUCT

STATIC, GLOBAL, EXTERN = 0, 1, 2
_HEADER_BYTES = 24


class BtfWriter:
    """Collects strings and types; every `add_` gives the offset or number by which others refer to it."""

    def __init__(self) -> None:
        self._strings = bytearray(b"\0")
        self._offsets: dict[str, int] = {"": 0}
        self._types = bytearray()
        self._count = 0

    def add_string(self, text: str) -> int:
        """The offset of `text` in the string section; equal strings share one."""
        offset = self._offsets.get(text)
        if offset is None:
            offset = self._offsets[text] = len(self._strings)
            self._strings += text.encode("utf-8", "surrogateescape").replace(b"\0", b"?") + b"\0"
        return offset

    def _add(self, name: str, kind: int, length: int, size_or_type: int, *rest: int) -> int:
        self._types += struct.pack(
            f"<III{len(rest)}I",
            self.add_string(name),
            kind << 24 | length,
            size_or_type,
            *(word & 0xFFFFFFFF for word in rest),
        )
        self._count += 1
        return self._count

    def add_int(self, name: str, size: int, signed: bool = False) -> int:
        """An integer of `size` bytes."""
        return self._add(name, INT, 0, size, (1 << 24 if signed else 0) | size * 8)

    def add_pointer(self, target: int = 0) -> int:
        """A pointer to type `target` (0: void)."""
        return self._add("", PTR, 0, target)

    def add_array(self, element: int, index: int, count: int) -> int:
        """`count` elements; `index` is the number of an integer type."""
        return self._add("", ARRAY, 0, 0, element, index, count)

    def add_struct(self, name: str, size: int, members: Sequence[tuple[str, int, int]]) -> int:
        """A struct of `size` bytes; members are (name, type, offset in bytes)."""
        words = [word for field, kind, offset in members for word in (self.add_string(field), kind, offset * 8)]
        return self._add(name, STRUCT, len(members), size, *words)

    def add_func_proto(self, result: int, parameters: Sequence[tuple[str, int]] = ()) -> int:
        """A prototype; `result` 0 is void, parameters are (name, type)."""
        words = [word for name, kind in parameters for word in (self.add_string(name), kind)]
        return self._add("", FUNC_PROTO, len(parameters), result, *words)

    def add_func(self, name: str, prototype: int, linkage: int = STATIC) -> int:
        """A function with that prototype; linkage STATIC, GLOBAL or EXTERN."""
        return self._add(name, FUNC, linkage, prototype)

    def encode(self) -> bytes:
        """The blob, as BPF_BTF_LOAD takes it."""
        header = HEADER.pack(MAGIC, 1, 0, _HEADER_BYTES, 0, len(self._types), len(self._types), len(self._strings))
        return bytes(header + self._types + self._strings)
