"""Questions as hist triggers and synthetic events, and the text of `hist` files as answers.

Source: Documentation/trace/histogram.rst.
"""

from __future__ import annotations

import re

from ...base.record import record
from .question import HITS, LATENCY, Answer, Key, Question, Row

_STAMP = "common_timestamp.usecs"


@record(frozen=True)
class Trigger:
    """A trigger of an event: its text, and the text that removes it."""

    system: str
    event: str
    text: str
    undo: str


@record
class Plan:
    """What must be written: a synthetic event (its definition, "" for none), triggers in this order, and whose `hist` file has the answer."""

    synthetic: str
    triggers: list[Trigger]
    system: str
    event: str


def _hist(question: Question, keys: list[str], values: list[str], where: str) -> str:
    text = f"hist:keys={','.join(keys)}"
    if values:
        text += f":vals={','.join([HITS, *values])}"
    if question.size:
        text += f":size={question.size}"
    return f"{text} if {where}" if where else text


def _trigger(system: str, event: str, text: str) -> Trigger:
    return Trigger(system, event, text, f"!{text}")


def make_plan(question: Question, name: str, types: dict[str, str]) -> Plan:
    """What to write for a question. `name` is the synthetic event's; `types` gives the C type of the second event's fields."""
    keys = [str(key) for key in question.keys]
    system, event = question.event
    if question.until is None:
        text = _hist(question, keys or ["common_pid"], question.values, question.where)
        return Plan("", [_trigger(system, event, text)], system, event)
    until_system, until_event = question.until
    first, second = question.match
    fields = [key.field for key in question.keys if key.field != LATENCY]
    fields = list(dict.fromkeys(fields))
    definition = f"{name} u64 {LATENCY}" + "".join(f"; {_declared(types.get(field, 'u64'), field)}" for field in fields)
    begin = f"hist:keys={first}:kloupe_start={_STAMP}" + (f" if {question.where}" if question.where else "")
    arguments = ",".join(["$kloupe_lat", *fields])
    finish = (
        f"hist:keys={second}:kloupe_lat={_STAMP}-$kloupe_start:onmatch({system}.{event}).trace({name},{arguments})"
        + (f" if {question.until_where}" if question.until_where else "")
    )
    text = _hist(question, keys or [f"{LATENCY}.log2"], [*question.values] or [LATENCY], "")
    triggers = [
        _trigger(system, event, begin),
        _trigger(until_system, until_event, finish),
        _trigger("synthetic", name, text),
    ]
    return Plan(definition, triggers, "synthetic", name)


def _declared(kind: str, name: str) -> str:
    """`u32 pid`, `char comm[16]`."""
    base, bracket, rest = kind.partition("[")
    return f"{base} {name}{bracket}{rest}"


_ROW = re.compile(r"^\{ (.*?) \}\s*(.*)$", re.DOTALL)
_PAIR = re.compile(r"(\w[\w.$-]*):\s*(-?\d+)")
_TOTAL = re.compile(r"^\s*(Hits|Entries|Dropped):\s*(\d+)", re.MULTILINE)


def parse_hist(text: str, keys: list[Key], values: list[str]) -> Answer:
    """The text of a `hist` file. A row that is not understood is left out of the rows but is in the totals.

    Rows that print the same are one: the kernel tells strings apart by the bytes behind their ends, too.
    """
    answer = Answer(keys, values)
    rows: dict[tuple[str | int, ...], Row] = {}
    body, _, totals = text.rpartition("\nTotals:")
    for block in re.split(r"\n(?=\{ )", "\n" + body):
        match = _ROW.match(block.strip("\n"))
        if match is None:
            continue
        sums = {name: int(value) for name, value in _PAIR.findall(match[2])}
        found = _parse_keys(match[1], keys)
        if found is not None and HITS in sums:
            row = rows.setdefault(found, Row(found, 0, [0] * len(values)))
            row.hits += sums[HITS]
            row.sums = [before + _sum(value, sums) for before, value in zip(row.sums, values, strict=True)]
    answer.rows = list(rows.values())
    numbers = {name: int(value) for name, value in _TOTAL.findall(totals)}
    answer.hits, answer.dropped = numbers.get("Hits", 0), numbers.get("Dropped", 0)
    return answer


def _sum(value: str, sums: dict[str, int]) -> int:
    """The sum of a value. The kernel prints it unsigned; a time between two CPUs' clocks can be below zero."""
    total = sums.get(value, 0)
    return total - (1 << 64) if value == LATENCY and total >> 63 else total


def _parse_keys(text: str, keys: list[Key]) -> tuple[str | int, ...] | None:
    """The values of the keys, which stand in order: `prev_comm: bash , prev_pid:    12`."""
    found: list[str | int] = []
    rest = text
    for index, key in enumerate(keys):
        name = re.escape(key.field)
        head = re.match(rf"\s*{name}:?\s*", rest)
        if head is None:
            return None
        rest = rest[head.end() :]
        following = re.escape(keys[index + 1].field) if index + 1 < len(keys) else ""
        cut = re.search(rf"\s*,\s*{following}:", rest) if following else None
        raw, rest = (rest[: cut.start()], rest[cut.end() - len(keys[index + 1].field) - 1 :]) if cut else (rest, "")
        found.append(parse_value(raw.strip()))
    return tuple(found)


def parse_value(text: str) -> str | int:
    """A key's value: a number where it is one; `~ 2^10` (log2) is 10."""
    if text.startswith("~ 2^"):
        text = text[4:].strip()
    return int(text) if re.fullmatch(r"-?\d+", text) else text
