"""From a request to knobs, in the order in which the kernel wants them; and refusals with what would have worked."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from fnmatch import fnmatchcase

from ...base.diag import did_you_mean
from ...base.errors import KloupeError, NotSupported, UsageError
from ...host.proc import threads
from ...kernel.tracing_dir import TracingDir
from .folder import TracingFolder
from .knobs import Knobs
from .request import FUNCTION, GRAPH, NOP, OF_THE_MACHINE, EventChoice, Request

# Knobs that only the top level has, whatever instance uses them.
SHARED = ("set_graph_function", "set_graph_notrace", "max_graph_depth", "tracing_thresh")


# What brings a tracer (kernel/trace/Kconfig).
_CONFIG = {
    FUNCTION: "CONFIG_FUNCTION_TRACER",
    GRAPH: "CONFIG_FUNCTION_GRAPH_TRACER",
    "irqsoff": "CONFIG_IRQSOFF_TRACER",
    "preemptoff": "CONFIG_PREEMPT_TRACER",
    "preemptirqsoff": "CONFIG_IRQSOFF_TRACER and CONFIG_PREEMPT_TRACER",
    "wakeup": "CONFIG_SCHED_TRACER",
    "wakeup_rt": "CONFIG_SCHED_TRACER",
    "wakeup_dl": "CONFIG_SCHED_TRACER",
    "hwlat": "CONFIG_HWLAT_TRACER",
    "osnoise": "CONFIG_OSNOISE_TRACER",
    "timerlat": "CONFIG_TIMERLAT_TRACER",
    "mmiotrace": "CONFIG_MMIOTRACE",
    "blk": "CONFIG_BLK_DEV_IO_TRACE",
}


def require_tracer(top: TracingFolder, tracer: str) -> None:
    """Raises NotSupported, with near names, when the kernel does not have this tracer."""
    known = top.words("available_tracers")
    if tracer not in known:
        near = did_you_mean(tracer, [*known, *_CONFIG]) if tracer not in _CONFIG else ()
        needs = f"it needs {_CONFIG[tracer]}; " if tracer in _CONFIG else ""
        hint = near[0] if near else f"{needs}this kernel has: {' '.join(known)}"
        raise NotSupported(f"this kernel has no tracer {tracer!r}", hint=hint, exit_status=1)


def needs_top_level(top: TracingFolder, instance: TracingFolder, request: Request) -> bool:
    """Whether the kernel allows this only on the top level, which all tracers share."""
    if request.tracer not in instance.words("available_tracers"):
        return True
    wanted = (
        ("set_graph_function", bool(request.roots)),
        ("set_graph_notrace", bool(request.not_roots)),
        ("max_graph_depth", request.depth > 0),
        ("tracing_thresh", request.threshold_us > 0),
        ("set_ftrace_filter", bool(request.functions)),
    )
    return any(is_wanted and not instance.has(name) and top.has(name) for name, is_wanted in wanted)


def apply(knobs: Knobs, request: Request) -> None:
    """Set everything up but do not start. Raises UsageError for names that do not exist, NotSupported for what the kernel lacks."""
    knobs.set("tracing_on", "0")
    if request.buffer_kb:
        knobs.set("buffer_size_kb", str(request.buffer_kb))
    if request.clock:
        _set_clock(knobs, request.clock)
    if request.cpus:
        _require_cpus(knobs.folder, request.cpus)
        knobs.set("tracing_cpumask", _cpu_mask(request.cpus))
    _set_pids(knobs, request)
    _set_functions(knobs, request)
    if request.depth:
        knobs.set("max_graph_depth", str(request.depth))
    if request.threshold_us:
        knobs.set("tracing_thresh", str(request.threshold_us))
    for event in request.events:
        _enable(knobs, event)
    if request.tracer != NOP:
        if knobs.folder.has("tracing_max_latency") and request.tracer not in (FUNCTION, GRAPH):
            knobs.set("tracing_max_latency", "0")
        knobs.set("current_tracer", request.tracer)
    for name, value in request.options.items():  # behind the tracer: it brings options of its own
        _set_option(knobs, name, value)


def _require_cpus(folder: TracingFolder, wanted: Iterable[int]) -> None:
    known = folder.cpus()
    missing = [cpu for cpu in wanted if cpu not in known]
    if missing:
        raise UsageError(f"there is no CPU {missing[0]}", hint=f"this machine has: {' '.join(map(str, known))}")


def _cpu_mask(cpus: Iterable[int]) -> str:
    bits = 0
    for cpu in cpus:
        bits |= 1 << cpu
    words = []
    while bits:
        words.append(f"{bits & 0xFFFFFFFF:x}")
        bits >>= 32
    return ",".join([words[-1], *(word.zfill(8) for word in reversed(words[:-1]))]) if words else "0"


def _set_clock(knobs: Knobs, clock: str) -> None:
    known = [word.strip("[]") for word in knobs.folder.words("trace_clock")]
    if clock not in known:
        raise UsageError(f"no trace clock {clock!r}", hint=f"this kernel has: {' '.join(known)}")
    knobs.set("trace_clock", clock)


def _set_option(knobs: Knobs, name: str, value: bool) -> None:
    known = knobs.folder.names("options")
    plain = name.removeprefix("no")
    if name in known:
        knobs.set_option(name, value)
    elif plain != name and plain in known:
        knobs.set_option(plain, not value)
    else:
        near = did_you_mean(name, known) or did_you_mean(plain, known)
        raise UsageError(f"no tracing option {name!r} here", hint=near[0] if near else "kloupe ftrace list options")


def _set_pids(knobs: Knobs, request: Request) -> None:
    if not request.pids:
        return
    tasks = [str(task) for pid in request.pids for task in threads(pid)]
    lists = (
        ("set_ftrace_pid", "options/function-fork", request.tracer != NOP and request.tracer not in OF_THE_MACHINE),
        ("set_event_pid", "options/event-fork", bool(request.events) or request.more_events),
    )
    for name, fork, wanted in lists:
        if not wanted or not knobs.folder.has(name):
            continue
        if knobs.folder.has(fork):
            knobs.set(fork, str(int(request.children)))
        knobs.replace(name, tasks)


def _set_functions(knobs: Knobs, request: Request) -> None:
    lists = (
        ("set_ftrace_filter", request.functions),
        ("set_ftrace_notrace", request.notrace),
        ("set_graph_function", request.roots),
        ("set_graph_notrace", request.not_roots),
    )
    for name, patterns in lists:
        if not patterns:
            continue
        if not knobs.folder.has(name):
            raise NotSupported(
                f"this kernel cannot choose functions ({name} is missing)", hint="it needs CONFIG_DYNAMIC_FTRACE"
            )
        try:
            knobs.replace(name, patterns)
        except UsageError as error:
            raise _unknown_function(knobs.folder, patterns) or error from None


def _unknown_function(folder: TracingFolder, patterns: list[str]) -> KloupeError | None:
    """Which of the patterns names no function, with near names."""
    listed = TracingDir((folder.root,)).functions()
    if not listed:
        return None
    names = {name for name, _ in listed}
    for pattern in patterns:
        plain = pattern.removeprefix("!").partition(":")[0]
        if plain not in names and not any(fnmatchcase(name, plain) for name in names):
            near = did_you_mean(plain, (name for name in names if _may_be_near(name, plain)))
            what = "no function matches" if set(plain) & set("*?[") else "no function is called"
            return UsageError(
                f"{what} {plain!r} among those that can be traced",
                hint=near[0] if near else _command_hint(plain) or "kloupe ftrace list functions PATTERN",
            )
    return None


def _command_hint(word: str) -> str:
    """A newcomer's slip: the command without the `--` before it."""
    return f"a command to run comes behind --, as in: -- {word}" if shutil.which(word) else ""


def _may_be_near(name: str, wanted: str) -> bool:
    """A quick look before the slow comparison: there are sixty thousand functions."""
    return abs(len(name) - len(wanted)) <= 3 and (name[:3] == wanted[:3] or name[-3:] == wanted[-3:])


# -- events -------------------------------------------------------------------------------------------------------


def matching_events(top: TracingFolder, choice: EventChoice) -> list[tuple[str, str]]:
    """(system, event) of all that a choice names; a lone word is a system or, failing that, an event of any system.

    Raises UsageError, with near names, when there is none.
    """
    tracing = TracingDir((top.root,))
    found = tracing.tracepoints(choice.system, choice.event or "*")
    if not found and not choice.event:
        found = tracing.tracepoints("*", choice.system)
    if not found and choice.system and choice.event and top.has(f"events/{choice.system}/{choice.event}/enable"):
        found = [(choice.system, choice.event)]  # made a moment ago, as probes and synthetic events are
    if not found:
        everything = tracing.tracepoints("*", "*")
        names = [f"{system}:{event}" for system, event in everything]
        wanted = str(choice) if choice.event else choice.system
        near = did_you_mean(wanted, names if choice.event else {word for pair in everything for word in pair})
        hint = near[0] if near else _command_hint(wanted) or "kloupe ftrace list events PATTERN"
        raise UsageError(f"no event matches {wanted!r}", hint=hint)
    return found


def _enable(knobs: Knobs, choice: EventChoice) -> None:
    plain = choice.event in ("", "*") and not set(choice.system) & set("*?[")
    whole = plain and knobs.folder.has(f"events/{choice.system}/enable")
    if whole and knobs.own and not choice.filter and not choice.triggers:
        knobs.set(f"events/{choice.system}/enable", "1")
        return
    for system, event in matching_events(knobs.folder.top, choice):
        place = f"events/{system}/{event}"
        if choice.filter:
            _set_filter(knobs, f"{place}/filter", choice)
        for trigger in choice.triggers:
            _set_trigger(knobs, f"{place}/trigger", trigger)
        knobs.set(f"{place}/enable", "1")


def _set_filter(knobs: Knobs, name: str, choice: EventChoice) -> None:
    try:
        knobs.set(name, choice.filter)
    except UsageError as error:
        # The kernel then shows in the file what it was given, with a mark below and why.
        text = knobs.folder.get(name)
        marked = [line for line in text.splitlines() if line != "none" and line.strip()]
        reason = marked.pop().removeprefix("parse_error: ") if len(marked) > 1 else str(error)
        place = name.removesuffix("/filter").removeprefix("events/").replace("/", ":")
        fields = ", ".join(field_names(knobs.folder, name.removesuffix("/filter")))
        raise UsageError(
            "\n    ".join([f"{place} cannot be filtered by {choice.filter!r}: {reason}", *marked]),
            hint=f"its fields are: {fields}",
        ) from None


def _set_trigger(knobs: Knobs, name: str, trigger: str) -> None:
    try:
        knobs.add(name, trigger, f"!{trigger}")
    except UsageError as error:
        place = name.removesuffix("/trigger").removeprefix("events/").replace("/", ":")
        raise UsageError(
            f"{place} cannot have the trigger {trigger!r}: {str(error).rpartition(': ')[2]}",
            hint="as in stacktrace, traceoff, snapshot, 'stacktrace:5 if FIELD > 0', 'enable_event:SYSTEM:EVENT', 'hist:keys=FIELD'",
        ) from None


def field_names(folder: TracingFolder, place: str) -> list[str]:
    """The fields of an event (`events/SYSTEM/EVENT`), common ones last."""
    from ...cfront import parse_tracepoint_format

    fields = [field.name for field in parse_tracepoint_format(folder.read(f"{place}/format")).fields]
    return sorted(fields, key=lambda name: name.startswith("common_"))
