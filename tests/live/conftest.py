"""The live layer loads programs into this machine's kernel; it needs root (or CAP_BPF and CAP_PERFMON)."""

import pytest

from kloupe.host import proc
from layers import cannot_run


@pytest.fixture(autouse=True, scope="session")
def kernel_at_hand() -> None:
    """Skip the layer where the kernel takes no programs from us; on CI that is a failure."""
    if proc.has_capability("CAP_SYS_ADMIN") or (proc.has_capability("CAP_BPF") and proc.has_capability("CAP_PERFMON")):
        return
    cannot_run("loading BPF programs needs root, or CAP_BPF and CAP_PERFMON")
