"""An answer as a table with bars, or as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ..views.stat import render_table
from .question import HITS, Answer, Key, Row, sorted_rows

_BAR = 40


def render_answer(answer: Answer, sort: str = "") -> Iterator[str]:
    """Rows in order; a value has its sum and its mean; bars are by hits."""
    rows = sorted_rows(answer, sort)
    most = max((row.hits for row in rows), default=0)
    head = [*(str(key) for key in answer.keys), HITS]
    for value in answer.values:
        head += [value, f"mean {value}"]
    table = [[*_key_cells(answer.keys, row), str(row.hits), *_value_cells(row), ""] for row in rows]
    lines = render_table([*head, ""], table).splitlines()
    yield lines[0] + "\n"
    for line, row in zip(lines[1:], rows, strict=True):
        yield f"{line}  {'@' * max(1, round(_BAR * row.hits / most))}\n"
    yield f"\n{answer.hits} hits in {len(rows)} rows" + (
        f", {answer.dropped} dropped: the table was full\n" if answer.dropped else "\n"
    )


def _key_cells(keys: list[Key], row: Row) -> list[str]:
    return [_range(value) if key.modifier == "log2" else str(value) for key, value in zip(keys, row.keys, strict=True)]


def _range(power: str | int) -> str:
    """What a log2 key stands for: the kernel rounds up to a power of two."""
    if not isinstance(power, int):
        return power
    return "0-1" if power <= 0 else f"{(1 << power - 1) + 1}-{1 << power}"


def _value_cells(row: Row) -> list[str]:
    return [text for total in row.sums for text in (str(total), f"{total / row.hits:.1f}" if row.hits else "-")]


def render_answer_json(answer: Answer, sort: str = "") -> Iterator[str]:
    """One object for each row."""
    for row in sorted_rows(answer, sort):
        keys = {str(key): value for key, value in zip(answer.keys, row.keys, strict=True)}
        yield json.dumps({"keys": keys, HITS: row.hits, "sums": dict(zip(answer.values, row.sums, strict=True))}) + "\n"
