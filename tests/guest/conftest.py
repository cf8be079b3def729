"""Guests for tests: one boot per kernel, with all of its checks, shared by all workers of pytest-xdist.

``KLOUPE_GUEST_KERNELS="5.10 6.1 7.3"`` says which kernels (commas work too); without it these tests are skipped.
``KLOUPE_GUEST_BPFTRACE=1`` gives the guests the real bpftrace as well. ``scripts/guest/README.md`` has the rest.
"""

import fcntl
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "scripts" / "guest"))

Result = dict[str, Any]

TIMEOUT_S = 1200.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "guest: boots real kernels under QEMU; needs KLOUPE_GUEST_KERNELS")


@pytest.fixture(scope="session")
def guest_results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Result]]:
    """Give the results of a kernel's checks by name; the first call for a kernel boots it."""
    wanted: dict[str, list[str]] = {}
    for item in request.session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "check" in params and "kernel" in params:
            wanted.setdefault(params["kernel"], []).append(params["check"])
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    held: dict[str, dict[str, Result]] = {}

    def give(kernel: str) -> dict[str, Result]:
        if kernel not in held:
            kept = shared / f"guest-{kernel}.json"
            with open(shared / f"guest-{kernel}.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not kept.exists():
                    kept.write_text(json.dumps(run_checks(kernel, wanted[kernel])))
            held[kernel] = json.loads(kept.read_text())
        return held[kernel]

    return give


def run_checks(kernel: str, checks: list[str]) -> dict[str, Result]:
    """Boot a kernel, run the checks in it, and give a result for each, also for those it did not reach."""
    from kloupe_guest import GuestError, GuestRun, run_guest
    from kloupe_guest.job import Job

    said = {"stdout": bytearray(), "stderr": bytearray()}
    job = Job(
        command=["python3", "tests/guest/inside/run_checks.py", *checks],
        timeout_s=TIMEOUT_S,
    )
    run = GuestRun(kernel, with_bpftrace=os.environ.get("KLOUPE_GUEST_BPFTRACE") == "1")
    try:
        outcome = run_guest(run, job, lambda stream, content: said[stream].extend(content))
    except GuestError as error:
        return {name: {"name": name, "status": "fail", "detail": f"no guest: {error}"} for name in checks}
    results: dict[str, Result] = {}
    for line in said["stdout"].decode(errors="replace").splitlines():
        if line.startswith("{"):
            result = json.loads(line)
            results[result["name"]] = result
    why = outcome.problem or f"the runner ended with status {outcome.status}"
    tail = said["stderr"].decode(errors="replace")[-4000:]
    for name in checks:
        results.setdefault(name, {"name": name, "status": "fail", "detail": f"no report: {why}\n{tail}"})
    return results
