"""Addresses to function names, from the text of /proc/kallsyms, with what was found kept: traces ask for few functions, often.

Of several names for one address the one is taken that trace-cmd's library finds, so that texts are equal. Addresses stay the
hexadecimal text that they are: all have the same width, so text sorts as numbers do.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import itemgetter

_MASK = (1 << 64) - 1
_LINE = re.compile(rb"^([0-9a-f]{8,16}) [^aA] ([^$\n][^\n]*)$", re.MULTILINE)


class Symbols(dict[int, tuple[str, int]]):
    """address -> (name, offset into it); ("", 0) for what lies in no symbol. The text is asked for at the first look-up."""

    def __init__(self, kallsyms: Callable[[], bytes]) -> None:
        super().__init__()
        self._kallsyms = kallsyms
        self._parsed: tuple[list[bytes], list[bytes]] | None = None

    def _table(self) -> tuple[list[bytes], list[bytes]]:
        """(addresses, names), by address."""
        if self._parsed is None:
            rows = _LINE.findall(self._kallsyms())
            rows.reverse()  # of equal addresses the last line comes first
            rows.sort(key=itemgetter(0))
            self._parsed = [row[0] for row in rows], [row[1] for row in rows]
        return self._parsed

    def __missing__(self, address: int) -> tuple[str, int]:
        found = self[address] = self._find(address & _MASK)
        return found

    def _key(self, addresses: list[bytes], address: int) -> bytes:
        return b"%0*x" % (len(addresses[0]), address)

    def _find(self, address: int) -> tuple[str, int]:
        addresses, names = self._table()
        if not addresses:
            return "", 0
        key = self._key(addresses, address)
        index = bisect_right(addresses, key) - 1
        if index < 0 or (index == len(addresses) - 1 and key != addresses[index]):
            return "", 0
        if index and addresses[index] == key == addresses[index - 1]:
            index = _probe(addresses, key)
        name = names[index].split(None, 1)[0].decode("utf-8", "replace")
        return name, address - int(addresses[index], 16)

    def address(self, name: str) -> int:
        """The address of a symbol; 0 when there is none."""
        addresses, names = self._table()
        wanted = name.encode()
        return int(addresses[names.index(wanted)], 16) if wanted in names else 0

    def module(self, address: int) -> str:
        """The module that an address lies in, "" for the kernel itself."""
        addresses, names = self._table()
        index = bisect_right(addresses, self._key(addresses, address & _MASK)) - 1 if addresses else -1
        parts = names[index].split(None, 1) if index >= 0 else []
        return parts[1].strip(b"[]").decode("utf-8", "replace") if len(parts) > 1 else ""

    def names_at(self, address: int) -> list[str]:
        """All names of an address."""
        addresses, names = self._table()
        if not addresses:
            return []
        key = self._key(addresses, address & _MASK)
        part = names[bisect_left(addresses, key) : bisect_right(addresses, key)]
        return [name.split(None, 1)[0].decode("utf-8", "replace") for name in part]


def _probe(addresses: list[bytes], key: bytes) -> int:
    """Which of several equal addresses a binary search meets first."""
    low, high = 0, len(addresses)
    while low < high:
        middle = (low + high) // 2
        if addresses[middle] == key:
            return middle
        if addresses[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


class Names(dict[int, str]):
    """address -> name, or the address in hexadecimal."""

    def __init__(self, symbols: Symbols) -> None:
        super().__init__()
        self.symbols = symbols

    def __missing__(self, address: int) -> str:
        name = self[address] = self.symbols[address][0] or f"0x{address & _MASK:x}"
        return name
