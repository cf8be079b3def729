"""The hardware probe: perf's generic hardware events (linux/perf_event.h, `enum perf_hw_id`)."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .model import Kind, ProbeOptions, ProbePoint
from .perf_events import PerfEvent, by_name, expand_event, list_events

EVENTS = by_name(
    (
        PerfEvent("backend-stalls", "", 8, 1_000_000),
        PerfEvent("branch-instructions", "branches", 4, 100_000),
        PerfEvent("branch-misses", "", 5, 100_000),
        PerfEvent("bus-cycles", "", 6, 100_000),
        PerfEvent("cache-misses", "", 3, 1_000_000),
        PerfEvent("cache-references", "", 2, 1_000_000),
        PerfEvent("cpu-cycles", "cycles", 0, 1_000_000),
        PerfEvent("frontend-stalls", "", 7, 1_000_000),
        PerfEvent("instructions", "", 1, 1_000_000),
        PerfEvent("ref-cycles", "", 9, 1_000_000),
    )
)


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`hardware:cache-misses:1e6`."""
    return expand_event(Asking("hardware", ap, target, options, diagnostics), EVENTS)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """All events, by both names."""
    return list_events(pattern, EVENTS)


KIND = Kind(("hardware", "h"), "Events that the processor counts", expand, listing, listed="kernel")
