"""What interval and profile share: a period in some unit, or a rate."""

from __future__ import annotations

from collections.abc import Sequence

from ..kernel.target import Target
from .asking import Asking
from .integers import parse_integer
from .model import ProbeOptions
from .wildcard import matcher

UNITS_NS = {"hz": 0, "ms": 1_000_000, "s": 1_000_000_000, "us": 1_000}
_SECOND_NS = 1_000_000_000
_MAX_PERIOD_NS = (1 << 63) - 1  # perf_event_attr.sample_period: the top bit must be clear


def parse_timing(asking: Asking) -> tuple[str, int] | None:
    """(unit, count) of `KIND:DURATION` or `KIND:UNIT:COUNT`; None after a report. A bare duration counts microseconds."""
    if not asking.check_count(1, 2):
        return None
    kind, parts = asking.kind, asking.parts
    count = parse_integer(parts[-1])
    if isinstance(count, str):
        asking.error(f"Invalid rate of {kind} probe: {count}")
        return None
    if len(parts) == 1:
        if 0 <= count < 1000:
            asking.error(f"Invalid rate of {kind} probe. Minimum is 1000 or 1us. Found: {count} nanoseconds")
            return None
        unit, count = "us", count // 1000
    else:
        unit = parts[0]
    good = True
    if not unit:
        asking.error(f"{kind} probe must have unit of time")
        return None
    if unit not in UNITS_NS:
        asking.error(f"{unit} is not an accepted unit of time", hints=(f"One of {', '.join(UNITS_NS)}.",))
        good = False
    if count <= 0:
        asking.error(f"{kind} frequency should be a positive integer")
        good = False
    return (unit, count) if good else None


def period_ns(unit: str, count: int) -> int:
    """The period in nanoseconds, at least 1."""
    if unit == "hz":
        return max(1, _SECOND_NS // count)
    return min(UNITS_NS[unit] * count, _MAX_PERIOD_NS)


def list_units(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The units, each with the colon that a count would follow."""
    matches = matcher(pattern or "*")
    return [f"{unit}:" for unit in UNITS_NS if matches(f"{unit}:") or matches(unit)]
