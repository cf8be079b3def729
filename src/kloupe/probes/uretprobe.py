"""The uretprobe probe: a user-space function's return."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .model import Kind, ProbeOptions, ProbePoint
from .uprobe import expand_function, listing


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`uretprobe:BINARY:[cpp:]FUNCTION`, wildcards in binary and function."""
    return expand_function(Asking("uretprobe", ap, target, options, diagnostics), returns=True)


KIND = Kind(("uretprobe", "ur"), "A user-space function's return", expand, listing)
