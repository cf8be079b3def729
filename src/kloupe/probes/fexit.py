"""The fexit probe (old name kretfunc): a kernel function's return, with its arguments and result, all typed."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from . import kernel_functions as kf
from .asking import Asking
from .fentry import expand_function, listing
from .model import Kind, ProbeOptions, ProbePoint


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`fexit:[MODULE:]FUNCTION`, wildcards in both."""
    return expand_function(Asking("fexit", ap, target, options, diagnostics), returns=True)


def details(entry: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The parameters and the result."""
    module, _, function = entry.rpartition(":")
    return kf.parameter_texts(target, function, module)


KIND = Kind(
    ("fexit", "fr", "kretfunc"), "A kernel function's return, with typed arguments and result", expand, listing, details
)
