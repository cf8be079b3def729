"""What compiled print formats call: texts of flags, addresses, buffers and masks.

Source: kernel/trace/trace_output.c (trace_print_*_seq), lib/vsprintf.c (the %p extensions).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

M64 = (1 << 64) - 1
_MOST_KEPT = 20_000


class Strings(dict[bytes, str]):
    """Bytes of a C string -> its text. Names repeat, so they are kept."""

    def __missing__(self, raw: bytes) -> str:
        if len(self) > _MOST_KEPT:
            self.clear()
        text = self[raw] = raw.partition(b"\0")[0].decode("utf-8", "replace")
        return text


class Flags(dict[int, str]):
    """Value -> the names of its bits, with what is left in hexadecimal."""

    def __init__(self, delimiter: str, pairs: Sequence[tuple[int, str]]) -> None:
        super().__init__()
        self._delimiter = delimiter
        self._pairs = pairs

    def __missing__(self, value: int) -> str:
        left, names = value & M64, []
        for mask, name in self._pairs:
            if not left and mask < 0:
                names.append(name)
                break
            if mask > 0 and left & mask == mask:
                names.append(name)
                left &= ~mask
        if left:
            names.append(f"0x{left:x}")
        text = self._delimiter.join(names)
        if len(self) < _MOST_KEPT:
            self[value] = text
        return text


class Symbolic(dict[int, str]):
    """Value -> its name, or hexadecimal."""

    def __init__(self, pairs: Sequence[tuple[int, str]]) -> None:
        super().__init__()
        self._names: dict[int, str] = {}
        for value, name in pairs:
            self._names.setdefault(value & M64, name)

    def __missing__(self, value: int) -> str:
        text = self._names.get(value & M64) or f"0x{value & M64:x}"
        if len(self) < _MOST_KEPT:
            self[value] = text
        return text


def pointer(value: int) -> str:
    """%p."""
    return f"0x{value & M64:x}" if value else "(nil)"


def hex_bytes(data: bytes, count: int, separator: str = " ") -> str:
    """__print_hex and %ph."""
    return data[: max(0, count)].hex(separator) if separator else data[: max(0, count)].hex()


def array_text(data: bytes, count: int, size: int, order: str) -> str:
    """__print_array."""
    code = {1: "B", 2: "H", 4: "I", 8: "Q"}.get(size)
    if code is None:
        return f"{{BAD SIZE:{size}}}"
    count = max(0, min(count, len(data) // size))
    return "{" + ",".join(f"0x{v:x}" for v in struct.unpack_from(f"{order}{count}{code}", data)) + "}"


def hex_dump(prefix: str, row: int, data: bytes, count: int) -> str:
    """__print_hex_dump, without the column of characters."""
    row = row if row in (16, 32) else 16
    data = data[: max(0, count)]
    lines = [f"{prefix}{at:08x}: {data[at : at + row].hex(' ')}" for at in range(0, len(data), row)]
    return "\n" + "\n".join(lines) if lines else ""


def mask_text(data: bytes, order: str) -> str:
    """__get_bitmask: hexadecimal, a comma every 32 bits."""
    if order == "<":
        data = data[::-1]
    text = data.hex()
    head = len(text) % 8
    parts = ([text[:head]] if head else []) + [text[at : at + 8] for at in range(head, len(text), 8)]
    return ",".join(parts)


def cpu_list(data: bytes, order: str) -> str:
    """__get_cpumask: `0-3,8`."""
    bits = int.from_bytes(data, "little" if order == "<" else "big")
    parts, cpu = [], 0
    while bits:
        skipped = (bits & -bits).bit_length() - 1
        cpu, bits = cpu + skipped, bits >> skipped
        length = ((~bits & (bits + 1)).bit_length()) - 1
        parts.append(str(cpu) if length == 1 else f"{cpu}-{cpu + length - 1}")
        cpu, bits = cpu + length, bits >> length
    return ",".join(parts)


def mac(data: bytes, kind: str) -> str:
    """%pM and its forms."""
    if len(data) != 6:
        return "INVALIDMAC"
    if "R" in kind:
        data = data[::-1]
    separator = "" if kind[0] == "m" else "-" if "F" in kind else ":"
    return separator.join(f"{byte:02x}" for byte in data)


def ipv4(data: bytes, kind: str, order: str = "<") -> str:
    """%pI4, %pi4; `h` and `l` say that the bytes are in reverse."""
    if len(data) != 4:
        return "INVALIDIPv4"
    if kind.endswith("l") or (kind.endswith("h") and order == "<"):
        data = data[::-1]
    return ".".join((f"{byte:03d}" if kind[0] == "i" else str(byte)) for byte in data)


def ipv6(data: bytes, kind: str) -> str:
    """%pI6, %pI6c, %pi6."""
    if len(data) != 16:
        return "INVALIDIPv6"
    if "c" not in kind:
        words = [data[at : at + 2].hex() for at in range(0, 16, 2)]
        return ("" if kind[0] == "i" else ":").join(words)
    from ipaddress import IPv6Address

    if data[:12] == b"\0" * 10 + b"\xff\xff" or data[8:12] in (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe"):
        text = str(IPv6Address(data[:12] + b"\xff\xff\xff\xff"))
        return text.rpartition("ffff:ffff")[0] + ".".join(map(str, data[12:]))
    return str(IPv6Address(data))


def socket_address(data: bytes, kind: str, order: str = "<") -> str:
    """%pIS with p (port) and c (compressed)."""
    if len(data) < 8:
        return ""
    family, port = struct.unpack_from(order + "H", data)[0], struct.unpack_from(">H", data, 2)[0]
    if family == 2:
        return ipv4(data[4:8], kind[0] + "4") + (f":{port}" if "p" in kind else "")
    if family == 10 and len(data) >= 24:
        text = ipv6(data[8:24], kind[0] + ("6c" if "c" in kind else "6"))
        return f"[{text}]:{port}" if "p" in kind else text
    return ""


_GUID = (3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15)


def uuid(data: bytes, kind: str) -> str:
    """%pUb and its forms."""
    if len(data) != 16:
        return "INVALIDUUID"
    if kind[1:2] in ("l", "L"):
        data = bytes(data[index] for index in _GUID)
    text = data.hex()
    text = text.upper() if kind[1:2] in ("L", "B") else text
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def element(data: bytes, index: int, size: int, signed: bool, order: str) -> int:
    """An element of an array; 0 beyond its end."""
    at = index * size
    if index < 0 or at + size > len(data):
        return 0
    return int.from_bytes(data[at : at + size], "little" if order == "<" else "big", signed=signed)


def divided(left: int, right: int) -> int:
    """C's division: towards zero; by zero 0, as there is nobody to tell."""
    if not right:
        return 0
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def shifted(left: int, right: int) -> int:
    """C's `<<`, without the chance to fill the memory."""
    return left << right if 0 <= right < 64 else 0
