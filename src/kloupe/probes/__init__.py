"""One module per probe kind: what its attach points mean, what its programs find, what `-l` prints.

`KINDS` has the kinds by every spelling; `expand_attach_point` turns a written attach point into points; the listing is in
`listing`, apart because scripts that run do not need it.
"""

from __future__ import annotations

from .model import Context, Dispatch, Kind, ProbeOptions, ProbePoint, TaskFlags
from .table import KINDS, check_attach_points, expand_attach_point, near_points

__all__ = [
    "KINDS",
    "Context",
    "Dispatch",
    "Kind",
    "ProbeOptions",
    "ProbePoint",
    "TaskFlags",
    "check_attach_points",
    "expand_attach_point",
    "near_points",
]
