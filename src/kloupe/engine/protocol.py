"""The Engine protocol: what a session asks of whatever runs the programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from ..base.record import record
from ..image import AttachSpec, Image, ProgramSpec


@record(frozen=True)
class AttachFailure:
    """An attach point that could not be attached, and why."""

    spec: AttachSpec
    reason: str


class MapAccess(Protocol):
    """One map from user space. Keys and values are bytes as the kernel sees them (per-CPU values: one per possible CPU)."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All (key, value); read in batches where the kernel can. Plain maps."""

    def per_cpu_items(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """All (key, values per CPU). Per-CPU maps."""

    def lookup(self, key: bytes) -> bytes | None:
        """The value, or None. Plain maps."""

    def per_cpu_lookup(self, key: bytes) -> Sequence[bytes] | None:
        """The values per CPU, or None. Per-CPU maps."""

    def update(self, key: bytes, value: bytes) -> None:
        """Store (per-CPU maps: the same value for every CPU)."""

    def delete(self, key: bytes) -> bool:
        """Remove; False when it was not there (array maps: never)."""


@runtime_checkable
class CanFinish(Protocol):
    """An engine that comes to an end by itself, as a recording does."""

    @property
    def finished(self) -> bool:
        """Whether no event can come any more."""


class Engine(Protocol):
    """Runs one Image. Used as a context manager; leaving it detaches and closes everything."""

    name: str

    def load(self, image: Image) -> None:
        """Create maps and load programs. Raises VerifierError, PermissionNeeded, NotSupported."""

    def run_once(self, program: ProgramSpec) -> int:
        """Run a begin, end, self, test or bench program once, now; gives its return value."""

    def run_timed(self, program: ProgramSpec, repeat: int) -> int:
        """Run `repeat` times; gives the mean nanoseconds of a run."""

    def attach(self) -> list[AttachFailure]:
        """Attach everything that is attached by the kernel (or the clock), and give the failures."""

    def detach(self) -> None:
        """Stop all attached probes; end programs can still run and maps be read."""

    def map(self, name: str) -> MapAccess:
        """A map by its name in the Image."""

    def poll(self, timeout_ms: int) -> Sequence[bytes | memoryview]:
        """Wait up to the timeout; gives the event records (see base/layout) that came, oldest first, possibly none."""

    def lost_events(self) -> int:
        """Events that found no room so far (program side counts in map ".lost", u64 per CPU, element 0)."""

    def fileno(self) -> int:
        """A file descriptor that is readable when records are there, or -1."""

    def close(self) -> None:
        """Release everything. May be called twice."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *exc: object) -> None: ...
