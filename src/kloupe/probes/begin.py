"""The begin probe: runs once, before everything else is attached."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .model import Kind, ProbeOptions, ProbePoint
from .ran_by_us import own_point


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """The one point; it takes no further parts (a lone wildcard passes)."""
    if ap.parts != ("*",) and not Asking("begin", ap, target, options, diagnostics).check_count(0):
        return ()
    return (own_point("begin", "begin", "special"),)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """Nothing: it is not listed."""
    return ()


KIND = Kind(("begin",), "Runs before all other probes are attached", expand, listing)
