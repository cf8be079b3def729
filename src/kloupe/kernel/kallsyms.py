"""The kernel's symbols: /proc/kallsyms, read when first asked, parsed only as far as the question needs.

Format: `ADDRESS TYPE NAME[\\t[MODULE]]`, sorted within the kernel and within each module (kernel/kallsyms.c). Addresses are zero
for users who may not see them (kptr_restrict).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from ..base.errors import MissingFacts, PermissionNeeded

# Per-CPU and absolute symbols have small values that are no addresses.
_LOWEST_ADDRESS = 1 << 32
_FARTHEST_OFFSET = 1 << 24


class Kallsyms:
    """Addresses to names and back."""

    def __init__(self, path: str = "/proc/kallsyms") -> None:
        self.path = path
        self._data: bytes | None = None
        self._lines: list[bytes] = []
        self._addresses: array[int] | None = None

    @property
    def data(self) -> bytes:
        """The file, with a newline before the first line. Raises MissingFacts, PermissionNeeded."""
        if self._data is None:
            try:
                with open(self.path, "rb") as file:
                    self._data = b"\n" + file.read()
            except PermissionError as error:
                raise PermissionNeeded(f"cannot read {self.path}: {error.strerror}", hint="run as root") from None
            except OSError as error:
                raise MissingFacts(f"cannot read {self.path}: {error.strerror}") from None
        return self._data

    def address(self, name: str, module: str = "") -> int | None:
        """The address of a symbol (of a module, if given), or None when there is none or it is hidden."""
        at = self._line_of(name, module)
        return _hexadecimal(self.data[at : at + 32].split(b" ", 1)[0]) or None if at is not None else None

    def has(self, name: str, module: str = "") -> bool:
        """Whether there is a symbol with this name, hidden or not."""
        return self._line_of(name, module) is not None

    def _line_of(self, name: str, module: str) -> int | None:
        data, wanted, at = self.data, b" " + name.encode("utf-8", "surrogateescape"), 0
        while (at := data.find(wanted, at)) >= 0:
            after = at + len(wanted)
            if data[after : after + 1] in (b"\n", b"\t", b""):
                line_end = data.find(b"\n", after)
                owner = data[after : line_end if line_end >= 0 else None].strip(b"\t []").decode()
                if not module or owner == module or (module == "vmlinux" and not owner):
                    return data.rfind(b"\n", 0, at) + 1
            at = after
        return None

    def lookup(self, address: int) -> tuple[str, int, str] | None:
        """(name, offset into it, module or "") of the symbol at or below an address, or None."""
        if self._addresses is None:
            self._parse()
        addresses = self._addresses
        assert addresses is not None
        index = bisect_right(addresses, address) - 1
        if index < 0 or address - addresses[index] > _FARTHEST_OFFSET:
            return None
        start = addresses[index]
        index = bisect_left(addresses, start, 0, index + 1)  # of several names the first, as the kernel's own %pS
        parts = self._lines[index].split(None, 3)
        if len(parts) < 3:
            return None
        module = parts[3].strip(b"[]").decode("utf-8", "replace") if len(parts) > 3 else ""
        return parts[2].decode("utf-8", "replace"), address - start, module

    def format(self, address: int) -> str:
        """`name`, `name+offset`, or the address in hexadecimal when nothing is known."""
        found = self.lookup(address)
        if found is None:
            return f"{address:#x}" if address else "0"
        return f"{found[0]}+{found[1]}" if found[1] else found[0]

    def text_names(self, prefix: str = "") -> list[tuple[str, str]]:
        """(name, module or "") of every function symbol that begins with `prefix`, in file order."""
        import re

        pattern = rb" [tTwW] (%b[^\s]*)(?:\t\[([^\s\]]*)\])?" % re.escape(prefix.encode("utf-8", "surrogateescape"))
        found = re.findall(pattern, self.data)
        return [(name.decode("utf-8", "replace"), module.decode("utf-8", "replace")) for name, module in found]

    def _parse(self) -> None:
        lines = self.data.split(b"\n")
        try:
            values = [int(line[:16], 16) if line else 0 for line in lines]
        except ValueError:
            values = [_hexadecimal(line.split(b" ", 1)[0]) for line in lines]
        kept = [(v, i) for i, v in enumerate(values) if v >= _LOWEST_ADDRESS]
        kept.sort()
        self._addresses = array("Q", [v for v, _ in kept])
        self._lines = [lines[i] for _, i in kept]


def _hexadecimal(text: bytes) -> int:
    try:
        return int(text, 16) & 0xFFFFFFFFFFFFFFFF
    except ValueError:
        return 0
