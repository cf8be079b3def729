"""tracefs `format` files: a tracepoint's id and fields (Documentation/trace/events.rst, section 2.3)."""

from __future__ import annotations

import re

from ..base import ctype as ct
from ..base.errors import FormatError
from ..base.record import record
from .known import Known
from .typewords import NAMED, TYPE_WORDS, from_words

_FIELD = re.compile(r"\s*field:([^;]*);\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:(\d+);)?", re.ASCII)
_NAME = re.compile(r"(\w+)\s*((?:\[[^\]]*\])*)$", re.ASCII)
_DYNAMIC = {"__data_loc": 1, "__rel_loc": 2}
_QUALIFIERS = frozenset(
    ("const", "volatile", "__user", "__kernel", "__rcu", "__seg_gs", "__percpu", "__restrict", "__attribute__")
)


@record(frozen=True)
class ParsedFormat:
    """A format file: event name, id, all fields (common_* first; offsets in bytes from the record's start), print text."""

    name: str
    id: int
    fields: tuple[ct.Field, ...]
    print_fmt: str


def parse_tracepoint_format(text: str, known: Known | None = None, path: str = "format") -> ParsedFormat:
    """A tracepoint's format file. Raises FormatError when it has no id or no fields.

    Integers take their size and sign from the file, not from the type's name; `char x[16]` is an array of int8, a pointer
    to a struct is one to the kernel's struct when `known` has it. Dynamic arrays have count 0 and `data_loc` set.
    """
    name, identity, print_fmt = "", -1, ""
    fields: list[ct.Field] = []
    offset = 0
    for line in text.splitlines(keepends=True):
        if line.startswith("name:"):
            name = line[5:].strip()
        elif line.startswith("ID:"):
            digits = line[3:].strip()
            identity = int(digits) if digits.isdecimal() else -1
        elif line.startswith("print fmt:"):
            print_fmt = line[10:].strip()
        elif (match := _FIELD.match(line)) is not None:
            fields.append(_field(match, known, path, offset))
        offset += len(line)
    if identity < 0 or not fields:
        raise FormatError(path, 0, "no ID or no fields in a tracepoint format")
    return ParsedFormat(name, identity, tuple(fields), print_fmt)


def _field(match: re.Match[str], known: Known | None, path: str, offset: int) -> ct.Field:
    decl, at, size = match[1].strip(), int(match[2]), int(match[3])
    signed = match[4] not in (None, "0")
    found = _NAME.search(decl)
    if found is None:
        raise FormatError(path, offset, f"cannot read the field {decl!r}")
    name, bounds = found[1], found[2]
    words = decl[: found.start()].replace("*", " * ").split()
    dynamic = _DYNAMIC.get(words[0], 0) if words else 0
    if dynamic:
        element = _type(" ".join(words[1:]).replace("[]", "").split(), 0, signed, known)
        return ct.Field(name, ct.Array(element, 0), at, decl=decl, data_loc=dynamic)
    if not bounds:
        return ct.Field(name, _type(words, size, signed, known), at, decl=decl)
    counts = [int(n) if n.isdecimal() else 0 for n in re.findall(r"\[([^\]]*)\]", bounds)]
    total = 1
    for count in counts:
        total *= count
    element = _type(words, size // total if total else 0, signed, known)
    kind: ct.CType = element
    if not total and element.size:  # a size that is no number (`x[MAX]`): as many as fit
        counts = [size // element.size]
    for count in reversed(counts[:8]):
        kind = ct.Array(kind, count)
    return ct.Field(name, kind, at, decl=decl)


def _type(words: list[str], size: int, signed: bool, known: Known | None) -> ct.CType:
    """The type of `words`; an integer of `size` bytes (0: as its name says) where they name one."""
    stars = min(words.count("*"), 8)
    words = [word for word in words if word != "*" and word not in _QUALIFIERS]
    base: ct.CType | None
    if words and words[0] in ("struct", "union"):
        tag = words[1] if len(words) > 1 else ""
        base = (known.struct(words[0], tag) if known else None) or ct.Struct(words[0], tag, 0 if stars else size)
    elif words and words[0] == "enum":
        base = (known.enum(words[1]) if known and len(words) > 1 else None) or ct.Int(4, signed)
    elif words and set(words) <= TYPE_WORDS:
        base = from_words(words)
    else:
        word = words[0] if words else ""
        base = NAMED.get(word) or (known.typedef(word) if known else None)
    if stars:
        pointer: ct.CType = base or ct.VOID
        for _ in range(stars):
            pointer = ct.Pointer(pointer)
        return pointer
    if isinstance(base, ct.Int) and base == ct.INT8 and words == ["char"] and size in (0, 1):
        return base
    if size in (1, 2, 4, 8) and (
        base is None or isinstance(base, ct.Int) or (ct.is_integer(base) and base.size != size)
    ):
        return ct.Int(size, signed)
    return base or (ct.Array(ct.UINT8, size) if size else ct.INT8)
