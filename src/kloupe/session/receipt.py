"""The closing receipt: what was lost is said on stderr, so that nobody takes an incomplete result for a complete one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from ..base.record import field, record
from ..engine.protocol import Engine
from ..image import MapSpec
from ..output.model import Output


@runtime_checkable
class CountsMissedRuns(Protocol):
    """An engine that knows how often probes fired without their program running (the kernel's recursion guard, for one)."""

    def missed_runs(self) -> Mapping[str, int]:
        """Program or probe name -> runs missed."""


@runtime_checkable
class KnowsLosses(Protocol):
    """An engine that can say what else is missing from the result."""

    def losses(self) -> Sequence[str]:
        """A sentence for each kind of loss."""


@record
class Receipt:
    """Collects the losses of one session."""

    lost_events: int = 0
    full_maps: dict[str, str] = field(default_factory=dict)

    def count_lost(self, engine: Engine, out: Output) -> None:
        """Report events lost since the last call."""
        total = engine.lost_events()
        if total > self.lost_events:
            out.lost(total - self.lost_events)
            self.lost_events = total

    def note_entries(self, spec: MapSpec, count: int) -> None:
        """A map that holds as many entries as it can has probably turned others away."""
        if spec.short:  # two maps: what they turned away was reported at once
            return
        if spec.kind in ("hash", "percpu_hash") and spec.key_type is not None and count >= spec.max_entries:
            self.full_maps[spec.name] = (
                f"{spec.name} is full ({spec.max_entries} entries): keys that came later are missing"
            )

    def count_failed_updates(self, failures: Mapping[str, int]) -> None:
        """Updates that were seen to find no room, by map."""
        for name, count in failures.items():
            plural = "" if count == 1 else "s"
            self.full_maps[name] = f"{name} was full: {count} update{plural} found no room"

    def print(self, engine: Engine, out: Output) -> None:
        """Say it all. Nothing lost, nothing said."""
        if self.lost_events:
            out.note("WARNING", f"Total lost event count: {self.lost_events}")
        if isinstance(engine, CountsMissedRuns):
            for name, count in sorted(engine.missed_runs().items()):
                if count:
                    out.note("WARNING", f"{name}: {count} run{'' if count == 1 else 's'} missed")
        if isinstance(engine, KnowsLosses):
            for text in engine.losses():
                out.note("WARNING", text)
        for name in sorted(self.full_maps):
            hint = "raise max_map_keys or declare the map with a size, e.g. `let @a = hash(100000)`"
            out.note("WARNING", f"{self.full_maps[name]} ({hint})")
