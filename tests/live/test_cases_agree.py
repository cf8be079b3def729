"""Every script of the case files prints the same in the kernel as in the user-space machine."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cases"))

from casefile import Case, run_cases
from running import compiled, run_image

from kloupe.engine.kernel import KernelEngine


@pytest.mark.parametrize("case", run_cases(), ids=lambda case: case.id)
def test_kernel(case: Case) -> None:
    image, messages = compiled(case)
    assert image is not None, messages
    status, out, errors = run_image(image, KernelEngine())
    assert out == case.parts["stdout"]
    assert messages + errors == case.parts.get("stderr", "")
    assert status == case.status
