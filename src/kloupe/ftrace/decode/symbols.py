"""Addresses to function names, from the text of /proc/kallsyms, with what was found kept: traces ask for few functions, often.

Of several names for one address the one is taken that trace-cmd's library finds, so that texts are equal.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable

_MASK = (1 << 64) - 1


class Symbols(dict[int, tuple[str, int]]):
    """address -> (name, offset into it); ("", 0) for what lies in no symbol. The text is asked for at the first look-up."""

    def __init__(self, kallsyms: Callable[[], bytes]) -> None:
        super().__init__()
        self._kallsyms = kallsyms
        self._addresses: array[int] | None = None
        self._names: list[bytes] = []

    def _parse(self) -> array[int]:
        rows = []
        for line in self._kallsyms().split(b"\n"):
            parts = line.split(None, 2)
            if len(parts) == 3 and parts[1] not in b"aA" and not parts[2].startswith(b"$"):
                try:
                    rows.append((int(parts[0], 16) & _MASK, parts[2]))
                except ValueError:
                    continue
        rows.reverse()  # of equal addresses the last line comes first
        rows.sort(key=lambda row: row[0])
        self._names = [row[1] for row in rows]
        return array("Q", [row[0] for row in rows])

    def __missing__(self, address: int) -> tuple[str, int]:
        if self._addresses is None:
            self._addresses = self._parse()
        found = self[address] = self._find(self._addresses, address & _MASK)
        return found

    def _find(self, addresses: array[int], address: int) -> tuple[str, int]:
        index = bisect_right(addresses, address) - 1
        if index < 0 or index == len(addresses) - 1 and address != addresses[index]:
            return "", 0
        start = addresses[index]
        if start == address and index and addresses[index - 1] == start:
            index = _probe(addresses, address)
        name = self._names[index].split(None, 1)[0].decode("utf-8", "replace")
        return name, address - start

    def address(self, name: str) -> int:
        """The address of a symbol; 0 when there is none."""
        if self._addresses is None:
            self._addresses = self._parse()
        wanted = name.encode()
        return next((self._addresses[i] for i, row in enumerate(self._names) if row == wanted), 0)

    def module(self, address: int) -> str:
        """The module that an address lies in, "" for the kernel itself."""
        if self._addresses is None:
            self._addresses = self._parse()
        index = bisect_right(self._addresses, address) - 1
        parts = self._names[index].split(None, 1) if index >= 0 else []
        return parts[1].strip(b"[]").decode("utf-8", "replace") if len(parts) > 1 else ""


def _probe(addresses: array[int], address: int) -> int:
    """Which of several equal addresses a binary search meets first."""
    low, high = 0, len(addresses)
    while low < high:
        middle = (low + high) // 2
        if addresses[middle] == address:
            return middle
        if addresses[middle] < address:
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
