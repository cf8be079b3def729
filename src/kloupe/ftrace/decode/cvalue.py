"""Values of compiled print formats: Python source that knows its C type."""

from __future__ import annotations

from typing import NamedTuple


class Value(NamedTuple):
    """Python source and what it gives: "int" (with the C type's size and sign), "bytes" or "text"."""

    source: str
    kind: str = "int"
    size: int = 4
    signed: bool = True


def masked(source: str, value: Value) -> str:
    """An unsigned result may have gone below zero or above its size."""
    return source if value.signed else f"({source} & {(1 << 8 * value.size) - 1})"


def fitted(value: Value, size: int, signed: bool) -> str:
    """The source of a value as an integer of another type."""
    fits = value.signed == signed and value.size <= size
    if fits or (signed and not value.signed and value.size < size):
        return value.source
    mask = (1 << 8 * size) - 1
    if not signed:
        return f"({value.source} & {mask})"
    half = 1 << 8 * size - 1
    return f"((({value.source}) + {half} & {mask}) - {half})"
