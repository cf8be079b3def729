"""Tests for scripts, without root and without a kernel: a pytest plugin with one fixture, and the function behind it.

    def test_counts_reads(kloupe):
        run = kloupe("tracepoint:syscalls:sys_enter_read { @[comm] = count(); }")
        run.fire("tracepoint:syscalls:sys_enter_read", {"fd": 3}, comm="cat")
        assert run.maps["@"] == {"cat": 1}

See docs/testing.md. Nothing is imported before the fixture is used, so that test runs without scripts do not pay for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .kernel.target import Target
    from .testbed.run import ScriptRun

__all__ = ["ScriptRun", "kloupe", "run_script"]


def run_script(
    script: str | PathLike[str],
    *,
    target: Target | None = None,
    tracepoints: Mapping[str, str] | None = None,
    functions: Iterable[str] = (),
    **options: Any,
) -> ScriptRun:
    """Compile a script (its text, or the path of a file) and start it on a made-up kernel; see ScriptRun for the options.

    `tracepoints` declares tracepoints besides those of the system calls: "sched:sched_switch" -> "char prev_comm[16]; pid_t prev_pid".
    `functions` are the kernel functions that wildcards find. `target` replaces all that. Raises ScriptError for mistakes in the script.
    """
    from .testbed.run import ScriptRun
    from .testbed.target import ScriptTarget

    if isinstance(script, PathLike):
        name = fspath(script)
        with open(name, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    else:
        name, text = "script", script
    return ScriptRun(text, target or ScriptTarget(tracepoints, functions), name=name, **options)


@pytest.fixture
def kloupe() -> Callable[..., ScriptRun]:
    """`run_script`: compiles a script, starts it, and gives a ScriptRun."""
    return run_script


def __getattr__(name: str) -> Any:
    if name == "ScriptRun":
        from .testbed.run import ScriptRun

        return ScriptRun
    raise AttributeError(name)
