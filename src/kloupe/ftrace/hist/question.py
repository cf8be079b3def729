"""What a histogram is asked: an event or a pair of events, keys, values, a filter."""

from __future__ import annotations

import re

from ...base.errors import UsageError
from ...base.record import field, record

MODIFIERS = ("log2", "hex", "sym", "sym-offset", "syscall", "execname", "buckets", "percent", "stacktrace")
LATENCY = "latency_us"
HITS = "hitcount"
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)


@record(frozen=True)
class Key:
    """A key: a field of the event and how it is grouped (`log2`, `buckets=10`, `sym`, ...; "" as it is)."""

    field: str
    modifier: str = ""

    def __str__(self) -> str:
        return f"{self.field}.{self.modifier}" if self.modifier else self.field


def parse_key(text: str) -> Key:
    """`prev_comm`, `bytes_req.log2`, `len.buckets=100`. Raises UsageError."""
    name, _, modifier = text.partition(".")
    if not _NAME.match(name) or (modifier and modifier.partition("=")[0] not in MODIFIERS):
        raise UsageError(
            f"{text!r} is no key of a histogram", hint=f"a field, or FIELD.log2 and the like: {', '.join(MODIFIERS)}"
        )
    return Key(name, modifier)


@record
class Question:
    """`event` and `until` are (system, event). With `until` the time between the two is asked: `match` pairs a field of the first with one of
    the second, `LATENCY` is then a key and a value, and `keys` are fields of the second."""

    event: tuple[str, str]
    keys: list[Key] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    where: str = ""
    until: tuple[str, str] | None = None
    until_where: str = ""
    match: tuple[str, str] = ("common_pid", "common_pid")
    sort: str = ""
    size: int = 0


@record(eq=False)
class Row:
    """One bucket: the keys' values and the sums of the values."""

    keys: tuple[str | int, ...]
    hits: int
    sums: list[int]


@record(eq=False)
class Answer:
    """A histogram. `dropped`: hits that found the table full."""

    keys: list[Key]
    values: list[str]
    rows: list[Row] = field(default_factory=list)
    hits: int = 0
    dropped: int = 0


def sorted_rows(answer: Answer, by: str) -> list[Row]:
    """Rows by a column: a key ascending, `hitcount` or a value descending. "" is by a single key that is a range, else by hits."""
    keys = [str(key) for key in answer.keys]
    names = [key.field for key in answer.keys]
    if not by:
        ranged = len(answer.keys) == 1 and answer.keys[0].modifier.partition("=")[0] in ("log2", "buckets")
        by = keys[0] if ranged else HITS
    if by in keys or by in names:
        index = keys.index(by) if by in keys else names.index(by)
        return sorted(answer.rows, key=lambda row: _ordering(row.keys[index]))
    if by == HITS:
        return sorted(answer.rows, key=lambda row: (-row.hits, [_ordering(k) for k in row.keys]))
    if by in answer.values:
        index = answer.values.index(by)
        return sorted(answer.rows, key=lambda row: -row.sums[index])
    raise UsageError(f"--sort {by!r} is no column", hint=f"there are {', '.join([HITS, *keys, *answer.values])}")


def _ordering(value: str | int) -> tuple[int, int, str]:
    return (0, value, "") if isinstance(value, int) else (1, 0, value)
