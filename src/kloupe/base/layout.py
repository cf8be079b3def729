"""Layouts that two sides share: what the program stores, user space loads, from one object."""

from __future__ import annotations

from .ctype import CType
from .record import record


def align_up(value: int, step: int) -> int:
    """`value` rounded up to a multiple of `step`."""
    return -(-value // step) * step


@record(frozen=True)
class EventField:
    """One value inside an event: its byte offset from the start of the record and its type."""

    name: str
    offset: int
    type: CType


@record(frozen=True)
class EventLayout:
    """A ring-buffer record: u32 event id at 0, u32 unused at 4, then the fields; `size` is a multiple of 8."""

    size: int
    fields: tuple[EventField, ...]


HEADER_BYTES = 8


def event_layout(types: list[CType], names: list[str] | None = None) -> EventLayout:
    """Place values of these types one after the other, each at its natural alignment, behind the 8-byte header."""
    at = HEADER_BYTES
    fields = []
    for index, t in enumerate(types):
        at = align_up(at, max(1, min(8, t.align)))
        fields.append(EventField(names[index] if names else f"a{index}", at, t))
        at += t.size
    return EventLayout(align_up(at, 8), tuple(fields))
