"""The bench probe: a micro benchmark, run with --bench."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .model import Kind, ProbeOptions, ProbePoint
from .ran_by_us import own_point


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`bench:NAME`. That a name is used once is checked over the whole script (`table.check_attach_points`)."""
    asking = Asking("bench", ap, target, options, diagnostics)
    if not asking.check_count(1):
        return ()
    if not ap.parts[0]:
        asking.error("bench probes must have a name")
        return ()
    return (own_point("bench", f"bench:{ap.parts[0]}", "benchmark", name=ap.parts[0]),)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """Nothing: it is not listed."""
    return ()


KIND = Kind(("bench",), "Is run many times and timed, with --bench", expand, listing)
