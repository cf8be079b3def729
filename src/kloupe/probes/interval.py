"""The interval probe: fires at a fixed interval on one CPU at a time."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..image import AttachSpec
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .contexts import perf_context
from .model import Kind, ProbeOptions, ProbePoint
from .timing import list_units, parse_timing, period_ns


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`interval:s:1`, `interval:hz:10`, `interval:10ms` (whose full name is `interval:us:10000`)."""
    timing = parse_timing(Asking("interval", ap, target, options, diagnostics))
    if timing is None:
        return ()
    unit, count = timing
    name = f"interval:{unit}:{count}"
    spec = AttachSpec("interval", name, {"period_ns": period_ns(unit, count)})
    context = perf_context("interval", target, registers=False)
    return (ProbePoint("interval", name, "perf_event", "", spec, context),)


KIND = Kind(("interval", "i"), "Fires at a fixed interval, on one CPU", expand, list_units)
