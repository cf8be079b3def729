"""Buckets of hist() and lhist(): what range each counts, and the bars of the text form."""

from __future__ import annotations

from collections.abc import Mapping

from ..base.ctype import Histogram
from ..base.record import record

LABEL_WIDTH, COUNT_WIDTH, BAR_WIDTH = 16, 8, 52
_SUFFIXES = ("", "K", "M", "G", "T", "P", "E")
_KILO, _MEGA = 1024, 1024 * 1024


@record(frozen=True)
class Bound:
    """An end of a bucket: its value and how the text form writes it. `exact` bounds one apart print as one number."""

    value: int
    text: str
    exact: bool


@record(frozen=True)
class Bucket:
    """`count` values from `low` (None: no lower end) to below `high` (None: no upper end)."""

    low: Bound | None
    high: Bound | None
    count: int


def _power_bound(index: int, bits: int) -> Bound:
    """The upper end of bucket `index` of hist(): single values below 2 << bits, then 2**bits buckets per power of two."""
    if index <= 2 << bits:
        return Bound(index, str(index), True)
    intervals = 1 << bits
    mantissa = intervals + (index & intervals - 1)
    power = (index >> bits) - 1
    decade = power // 10
    text = f"{mantissa << power - 10 * decade}{_SUFFIXES[decade]}"
    return Bound(mantissa << power, text, False)


def _linear_bound(index: int, t: Histogram) -> Bound | None:
    """The upper end of bucket `index` of lhist(); None for the overflow bucket."""
    value = t.minimum + index * t.step
    if value > t.maximum:
        return None
    if t.step % _KILO:
        return Bound(value, str(value), True)
    if value and value % _MEGA == 0:
        return Bound(value, f"{value // _MEGA}M", False)
    return Bound(value, f"{value // _KILO}K" if value else "0", False)


def buckets(t: Histogram, counts: Mapping[int, int], div: int = 1) -> list[Bucket]:
    """The buckets from the first to the last that is not empty; `counts` maps bucket number to count, `div` divides them (hist only)."""
    used = [index for index, count in counts.items() if count]
    if not used:
        return []
    first, last = min(used), max(used)
    linear = t.kind == "lhist"
    ends = [_linear_bound(i, t) if linear else _power_bound(i, t.bits) for i in range(max(first - 1, 0), last + 1)]
    lows: list[Bound | None] = list(ends) if first else [None, *ends]
    highs = ends[1:] if first else ends
    step = 1 if linear else div or 1
    return [Bucket(lows[i], highs[i], counts.get(first + i, 0) // step) for i in range(last - first + 1)]


def bucket_label(bucket: Bucket) -> str:
    """`(..., 0)`, `[1]`, `[2, 4)` or `[20, ...)`."""
    low, high = bucket.low, bucket.high
    if low is None:
        return f"(..., {high.text})" if high else "(..., ...)"
    if high is None:
        return f"[{low.text}, ...)"
    if low.exact and high.exact and low.value + 1 == high.value:
        return f"[{low.text}]"
    return f"[{low.text}, {high.text})"


def bars(rows: list[Bucket]) -> str:
    """The lines of the text form: label, count and a bar as long as count * 52 / largest count."""
    largest = max([row.count for row in rows], default=0) or 1
    return "".join(
        f"{bucket_label(row):<{LABEL_WIDTH}}{row.count:>{COUNT_WIDTH}} "
        f"|{'@' * (row.count * BAR_WIDTH // largest):<{BAR_WIDTH}}|\n"
        for row in rows
    )
