"""The test probe: a test case written in the language, run with --test."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .model import Kind, ProbeOptions, ProbePoint
from .ran_by_us import own_point


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`test:NAME`. That a name is used once is checked over the whole script (`table.check_attach_points`)."""
    asking = Asking("test", ap, target, options, diagnostics)
    if not asking.check_count(1):
        return ()
    if not ap.parts[0]:
        asking.error("test probes must have a name")
        return ()
    return (own_point("test", f"test:{ap.parts[0]}", "test", name=ap.parts[0]),)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """Nothing: it is not listed."""
    return ()


KIND = Kind(("test",), "Checks its own result, with --test", expand, listing)
