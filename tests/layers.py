"""Which layers can run here. With CI=true a layer that cannot run is a failure; elsewhere it is skipped with the reason."""

import os
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI") == "true"


def cannot_run(reason: str) -> NoReturn:
    """Skip, or fail where everything is required."""
    if IN_CI:
        pytest.fail(f"required on CI: {reason}", pytrace=False)
    pytest.skip(reason)
