"""Time series: the chart of the text form, and the buckets of all CPUs and intervals put together.

A series is a list of (start of the interval in nanoseconds of its clock, value or None where nothing was seen).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence

from ..base.ctype import TimeSeries
from .names import Names

Bytes = bytes | memoryview
Series = list[tuple[int, int | None]]
Intervals = dict[int, int]  # interval number -> value

WIDTH = 53  # columns of the chart, its borders included
_LEFT_WIDTH = 21
_UNITS = ((1_000_000_000, "", ""), (1_000_000, ".ms", ".%l"), (1_000, ".us", ".%f"), (1, ".ns", ".%k"))
_DIGITS = {"": 0, ".ms": 3, ".us": 6, ".ns": 9}


def merger(t: TimeSeries, order: str) -> Callable[[Sequence[Bytes]], tuple[int, int] | None]:
    """A function from one bucket's bytes of all CPUs to (interval number, value) of the latest interval in it, or None."""
    unpack = struct.Struct(order + ("qQQ" if t.signed else "QQQ")).unpack_from

    def merge(cells: Sequence[Bytes]) -> tuple[int, int] | None:
        rows = [row for row in map(unpack, cells) if row[2]]
        latest = max([row[2] for row in rows], default=0)
        rows = [row for row in rows if row[2] == latest]
        return (latest, _together(t.how, rows)) if rows else None

    return merge


def _together(how: str, rows: list[tuple[int, int, int]]) -> int:
    values = [row[0] for row in rows]
    if how == "avg":
        total, count = sum(values), sum(row[1] for row in rows)
        return abs(total) // count * (-1 if total < 0 else 1)
    if how in ("min", "max", "sum"):
        return {"min": min, "max": max, "sum": sum}[how](values)  # type: ignore[operator,no-any-return]
    return max(rows, key=lambda row: row[1])[0]


def series(t: TimeSeries, found: Intervals, last: int) -> Series:
    """From the first interval with a value, among the last `t.intervals` up to number `last`, to the last one."""
    wanted = [number for number in found if last - t.intervals < number <= last]
    if not wanted:
        return []
    return [(number * t.interval_ns, found.get(number)) for number in range(min(wanted), last + 1)]


def last_number(every: Iterable[Intervals]) -> int:
    """The latest interval that has a value in any of the series."""
    return max([number for found in every for number in found], default=0)


def chart(t: TimeSeries, points: Series, names: Names) -> str:
    """The lines of the text form: one a point, time downward, the values across."""
    if not points:
        return "<no data>\n"
    values = [value for _, value in points if value is not None]
    low, high = min(values), max(values)
    if low == high:
        low, high = (low - 1 if low > 0 or t.signed else low), high + 1
    step = t.interval_ns if len(points) > 1 else 0
    _, suffix, format = next((unit for unit in _UNITS if step >= unit[0]), _UNITS[-1])
    margin = " " * (9 + (_DIGITS[suffix]))
    margin += " " if suffix else ""
    scale = f"{margin}{low:<{_LEFT_WIDTH}}{high:>{WIDTH - 1 - _LEFT_WIDTH + 1}}\n"
    head = f"{'hh:mm:ss' + suffix:<{len(margin)}}|{'_' * (WIDTH - 2)}|\n"
    zero = WIDTH * -low // (high - low) if low < 0 < high else 0
    lines = []
    for start, value in points:
        line = list("|" + " " * (WIDTH - 2) + "|")
        if zero:
            line[zero] = "."
        if value is not None:
            line[(WIDTH - 1) * (value - low) // (high - low)] = "*"
        when = names.timestamp(start, f"%H:%M:%S{format}", t.clock)
        lines.append(f"{when} {''.join(line)} {'-' if value is None else value}\n")
    return f"{scale}{head}{''.join(lines)}{margin}v{'_' * (WIDTH - 2)}v\n{scale}"
