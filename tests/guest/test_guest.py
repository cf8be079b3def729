"""The checks of ``inside/``, each as a test per kernel."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "inside"))

from reporting import list_checks

KERNELS = os.environ.get("KLOUPE_GUEST_KERNELS", "").replace(",", " ").split()

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(
        not KERNELS, reason="no guest kernels asked for: set KLOUPE_GUEST_KERNELS, as in '5.10 6.1 7.3'"
    ),
]


@pytest.mark.parametrize("kernel", KERNELS or ["none"])
@pytest.mark.parametrize("check", list_checks())
def test_inside(kernel: str, check: str, guest_results: Callable[[str], dict[str, dict[str, Any]]]) -> None:
    result = guest_results(kernel)[check]
    if result["status"] == "skip":
        pytest.skip(result["detail"])
    if result["status"] != "pass":
        pytest.fail(f"in a guest with kernel {kernel}: {result['detail']}", pytrace=False)
