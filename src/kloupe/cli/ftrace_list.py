"""`kloupe ftrace list`: functions, events, tracers, options and clocks of this kernel, by pattern."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from ..base.diag import did_you_mean
from ..base.errors import UsageError
from ..ftrace.control.folder import TracingFolder
from ..host.tracefs import ensure_tracefs
from ..kernel.tracing_dir import TracingDir


def _functions(top: TracingFolder) -> Iterable[str]:
    text = top.read("available_filter_functions")
    return (line.replace("\t", " ") for line in text.splitlines())


def _events(top: TracingFolder) -> Iterable[str]:
    return (f"{system}:{event}" for system, event in TracingDir((top.root,)).tracepoints("*", "*"))


def _tracers(top: TracingFolder) -> Iterable[str]:
    return sorted(top.words("available_tracers"))


def _options(top: TracingFolder) -> Iterable[str]:
    return sorted(top.words("trace_options"))


def _clocks(top: TracingFolder) -> Iterable[str]:
    return [word.strip("[]") for word in top.words("trace_clock")]


KINDS: dict[str, Callable[[TracingFolder], Iterable[str]]] = {
    "functions": _functions,
    "events": _events,
    "tracers": _tracers,
    "options": _options,
    "clocks": _clocks,
}


def run(word: str, arguments: list[str]) -> int:
    """Print names, one a line; 1 when the pattern matches nothing."""
    if not 1 <= len(arguments) <= 2 or arguments[0] not in KINDS:
        near = did_you_mean(arguments[0], KINDS) if arguments else ()
        raise UsageError(f"list what? {', '.join(KINDS)}", hint=near[0] if near else "")
    kind, pattern = arguments[0], arguments[1] if len(arguments) > 1 else "*"
    names = list(KINDS[kind](TracingFolder(ensure_tracefs())))
    found = [name for name in names if _matches(name, pattern)]
    sys.stdout.write("".join(f"{name}\n" for name in found))
    if not found:
        near = did_you_mean(pattern, [name.partition(" ")[0] for name in names])
        raise UsageError(f"none of the {len(names)} {kind} matches {pattern!r}", hint=near[0] if near else "")
    return 0


def _matches(name: str, pattern: str) -> bool:
    plain = name.partition(" ")[0]
    return fnmatchcase(plain, pattern) or (":" not in pattern and fnmatchcase(plain.rpartition(":")[2], pattern))
