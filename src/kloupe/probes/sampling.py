"""The profile probe: fires on every CPU at a fixed rate."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..image import AttachSpec, Scalar
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .contexts import perf_context
from .model import Kind, ProbeOptions, ProbePoint
from .timing import list_units, parse_timing, period_ns


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`profile:hz:99`, `profile:ms:10`, `profile:10ms`."""
    timing = parse_timing(Asking("profile", ap, target, options, diagnostics))
    if timing is None:
        return ()
    unit, count = timing
    name = f"profile:{unit}:{count}"
    params: dict[str, Scalar] = {"frequency_hz": count} if unit == "hz" else {"period_ns": period_ns(unit, count)}
    context = perf_context("profile", target, registers=True)
    return (ProbePoint("profile", name, "perf_event", "", AttachSpec("profile", name, params), context),)


KIND = Kind(("profile", "p"), "Fires on every CPU at a fixed rate", expand, list_units)
