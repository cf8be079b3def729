"""An event's format file as what decoding needs: where each field lies, and its kind.

Source: Documentation/trace/events.rst, section 2.3; kernel/trace/trace_events.c (f_show).
"""

from __future__ import annotations

import re

from ...base.record import record

_FIELD = re.compile(r"\s*field:([^;]*);\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:(\d+);)?", re.ASCII)
_NAME = re.compile(r"(\w+)\s*((?:\[[^\]]*\])*)$", re.ASCII)
_CHARS = frozenset(("char", "u8", "s8", "__u8", "__s8", "unsigned"))
_LARGEST_OFFSET = 1 << 20


@record(frozen=True)
class EventField:
    """A field: `size` 0 means the rest of the record. `dynamic`: 1 for `__data_loc`, 2 for `__rel_loc` (u16 offset, u16 length).

    `element_bytes` is the size of an array's element (0: no array).
    """

    name: str
    decl: str
    offset: int
    size: int
    signed: bool
    element_bytes: int = 0
    dynamic: int = 0

    @property
    def is_array(self) -> bool:
        """Whether it has elements."""
        return self.element_bytes > 0

    @property
    def is_text(self) -> bool:
        """Whether it holds characters."""
        words = self.decl.replace("[", " ").replace("]", " ").split()
        return self.is_array and self.element_bytes == 1 and "char" in words

    @property
    def is_pointer(self) -> bool:
        """Whether it is a pointer."""
        return not self.is_array and "*" in self.decl

    @property
    def is_long(self) -> bool:
        """Whether its type is a long: an address, as a rule."""
        return "long" in self.decl.split() and "long long" not in self.decl


@record(frozen=True)
class EventFormat:
    """An event: fields in order of the file, common ones apart; `print_fmt` as the file has it. `bytes_needed` holds all fields of fixed size."""

    id: int
    system: str
    name: str
    common: tuple[EventField, ...]
    fields: tuple[EventField, ...]
    print_fmt: str

    @property
    def bytes_needed(self) -> int:
        """How long a record must be for its fixed fields. The arrays of the tracers' own events may be shorter than declared."""
        cut = self.system == "ftrace"
        return max((f.offset + f.size for f in (*self.common, *self.fields) if not (cut and f.is_array)), default=0)

    def field(self, name: str) -> EventField | None:
        """A field by name."""
        return next((f for f in (*self.fields, *self.common) if f.name == name), None)


def parse_event_format(system: str, text: str) -> EventFormat | None:
    """A format file; None when it has no id or no fields."""
    name, identity = "", -1
    common: list[EventField] = []
    fields: list[EventField] = []
    into = common
    head, _, print_fmt = text.partition("\nprint fmt:")
    for line in head.splitlines():
        if line.startswith("name:"):
            name = line[5:].strip()
        elif line.startswith("ID:"):
            digits = line[3:].strip()
            identity = int(digits) if digits.isdecimal() and len(digits) < 10 else -1
        elif not line.strip() and common:
            into = fields
        elif (match := _FIELD.match(line)) is not None:
            found = _parse_field(match)
            if found is not None:
                into.append(found)
    if identity < 0 or not common:
        return None
    return EventFormat(identity, system, name, tuple(common), tuple(fields), print_fmt.strip())


def _parse_field(match: re.Match[str]) -> EventField | None:
    decl, offset, size = match[1].strip(), int(match[2][:9]), int(match[3][:9])
    signed = match[4] not in (None, "0")
    found = _NAME.search(decl)
    if found is None or offset + size > _LARGEST_OFFSET:
        return None
    words = decl[: found.start()].split()
    dynamic = {"__data_loc": 1, "__rel_loc": 2}.get(words[0], 0) if words else 0
    if dynamic:
        element = type_bytes([word.replace("[]", "") for word in words[1:]]) or 1
        return EventField(found[1], decl, offset, size, signed, element, dynamic)
    if not found[2]:
        return EventField(found[1], decl, offset, size, signed)
    counts = [int(n) for n in re.findall(r"\[(\d{1,6})\]", found[2])]
    total = 1
    for count in counts:
        total *= count
    element = size // total if counts and total else type_bytes(words)
    return EventField(found[1], decl, offset, size, signed, max(element, 1))


_TYPE_BYTES = {
    "char": 1, "u8": 1, "s8": 1, "__u8": 1, "__s8": 1, "bool": 1, "_Bool": 1,
    "short": 2, "u16": 2, "s16": 2, "__u16": 2, "__s16": 2, "__be16": 2, "__le16": 2,
    "u64": 8, "s64": 8, "__u64": 8, "__s64": 8, "__be64": 8, "__le64": 8, "long": 8, "size_t": 8, "ssize_t": 8,
}  # fmt: skip


def type_bytes(words: list[str]) -> int:
    """The size of a type by its words; 4 for what is not known (int, enums)."""
    return next((_TYPE_BYTES[word] for word in words if word in _TYPE_BYTES), 4)
