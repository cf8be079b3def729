"""The options of `kloupe ftrace`, as tables, and the parser that reads them."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import did_you_mean
from ..base.errors import UsageError
from ..base.record import field, record
from .options import Option

# What to trace, and for how long.
TRACE: dict[str, Option] = {
    "pid": Option(("-p", "--pid"), "PID", "trace this process and its children"),
    "no_children": Option(("--no-children",), "", "not the children of the traced processes"),
    "for": Option(("--for",), "TIME", "trace for this long, as in 2s or 300ms"),
    "functions": Option(("-f", "--filter"), "GLOB", "only functions that match (also given as plain words)"),
    "notrace": Option(("-n", "--notrace"), "GLOB", "not these functions"),
    "root": Option(("-g", "--root"), "FUNC", "graphs: only what this function calls"),
    "not_root": Option(("--not-root",), "FUNC", "graphs: nothing that this function calls"),
    "depth": Option(("--depth",), "N", "graphs: at most so many levels of calls"),
    "threshold": Option(
        ("--threshold",), "TIME", "graphs: only calls (latency tracers: only delays) of at least this long"
    ),
    "events": Option(("-e", "--event"), "EVENT", "switch on an event, as in sched:sched_switch or sched"),
    "event_filter": Option(("--where",), "FILTER", "only events whose fields match, as in 'prev_pid > 0'"),
    "trigger": Option(("--trigger",), "TRIGGER", "a trigger for the events, as in stacktrace or 'traceoff if ret < 0'"),
    "cpu": Option(("--cpu",), "LIST", "only these CPUs, as in 0-3,8"),
    "buffer": Option(("-b", "--buffer"), "SIZE", "the buffer of each CPU, as in 4M (plain numbers are kB)"),
    "clock": Option(("-C", "--clock"), "CLOCK", "the clock of the time stamps"),
    "option": Option(("-O", "--option"), "NAME", "switch on an option of the tracer (noNAME: off)"),
    "stack": Option(("-T", "--stack"), "", "with the kernel stack of each event"),
    "args": Option(("--args",), "", "with the arguments of functions"),
    "retval": Option(("--retval",), "", "with the return values of functions"),
    "clear": Option(("--clear",), "", "where only the top level will do: empty its buffer, whatever it holds"),
    "show_commands": Option(("--show-commands",), "", "print what is written to tracefs, on stderr"),
}
# What is made of a trace.
VIEW: dict[str, Option] = {
    "output": Option(("-o", "--output"), "FILE", "write to this file"),
    "tree": Option(("--tree",), "", "the calls as a tree with their times"),
    "stat": Option(("--stat",), "", "for each function: calls, total, self, min, mean, max and percentiles"),
    "sort": Option(("--sort",), "COLUMN", "order of --stat: total, self, calls, mean, max, name"),
    "json": Option(("--json",), "", "one JSON object a line"),
    "chrome": Option(("--chrome",), "", "the trace format of Chrome and Perfetto, as JSON"),
    "perfetto": Option(("--perfetto",), "", "Perfetto's own format"),
    "speedscope": Option(("--speedscope",), "", "a file for speedscope"),
    "folded": Option(("--folded",), "", "folded stacks, for flame graphs"),
    "html": Option(("--html",), "", "a page that opens from disk: a timeline and a tree"),
}
VIEWS = ("tree", "stat", "json", "chrome", "perfetto", "speedscope", "folded", "html")
REPEATED = frozenset(
    (
        "pid",
        "functions",
        "notrace",
        "root",
        "not_root",
        "events",
        "event_filter",
        "trigger",
        "option",
        "value",
        "by",
        "instance",
    )
)


@record
class Words:
    """What was given: options, plain words, and the command behind `--`."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    plain: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def has(self, key: str) -> bool:
        """Whether the option was given."""
        return key in self.values

    def get(self, key: str, default: str = "") -> str:
        """The option's argument, the last one when it was given several times."""
        return self.values.get(key, default)

    def all(self, key: str) -> list[str]:
        """The arguments of an option that may be given several times."""
        return self.lists.get(key, [])


def parse_words(arguments: Sequence[str], table: dict[str, Option], *, takes_command: bool = False) -> Words:
    """Read arguments. Raises UsageError for an unknown option (with near names), a missing or empty argument, a command that is missing or not wanted."""
    by_name = {name: key for key, option in table.items() for name in option.names}
    words, rest = Words(), list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            if not takes_command:
                raise UsageError("there is no command to run here: nothing comes behind --")
            if not rest:
                raise UsageError("the command behind -- is missing", hint="as in: kloupe ftrace graph -- ls")
            words.command = rest
            break
        if word == "-" or not word.startswith("-"):
            words.plain.append(word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        key = by_name.get(name)
        if key is None:
            near = did_you_mean(name, by_name)
            raise UsageError(f"unknown option {name}", hint=near[0] if near else "kloupe ftrace --help")
        if not table[key].argument:
            if equals:
                raise UsageError(f"{name} takes no argument")
            words.values[key] = "1"
            continue
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs an argument: {table[key].argument}")
            value = rest.pop(0)
        if not value:
            raise UsageError(f"{name} needs an argument that is not empty: {table[key].argument}")
        words.values[key] = value
        if key in REPEATED:
            words.lists.setdefault(key, []).append(value)
    return words


_UNITS_NS = {"ns": 1, "us": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def parse_time_ns(text: str, name: str, unit: str = "s") -> int:
    """`2s`, `300ms`, `1.5` (of `unit`) to nanoseconds. Raises UsageError."""
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    factor = _UNITS_NS.get(text[len(digits) :] or unit)
    try:
        value = float(digits)
    except ValueError:
        factor = None
    if factor is None or not 0 <= value < 1e12:
        raise UsageError(f"{name} {text!r} is no time", hint="as in 2s, 300ms or 50us")
    return int(value * factor)


_SIZES_KB = {"": 1, "k": 1, "m": 1 << 10, "g": 1 << 20}


def parse_size_kb(text: str, name: str) -> int:
    """`4M`, `512k`, `1408` (kB) to kB. Raises UsageError."""
    digits = text.lower().removesuffix("b").rstrip("kmg")
    unit = text.lower().removesuffix("b")[len(digits) :]
    if not digits.isdecimal() or unit not in _SIZES_KB or int(digits) == 0:
        raise UsageError(f"{name} {text!r} is no size", hint="as in 4M or 512k")
    return int(digits) * _SIZES_KB[unit]


def parse_number(text: str, name: str) -> int:
    """A whole number that is not negative. Raises UsageError."""
    if not text.isdecimal() or len(text) > 18:
        raise UsageError(f"{name} {text!r} is no number")
    return int(text)


def parse_cpus(text: str) -> list[int]:
    """`0-3,8` to CPUs. Raises UsageError."""
    import re

    from ..host.proc import parse_cpu_list

    if not re.fullmatch(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", text):
        raise UsageError(f"--cpu {text!r} is no list of CPUs", hint="as in 0-3,8")
    cpus = parse_cpu_list(text)
    if not cpus:
        raise UsageError(f"--cpu {text!r} names no CPU")
    return cpus


def option_lines(table: dict[str, Option]) -> list[str]:
    """The lines of --help."""
    lines = []
    for option in table.values():
        names = ", ".join(option.names) + (f" {option.argument}" if option.argument else "")
        lines.append(f"    {names:<26} {option.doc}")
    return lines
