"""`kloupe ftrace hist`: histograms by the kernel's triggers, or over a recorded trace."""

from __future__ import annotations

import sys

from ..base.errors import UsageError
from ..ftrace.control.folder import TracingFolder
from ..ftrace.control.request import Request, parse_event
from ..ftrace.control.setup import matching_events
from ..ftrace.events import trace_items
from ..ftrace.hist.live import read_answer, set_up
from ..ftrace.hist.offline import answer_offline
from ..ftrace.hist.question import Answer, Question, parse_key
from ..ftrace.hist.show import render_answer, render_answer_json
from ..ftrace.report.options import ReportOptions
from ..ftrace.source import Trace, open_trace
from ..host.proc import threads
from ..host.tracefs import ensure_tracefs
from .ftrace_options import TRACE, VIEW, Words, parse_cpus, parse_number, parse_words
from .ftrace_report import tell_problems
from .ftrace_tracing import joined_filter, tracing
from .ftrace_views import require_place, write_pieces
from .options import Option

HIST: dict[str, Option] = {
    "by": Option(("--by",), "FIELD", "a key: a field, or FIELD.log2, .buckets=N, .sym, .execname, .syscall, .hex"),
    "value": Option(("--value",), "FIELD", "sum this field up"),
    "until": Option(("--until",), "EVENT", "the time until this event: latency_us is then a key and a value"),
    "match": Option(
        ("--match",), "FIELD[=FIELD]", "with --until: which field of the first is which of the second (common_pid)"
    ),
    "until_where": Option(("--until-where",), "FILTER", "with --until: only second events whose fields match"),
    "sort": Option(("--sort",), "COLUMN", "order: hitcount, a key or a value"),
    "size": Option(("--size",), "N", "rows that the kernel keeps (2048)"),
    "input": Option(("-i", "--input"), "FILE", "ask a recorded trace.dat instead of the kernel"),
    "output": VIEW["output"],
    "json": VIEW["json"],
    **{key: TRACE[key] for key in ("pid", "for", "event_filter", "cpu", "clear", "show_commands")},
}


def run(word: str, arguments: list[str]) -> int:
    """Ask and print; gives the exit status of the command, if there was one."""
    words = parse_words(arguments, HIST, takes_command=True)
    if len(words.plain) != 1:
        raise UsageError(
            "a histogram is of one event", hint="kloupe ftrace hist sched:sched_switch --by prev_comm --for 1s"
        )
    for key in ("match", "until_where"):
        if words.has(key) and not words.has("until"):
            raise UsageError(f"{HIST[key].names[0]} belongs to --until")
    if words.has("output"):
        require_place(words.get("output"), *([words.get("input")] if words.has("input") else []))
    if words.has("input"):
        return _offline(words)
    top = TracingFolder(ensure_tracefs())
    question = _question(words, lambda text: _live_event(top, text))
    pids = [parse_number(text, "-p") for text in words.all("pid")]
    if not words.has("for") and not words.command and not pids and not sys.stdin.isatty():
        raise UsageError("for how long? --for TIME, a command behind --, or -p PID")
    request = Request(cpus=parse_cpus(words.get("cpu")) if words.has("cpu") else [])
    if question.until is None:
        request.pids, request.more_events = list(pids), True
    else:
        _choose_tasks_of_pairs(question, pids, words)
    with tracing(request, words, [] if request.pids else pids) as it:
        plan = set_up(it.session, question)
        it.run()
        answer = read_answer(it.session, plan, question)
    _print(answer, question, words)
    return it.exit_status()


def _choose_tasks_of_pairs(question: Question, pids: list[int], words: Words) -> None:
    """Half of a pair may happen in another task, as the end of a disk request does, and the kernel's list of processes would hide it."""
    if pids:
        tasks = " || ".join(f"common_pid == {task}" for pid in pids for task in threads(pid))
        question.where = f"({question.where}) && ({tasks})" if question.where else tasks
    elif words.command:
        sys.stderr.write("NOTE: the pairs of all tasks are counted while the command runs; --where chooses\n")


_LIVE = ("pid", "for", "cpu", "clear", "show_commands", "size")


def _offline(words: Words) -> int:
    live = "--" if words.command else next((HIST[key].names[0] for key in _LIVE if words.has(key)), "")
    if live:
        raise UsageError(f"{live} is about tracing: -i asks a file", hint="--where chooses events of the file")
    trace = open_trace(words.get("input"))
    question = _question(words, lambda text: _file_event(trace, text))
    _print(answer_offline(trace, trace_items(trace, ReportOptions()), question), question, words)
    return tell_problems(trace)


def _print(answer: Answer, question: Question, words: Words) -> None:
    render = render_answer_json if words.has("json") else render_answer
    write_pieces(render(answer, question.sort), words.get("output"))


def _question(words: Words, find: object) -> Question:
    assert callable(find)
    first, _, second = words.get("match", "common_pid").partition("=")
    return Question(
        event=find(words.plain[0]),
        keys=[parse_key(part) for text in words.all("by") for part in text.split(",")],
        values=[part for text in words.all("value") for part in text.split(",")],
        where=joined_filter(words),
        until=find(words.get("until")) if words.has("until") else None,
        until_where=words.get("until_where"),
        match=(first, second or first),
        sort=words.get("sort"),
        size=parse_number(words.get("size", "0"), "--size"),
    )


def _live_event(top: TracingFolder, text: str) -> tuple[str, str]:
    found = matching_events(top, parse_event(text))
    if len(found) != 1:
        raise UsageError(f"{text!r} is {len(found)} events: a histogram is of one")
    return found[0]


def _file_event(trace: Trace, text: str) -> tuple[str, str]:
    system, _, event = text.rpartition(":")
    names = [(s, e) for s, e, _ in trace.formats.texts.values() if e == event and system in ("", s)]
    if not names:
        from ..base.diag import did_you_mean

        near = did_you_mean(text, [f"{s}:{e}" for s, e, _ in trace.formats.texts.values()])
        raise UsageError(f"the file knows no event {text!r}", hint=near[0] if near else "")
    return names[0]
