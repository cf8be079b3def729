"""The self probe: runs when the tracer itself is told to (`self:signal:SIGUSR1`)."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics, did_you_mean
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .model import Kind, ProbeOptions, ProbePoint
from .ran_by_us import own_point
from .wildcard import matcher

SIGNALS = ("SIGUSR1",)


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`self:signal:NAME`."""
    asking = Asking("self", ap, target, options, diagnostics)
    if not asking.check_count(2):
        return ()
    trigger, name = ap.parts
    if trigger != "signal":
        asking.error(f"{trigger} is not a supported trigger", hints=did_you_mean(trigger, ("signal",)))
        return ()
    if name not in SIGNALS:
        asking.error(f"{name} is not a supported signal", hints=did_you_mean(name, SIGNALS))
        return ()
    return (own_point("self", f"self:signal:{name}", "special", signal=name),)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The signals."""
    matches = matcher(pattern or "*")
    return [entry for entry in (f"signal:{name}" for name in SIGNALS) if matches(entry)]


KIND = Kind(("self",), "Runs when the tracer receives a signal", expand, listing)
