"""A file that is no ELF file but holds code (a flat binary, an archive): probes go to offsets in it, nothing else is known."""

from __future__ import annotations

from ..base.ctype import Function, Struct
from ..kernel.target import Symbol, UsdtProbe


class FlatFile:
    """See kernel.target.Binary."""

    def __init__(self, path: str) -> None:
        self.path = path

    def symbol(self, name: str) -> Symbol | None:
        """None."""
        return None

    def symbols(self, pattern: str) -> list[Symbol]:
        """None."""
        return []

    def symbol_at(self, file_offset: int) -> Symbol | None:
        """None."""
        return None

    def offset_of_address(self, address: int) -> int | None:
        """None: an address in such a file is an offset."""
        return None

    def usdt(self) -> list[UsdtProbe]:
        """None."""
        return []

    def function_arguments(self, name: str) -> Function | None:
        """None."""
        return None

    def line_offsets(self, file: str, line: int, column: int = 0) -> list[int]:
        """None."""
        return []

    def struct(self, kind: str, name: str) -> Struct | None:
        """None."""
        return None
