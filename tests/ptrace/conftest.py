"""The ptrace layer follows processes of its own; a sandbox may forbid even that."""

import pytest
from following import kloupe_words, run

from layers import cannot_run


@pytest.fixture(autouse=True, scope="session")
def ptrace_at_hand() -> None:
    """Skip where ptrace is not allowed."""
    done = run(kloupe_words("-c", "true", "-e", "tracepoint:syscalls:sys_exit_execve { exit() }"))
    if done.returncode:
        cannot_run(f"cannot follow processes here: {done.stderr[:200]}")
