"""What to trace: the data that a setup is made from."""

from __future__ import annotations

from ...base.errors import UsageError
from ...base.record import field, record

NOP = "nop"
FUNCTION, GRAPH = "function", "function_graph"
# Tracers that look at the machine, whatever processes are asked for.
OF_THE_MACHINE = frozenset(("blk", "mmiotrace", "hwlat", "osnoise", "timerlat"))


@record(frozen=True)
class EventChoice:
    """An event or a whole system to switch on: `system`, `event` ("" for all of it, both may be globs), a filter, triggers."""

    system: str
    event: str = ""
    filter: str = ""
    triggers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.system}:{self.event}" if self.event else self.system


def parse_event(text: str) -> EventChoice:
    """`system:event`, `system`, `system:*`, `*:event`, or `event` alone (looked for in every system when it is no system). Raises UsageError."""
    system, _, event = text.strip().partition(":")
    if not system and not event:
        raise UsageError("an event needs a name", hint="as in sched:sched_switch; kloupe ftrace list events")
    return EventChoice(system or "*", event)


@record
class Request:
    """What a session traces. Empty lists and zeros mean: as the kernel has it, no restriction."""

    tracer: str = NOP
    functions: list[str] = field(default_factory=list)
    notrace: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)  # graph functions: only what these call
    not_roots: list[str] = field(default_factory=list)
    depth: int = 0
    events: list[EventChoice] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    children: bool = True
    cpus: list[int] = field(default_factory=list)
    threshold_us: int = 0
    buffer_kb: int = 0  # of each CPU
    clock: str = ""
    options: dict[str, bool] = field(default_factory=dict)
    more_events: bool = False  # events that are not listed will be used too: probes, triggers
