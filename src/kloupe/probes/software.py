"""The software probe: perf's software events (linux/perf_event.h, `enum perf_sw_ids`)."""

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
        PerfEvent("alignment-faults", "", 7, 1),
        PerfEvent("bpf-output", "", 10, 1),
        PerfEvent("context-switches", "cs", 3, 1_000),
        PerfEvent("cpu-clock", "cpu", 0, 1_000_000),
        PerfEvent("cpu-migrations", "", 4, 1),
        PerfEvent("dummy", "", 9, 1),
        PerfEvent("emulation-faults", "", 8, 1),
        PerfEvent("major-faults", "", 6, 1),
        PerfEvent("minor-faults", "", 5, 100),
        PerfEvent("page-faults", "faults", 2, 100),
        PerfEvent("task-clock", "", 1, 1),
    )
)


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`software:faults:100`."""
    return expand_event(Asking("software", ap, target, options, diagnostics), EVENTS)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """All events, by both names."""
    return list_events(pattern, EVENTS)


KIND = Kind(("software", "s"), "Events that the kernel counts", expand, listing, listed="kernel")
