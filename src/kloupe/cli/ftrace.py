"""`kloupe ftrace`: the kernel's own tracer. Finds the part that a word names."""

from __future__ import annotations

import sys
from importlib import import_module

from ..base.errors import UsageError
from .ftrace_options import TRACE, VIEW, option_lines

# word -> (module, arguments, what it does)
PARTS: dict[str, tuple[str, str, str]] = {
    "graph": ("ftrace_run", "[FUNC...] [-- CMD]", "every function call with its duration (function_graph)"),
    "function": ("ftrace_run", "[FUNC...] [-- CMD]", "every function call (function)"),
    "events": ("ftrace_run", "[EVENT...] [-- CMD]", "tracepoints"),
    "list": ("ftrace_list", "functions|events|tracers|options|clocks [PATTERN]", "what this kernel offers"),
    "hist": ("ftrace_hist", "EVENT [--by FIELD] [--value FIELD] [--until EVENT] --for TIME", "histograms of events"),
    "record": ("ftrace_record", "-o FILE [-t TRACER] [-e EVENT] [FUNC...] [-- CMD]", "raw events into a trace.dat"),
    "report": ("ftrace_report", "FILE", "print a trace.dat"),
    "info": ("ftrace_info", "FILE", "what a trace.dat holds"),
    "split": ("ftrace_info", "FILE [--from S] [--to S] [--cpu LIST] -o PART", "a part of a trace.dat"),
    "restore": ("ftrace_restore", "[FILE]", "put back what a killed session left, and tell who is tracing"),
}
_EXAMPLES = (
    "kloupe ftrace graph -- ls",
    "kloupe ftrace graph 'vfs_*' --depth 3 -p 1234 --for 2s",
    "kloupe ftrace events sched:sched_switch --where 'prev_prio < 100' --for 1s",
    "kloupe ftrace list functions 'tcp_*'",
)


def run(arguments: list[str]) -> int:
    """Run the part that the first word names; gives the exit status. Other words are tracers of this kernel."""
    if not arguments or arguments[0] == "help" or {"-h", "--help"} & set(_before_command(arguments)):
        sys.stdout.write(help_text())
        return 0
    word = arguments[0]
    if word.startswith("-"):
        raise UsageError(f"kloupe ftrace: what to do comes first, not {word}", hint="kloupe ftrace --help")
    if word not in PARTS:
        _require_no_slip(word)
    module = PARTS.get(word, ("ftrace_run", "", ""))[0]
    return int(import_module(f".{module}", __package__).run(word, arguments[1:]))


def _require_no_slip(word: str) -> None:
    """Raises UsageError for a word that is no tracer of this kernel and looks like a part."""
    from ..base.diag import did_you_mean
    from ..ftrace.control.folder import TracingFolder
    from ..host.tracefs import ensure_tracefs

    near = did_you_mean(word.lower(), PARTS)
    if near and word not in TracingFolder(ensure_tracefs()).words("available_tracers"):
        raise UsageError(f"kloupe ftrace has no part {word!r}, and this kernel no such tracer", hint=near[0])


def _before_command(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def help_text() -> str:
    """The text of --help."""
    lines = ["USAGE:"]
    for word, (_, words, doc) in PARTS.items():
        lines.append(f"    kloupe ftrace {word} {words}".rstrip())
        lines.append(f"        {doc}")
    lines += ["    kloupe ftrace TRACER [-- CMD]", "        any other tracer of this kernel"]
    lines += ["", "WHAT TO TRACE:", *option_lines(TRACE), "", "WHAT TO MAKE OF IT:", *option_lines(VIEW)]
    lines += ["", "EXAMPLES:", *(f"    {example}" for example in _EXAMPLES)]
    return "\n".join(lines) + "\n"
