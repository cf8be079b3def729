"""Probes that user space runs itself (with a test run of a raw tracepoint program): begin, end, self, test, bench."""

from __future__ import annotations

from ..image import AttachSpec, Scalar
from .contexts import plain_context
from .model import ProbePoint

PROGRAM_TYPE = "raw_tracepoint"


def own_point(kind: str, name: str, group: str, /, **params: Scalar) -> ProbePoint:
    """A point of such a kind; `group` is how bpftrace's messages call the kind."""
    return ProbePoint(kind, name, PROGRAM_TYPE, "", AttachSpec(kind, name, params), plain_context(group))
