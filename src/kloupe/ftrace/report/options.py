"""What a report shows."""

from __future__ import annotations

from ...base.record import field, record


@record
class ReportOptions:
    """`start_ns`, `end_ns`: only events from and up to these times. `raw`: fields instead of print formats. `nanoseconds`: all digits."""

    cpus: set[int] | None = None
    start_ns: int = 0
    end_ns: int = 0
    pids: set[int] | None = None
    events: list[str] = field(default_factory=list)  # globs of event or system:event; empty: all
    raw: bool = False
    nanoseconds: bool = False
    instances: list[str] = field(default_factory=list)  # empty: all
