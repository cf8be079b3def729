"""The kretprobe probe: a kernel function's return."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from . import kernel_functions as kf
from .asking import Asking
from .kprobe import expand_function, listing
from .model import Kind, ProbeOptions, ProbePoint


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`kretprobe:[MODULE:]FUNCTION`, wildcards in both; `kretprobe:ADDRESS` with --unsafe."""
    return expand_function(Asking("kretprobe", ap, target, options, diagnostics), returns=True)


def details(entry: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The type of retval."""
    module, _, function = entry.rpartition(":")
    texts = kf.parameter_texts(target, function, module)
    if texts and texts[-1].endswith(" retval"):
        return [texts[-1]]
    return ["void"] if target.function(function, module) is not None else ()


KIND = Kind(("kretprobe", "kr"), "A kernel function's return", expand, listing, details)
