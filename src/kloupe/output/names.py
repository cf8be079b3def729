"""What turns numbers into names when a value is printed. The session gives the live one; `PlainNames` needs no machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..base.ctype import Stack
from .tables import errno_text, signal_text

_AF_INET, _AF_INET6 = 2, 10
_NO_INDEX = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # "no string" in 32- and 64-bit fields


class Names(Protocol):
    """Looks up what a printed value needs. Nothing here raises: what is not known comes back as its number."""

    def string(self, index: int) -> str:
        """Text number `index` of the Image; empty for ~0."""

    def kernel_symbol(self, address: int) -> str:
        """`name`, `0` for 0, or the address in hexadecimal."""

    def user_symbol(self, address: int, pid: int, binary: str) -> str:
        """`name` or the address in hexadecimal."""

    def stack(self, stack: Stack, value: tuple[int, int, int]) -> str:
        """The whole text of a stack value (id, pid, index of the binary): a newline and a line per frame."""

    def username(self, uid: int) -> str:
        """The user's name; empty when there is none."""

    def timestamp(self, time_ns: int, format: str, clock: int) -> str:
        """Wall-clock text of a clock reading (0 boot, 1 tai, 2 monotonic)."""

    def cgroup_path(self, cgroup_id: int, filter: str) -> str:
        """`unified:/path`, joined with commas for several hierarchies."""

    def syscall_name(self, number: int) -> str:
        """`read`, or `Unknown syscall`."""


class PlainNames:
    """Names without a machine behind them: numbers stay numbers. `strings` are the Image's."""

    def __init__(self, strings: tuple[str, ...] = ()) -> None:
        self.strings = strings

    def string(self, index: int) -> str:
        """See `Names`."""
        return "" if index in _NO_INDEX or index >= len(self.strings) else self.strings[index]

    def kernel_symbol(self, address: int) -> str:
        """See `Names`."""
        return hex(address) if address else "0"

    def user_symbol(self, address: int, pid: int, binary: str) -> str:
        """See `Names`."""
        return hex(address) if address else "0"

    def stack(self, stack: Stack, value: tuple[int, int, int]) -> str:
        """See `Names`."""
        return "\n"

    def username(self, uid: int) -> str:
        """See `Names`."""
        return str(uid)

    def timestamp(self, time_ns: int, format: str, clock: int) -> str:
        """See `Names`."""
        return str(time_ns)

    def cgroup_path(self, cgroup_id: int, filter: str) -> str:
        """See `Names`."""
        return str(cgroup_id)

    def syscall_name(self, number: int) -> str:
        """See `Names`."""
        return "Unknown syscall"


def inet_text(value: tuple[int, bytes]) -> str:
    """An (address family, 16 bytes) as inet_ntop writes it; empty for another family."""
    import socket

    family, raw = value
    if family == _AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    return socket.inet_ntop(socket.AF_INET6, raw) if family == _AF_INET6 else ""


def mac_text(raw: bytes) -> str:
    """Six bytes as `AA:BB:CC:DD:EE:FF`."""
    return raw.hex(":").upper()


# Opaque kind -> (value, names) -> text. A new kind is a row here and one in decode._OPAQUE_CODES.
OPAQUE_TEXTS: dict[str, Callable[[Any, Names], str]] = {
    "inet": lambda value, names: inet_text(value),
    "mac_address": lambda value, names: mac_text(value),
    "ksym_t": lambda value, names: names.kernel_symbol(value),
    "usym_t": lambda value, names: names.user_symbol(value[0], value[1], names.string(value[2])),
    "username_t": lambda value, names: names.username(value),
    "timestamp": lambda value, names: names.timestamp(value[0], names.string(value[1]), value[2]),
    "cgroup_path_t": lambda value, names: names.cgroup_path(value[0], names.string(value[1])),
    "strerror_t": lambda value, names: errno_text(value),
    "signal_name_t": lambda value, names: signal_text(value),
    "syscall_name_t": lambda value, names: names.syscall_name(value),
}
