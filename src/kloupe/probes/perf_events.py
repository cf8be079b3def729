"""What software and hardware share: a table of perf events, each fired once per so many occurrences.

Numbers are `enum perf_sw_ids` and `enum perf_hw_id` of linux/perf_event.h; the default periods are bpftrace's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..base.diag import did_you_mean
from ..base.record import record
from ..image import AttachSpec
from .asking import Asking
from .contexts import perf_context
from .integers import parse_integer
from .model import ProbePoint
from .wildcard import has_wildcard, matcher


@record(frozen=True)
class PerfEvent:
    """An event: its name, other name or "", config number, and how many occurrences fire it by default."""

    name: str
    alias: str
    config: int
    period: int


def by_name(events: Sequence[PerfEvent]) -> dict[str, PerfEvent]:
    """The events by both names."""
    return {name: event for event in events for name in (event.name, event.alias) if name}


def expand_event(asking: Asking, events: Mapping[str, PerfEvent]) -> Sequence[ProbePoint]:
    """`KIND:EVENT` or `KIND:EVENT:COUNT` (the count may be left empty)."""
    kind = asking.kind
    if not asking.check_count(1, 2):
        return ()
    name, count = asking.parts[0], 0
    if len(asking.parts) == 2 and asking.parts[1] not in ("", "*"):
        parsed = parse_integer(asking.parts[1])
        if isinstance(parsed, str):
            asking.error(f"Invalid count for {kind} probe: {parsed}")
            return ()
        count = parsed
    event = events.get(name)
    if not name:
        asking.error(f"{kind} probe must have a {kind} event name")
    elif has_wildcard(name):
        asking.error(f"wildcards are not allowed for {kind} probe type")
    elif event is None:
        asking.error(f"{name} is not a {kind} probe", hints=did_you_mean(name, events))
    if count < 0:
        asking.error(f"{kind} {'count' if kind == 'software' else 'frequency'} should be a positive integer")
    if event is None or count < 0:
        return ()
    full = f"{kind}:{name}:{count}" if count else f"{kind}:{name}"
    spec = AttachSpec(kind, full, {"event": event.config, "period": count or event.period})
    return (ProbePoint(kind, full, "perf_event", "", spec, perf_context(kind, asking.target, registers=True)),)


def list_events(pattern: str, events: Mapping[str, PerfEvent]) -> Sequence[str]:
    """The names, each with the colon that a count would follow."""
    matches = matcher(pattern or "*")
    return [f"{name}:" for name in events if matches(f"{name}:") or matches(name)]
