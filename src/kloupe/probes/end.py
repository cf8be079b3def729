"""The end probe: runs once, after everything else is detached."""

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
    if ap.parts != ("*",) and not Asking("end", ap, target, options, diagnostics).check_count(0):
        return ()
    return (own_point("end", "end", "special"),)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """Nothing: it is not listed."""
    return ()


KIND = Kind(("end",), "Runs after all other probes are detached", expand, listing)
