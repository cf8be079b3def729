"""`kloupe ftrace report FILE`: a trace.dat as text, or as one of the views; and the difference of two."""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase

from ..base.diag import did_you_mean
from ..base.errors import UsageError
from ..ftrace.report.options import ReportOptions
from ..ftrace.report.text import write_report
from ..ftrace.source import Trace, open_trace
from .ftrace_options import VIEW, Words, parse_cpus, parse_number, parse_words
from .ftrace_views import chosen_view, require_place, show, sort_column, write_pieces
from .options import Option

CHOICE: dict[str, Option] = {
    "cpu": Option(("--cpu",), "LIST", "only these CPUs, as in 0-3,8"),
    "from": Option(("--from",), "SECONDS", "only from this time stamp on"),
    "to": Option(("--to",), "SECONDS", "only up to this time stamp"),
    "pid": Option(("-p", "--pid"), "PID", "only this task"),
    "events": Option(("-e", "--event"), "EVENT", "only these events (globs)"),
    "instance": Option(("--instance",), "NAME", "only this tracing instance"),
}
REPORT: dict[str, Option] = {
    **CHOICE,
    "raw": Option(("-R", "--raw"), "", "fields instead of each event's own text"),
    "nanoseconds": Option(("-t", "--nanoseconds"), "", "all digits of the time stamps"),
    "diff": Option(("--diff",), "", "two files: statistics side by side"),
}


def run(word: str, arguments: list[str]) -> int:
    """Print a report; 1 when a file was damaged (what could be read is shown)."""
    words = parse_words(arguments, REPORT | VIEW)
    if words.has("output"):
        require_place(words.get("output"), *words.plain)
    if words.has("diff"):
        return _diff(words)
    view = chosen_view(words)
    text_only = next((key for key in ("raw", "nanoseconds") if view and words.has(key)), "")
    if text_only:
        raise UsageError(f"{REPORT[text_only].names[-1]} is about the text, not about --{view}")
    trace = open_one(words)
    options = report_options(words, trace)
    if view:
        show(trace, words, options)
    elif words.has("output"):
        _write_file(trace, options, words.get("output"))
    else:
        sys.stdout.flush()
        tell_empty(write_report(trace, options, sys.stdout.write, sys.stdout.fileno()))
        sys.stdout.flush()
    return tell_problems(trace)


def _write_file(trace: Trace, options: ReportOptions, path: str) -> None:
    try:
        with open(path, "w", encoding="utf-8", errors="replace") as out:
            tell_empty(write_report(trace, options, out.write, out.fileno()))
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}") from None


def tell_empty(any_event: bool) -> None:
    """Say on stderr that nothing was chosen."""
    if not any_event:
        sys.stderr.write("NOTE: no event of the file passes; kloupe ftrace info FILE tells which there are, and when\n")


def open_one(words: Words) -> Trace:
    """The one file that is named. Raises UsageError."""
    if len(words.plain) != 1:
        raise UsageError("one trace.dat is needed", hint="kloupe ftrace report FILE")
    return open_trace(words.plain[0])


def _diff(words: Words) -> int:
    from ..ftrace.events import trace_items
    from ..ftrace.views.stat import collect, render_diff

    if len(words.plain) != 2:
        raise UsageError("--diff compares two files", hint="kloupe ftrace report --diff A B")
    by = sort_column(words)
    traces = [open_trace(path) for path in words.plain]
    before, after = (collect(trace_items(trace, report_options(words, trace))) for trace in traces)
    if not before and not after:
        raise UsageError("neither file has calls: --diff is about function graphs")
    write_pieces([render_diff(before, after, by)], words.get("output"))
    return max([tell_problems(trace) for trace in traces])


def report_options(words: Words, trace: Trace) -> ReportOptions:
    """What the options say. Raises UsageError."""
    start_ns, end_ns = _time_ns(words, "from"), _time_ns(words, "to")
    if words.has("to") and end_ns < start_ns:
        raise UsageError("--to is before --from")
    _require_events(words.all("events"), trace)
    names = [instance.name for instance in trace.instances]
    for name in words.all("instance"):
        if name not in names:
            known = ", ".join(name or "the main one" for name in names)
            raise UsageError(f"the file has no instance {name!r}", hint=f"it has: {known}")
    return ReportOptions(
        cpus=set(parse_cpus(words.get("cpu"))) if words.has("cpu") else None,
        start_ns=start_ns,
        end_ns=end_ns,
        pids={parse_number(text, "-p") for text in words.all("pid")} or None,
        events=words.all("events"),
        raw=words.has("raw"),
        nanoseconds=words.has("nanoseconds"),
        instances=words.all("instance"),
    )


def _require_events(patterns: list[str], trace: Trace) -> None:
    """Raises UsageError for a pattern that no event of the file can match."""
    pairs = {(system, event) for system, event, _ in trace.formats.texts.values()}
    names = {name for system, event in pairs for name in (system, event, f"{system}:{event}")}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = did_you_mean(pattern, names)
            raise UsageError(
                f"no event of the file matches {pattern!r}",
                hint=near[0] if near else "kloupe ftrace info FILE lists them",
            )


def _time_ns(words: Words, key: str) -> int:
    """Seconds with up to nine digits behind the point, exactly."""
    text = words.get(key, "0")
    whole, _, rest = text.partition(".")
    if not (whole.isdecimal() and len(whole) < 12 and (rest.isdecimal() or not rest) and len(rest) <= 9):
        raise UsageError(f"--{key} {text!r} is no time stamp", hint="as in 1234.567890")
    return int(whole) * 10**9 + int(rest.ljust(9, "0") or "0")


def tell_problems(trace: Trace) -> int:
    """Say on stderr what was wrong with the trace; 1 when something was."""
    for problem in trace.problems:
        sys.stderr.write(f"WARNING: {problem}\n")
    return int(bool(trace.problems))
