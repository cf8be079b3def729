"""What the session hands to an output, and what an output offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..base.ctype import CType
from ..base.record import record
from .printf import Printf


@record(frozen=True)
class MapTable:
    """A map as it is printed: rows of (key, value) in order; a scalar map has at most one row with key None.

    A histogram's value is {bucket number: count}. `div` divides histogram counts (other values come divided).
    """

    name: str
    key: CType | None
    value: CType
    rows: Sequence[tuple[Any, Any]]
    div: int = 1


@record(frozen=True)
class Place:
    """A place in the script that a message points at; `text` is its line (empty: not shown). Columns in bytes from 1.

    `expanded_from` are the macro calls that it came out of, innermost first.
    """

    file: str
    line: int
    column: int
    end_column: int
    text: str = ""
    expanded_from: tuple[Place, ...] = ()


@record(frozen=True)
class TestResult:
    """One test of `--test`."""

    __test__ = False  # not a test case for pytest

    name: str
    duration_ns: int
    passed: bool
    output: bytes = b""


@record(frozen=True)
class BenchResult:
    """One benchmark of `--bench`."""

    name: str
    average_ns: int
    iterations: int


@record(frozen=True)
class HelperFailure:
    """A kernel helper that failed: its name without `bpf_`, what it returned, what that means here, and what errno says."""

    helper: str
    code: int
    message: str
    errno_message: str
    place: Place


PrintRecords = Callable[[Sequence[bytes | memoryview]], bytes]
PrintEach = Callable[[Sequence[bytes | memoryview]], list[bytes]]


class Output(Protocol):
    """A form of output. Emitters are made once per event and called for each value; bytes go out through `write`."""

    def printf(self, plan: Printf) -> tuple[PrintRecords, PrintEach]:
        """Two functions from records of one kind to bytes for `write`: all in one piece, and one piece for each."""

    def value(self, t: CType) -> Callable[[Any], None]:
        """A function that prints one value."""

    def write(self, data: bytes) -> None:
        """Pass on what a `printf` function gave."""

    def map(self, table: MapTable) -> None:
        """A whole map."""

    def plain(self, kind: str, data: bytes) -> None:
        """Text of kind "time", "cat", "join" or "syscall" (the output of `system()`)."""

    def message(self, kind: str, place: Place, text: bytes) -> None:
        """What `errorf` or `warnf` (the kinds) say."""

    def runtime_error(self, place: Place, message: str) -> None:
        """Something went wrong in a program."""

    def helper_error(self, failure: HelperFailure) -> None:
        """A helper failed in a program."""

    def attached(self, count: int) -> None:
        """How many probes are attached."""

    def lost(self, count: int) -> None:
        """Events lost since the last time."""

    def note(self, severity: str, text: str) -> None:
        """A line for the person at the terminal: severity "WARNING", "ERROR" or "" """

    def test_result(self, results: Sequence[TestResult], total: int) -> None:
        """The last of `results` is new, `total` tests will run."""

    def bench_result(self, results: Sequence[BenchResult], names: Sequence[str]) -> None:
        """The last of `results` is new; `names` are those of all benchmarks."""

    def end(self) -> None:
        """The probes are gone; only maps follow."""

    def tick(self) -> None:
        """A good moment to pass on what has been printed."""

    def close(self) -> None:
        """Pass everything on."""
