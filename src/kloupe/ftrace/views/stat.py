"""Per function: calls, total, self, min, mean, max and percentiles; and the difference of two runs."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

from ...base.record import field, record
from ..events import Call, TraceEvent

PERCENTILES = (50, 90, 99)
COLUMNS = ("total", "self", "calls", "mean", "min", "max", "name")


@record(eq=False)
class FunctionStat:
    """One function. Times in nanoseconds; calls whose end or beginning the trace does not have count in `cut`, not in times.

    `total_ns` counts a recursive call's time once.
    """

    name: str
    calls: int = 0
    cut: int = 0
    total_ns: int = 0
    self_ns: int = 0
    durations_ns: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def min_ns(self) -> int:
        """The shortest call."""
        return min(self.durations_ns, default=0)

    @property
    def max_ns(self) -> int:
        """The longest call."""
        return max(self.durations_ns, default=0)

    @property
    def mean_ns(self) -> float:
        """The mean duration."""
        return sum(self.durations_ns) / len(self.durations_ns) if self.durations_ns else 0.0

    def percentile_ns(self, percent: int) -> int:
        """The duration that `percent` of the calls do not exceed (the nearest of those that were)."""
        if not self.durations_ns:
            return 0
        ordered = sorted(self.durations_ns)
        return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def collect(items: Iterable[TraceEvent | Call]) -> dict[str, FunctionStat]:
    """Statistics of all calls, by function."""
    stats: dict[str, FunctionStat] = {}
    for item in items:
        if isinstance(item, Call):
            _add(stats, item)
    return stats


def _add(stats: dict[str, FunctionStat], root: Call) -> None:
    """A call and all inside. Depths of recursion are counted by name along the way."""
    stack: list[tuple[Call, bool]] = [(root, False)]
    active: dict[str, int] = {}
    while stack:
        call, done = stack.pop()
        if done:
            active[call.function] -= 1
            continue
        stat = stats.get(call.function)
        if stat is None:
            stat = stats[call.function] = FunctionStat(call.function)
        stat.calls += 1
        if call.left:
            stat.durations_ns.append(min(call.duration_ns, (1 << 64) - 1))
            stat.self_ns += call.self_ns
            if not active.get(call.function):
                stat.total_ns += call.duration_ns
        if not (call.left and call.entered):
            stat.cut += 1
        if call.children:
            active[call.function] = active.get(call.function, 0) + 1
            stack.append((call, True))
            stack.extend((child, False) for child in call.children)


_KEYS = {
    "total": lambda s: (-s.total_ns, s.name),
    "self": lambda s: (-s.self_ns, s.name),
    "calls": lambda s: (-s.calls, s.name),
    "mean": lambda s: (-s.mean_ns, s.name),
    "min": lambda s: (-s.min_ns, s.name),
    "max": lambda s: (-s.max_ns, s.name),
    "name": lambda s: s.name,
}


def ordered(stats: dict[str, FunctionStat], by: str = "total") -> list[FunctionStat]:
    """The statistics, largest first by a column of COLUMNS."""
    return sorted(stats.values(), key=_KEYS[by])


def _us(value_ns: float) -> str:
    return f"{value_ns / 1000:.3f}"


def render_stat(stats: dict[str, FunctionStat], by: str = "total", places: Mapping[str, str] | None = None) -> str:
    """A table; times in microseconds. `places`: function -> `file:line` of its definition, or ""; the last column."""
    head = [
        "function",
        "calls",
        "total us",
        "self us",
        "min us",
        "mean us",
        "max us",
        *(f"p{p} us" for p in PERCENTILES),
    ]
    rows = [
        [
            s.name, str(s.calls), _us(s.total_ns), _us(s.self_ns), _us(s.min_ns), _us(s.mean_ns), _us(s.max_ns),
            *(_us(s.percentile_ns(p)) for p in PERCENTILES),
        ]
        for s in ordered(stats, by)
    ]  # fmt: skip
    if places is not None:
        for row in [head, *rows]:
            row.append("defined at" if row is head else places[row[0]])
    return render_table(head, rows)


def render_table(head: list[str], rows: list[list[str]]) -> str:
    """Columns under their heads: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def render_diff(before: dict[str, FunctionStat], after: dict[str, FunctionStat], by: str = "total") -> str:
    """Two runs side by side: calls, totals and means of both, and how the total changed; the largest change first."""
    rows = []
    empty = FunctionStat("")
    for name in before.keys() | after.keys():
        a, b = before.get(name, empty), after.get(name, empty)
        rows.append((name, a, b, b.total_ns - a.total_ns))
    keys = {"name": lambda row: row[0], "calls": lambda row: (-abs(row[2].calls - row[1].calls), row[0])}
    rows.sort(key=keys.get(by, lambda row: (-abs(row[3]), row[0])))
    head = [
        "function",
        "calls A",
        "calls B",
        "total A us",
        "total B us",
        "change us",
        "change",
        "mean A us",
        "mean B us",
    ]
    return render_table(
        head,
        [
            [
                name, str(a.calls), str(b.calls), _us(a.total_ns), _us(b.total_ns), f"{change / 1000:+.3f}",
                f"{change / a.total_ns:+.1%}" if a.total_ns else "new", _us(a.mean_ns), _us(b.mean_ns),
            ]
            for name, a, b, change in rows
        ],
    )  # fmt: skip
