"""The default output: bpftrace's text on stdout, messages on stderr."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base.ctype import CType, Histogram, TimeSeries
from .decode import bytes_of_text, text_of_bytes
from .histogram import bars, buckets
from .model import BenchResult, HelperFailure, MapTable, Place, PrintEach, PrintRecords, TestResult
from .names import Names
from .printf import Printf
from .report import calls, excerpt, message_line
from .sink import Sink
from .text import key_text_of, text_of
from .time_series import chart

_GREEN, _RED, _RESET = "\033[32m", "\033[31m", "\033[0m"
_NAME_WIDTH, _TIME_WIDTH = 41, 15  # of the table of benchmarks
_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "μs"), (1, "ns"))
_LINE_END_KINDS = ("join", "syscall")  # these get a newline after their text


def duration_text(duration_ns: int) -> str:
    """`12 μs`: whole units, the largest that fits."""
    scale, unit = next((row for row in _UNITS if duration_ns >= row[0]), _UNITS[-1])
    return f"{duration_ns // scale} {unit}"


def _tag(color: str, word: str) -> str:
    return f"{color}[{word}]{_RESET}"


class TextOutput:
    """See `model.Output`. `errors` gets the messages; `color` colours them."""

    def __init__(self, names: Names, out: Sink, errors: Sink, *, color: bool = False) -> None:
        self._names = names
        self._out = out
        self._errors = errors
        self._color = color
        self._maps: dict[str, tuple[Callable[[Any], str] | None, Callable[[Any], str]]] = {}

    def _print(self, text: str) -> None:
        self._out.write(bytes_of_text(text))

    def _complain(self, text: str) -> None:
        self._out.tick()  # what was printed before comes first on a terminal
        self._errors.write(bytes_of_text(text))
        self._errors.flush()

    def printf(self, plan: Printf) -> tuple[PrintRecords, PrintEach]:
        """See `model.Output`."""
        return plan.joined, plan.each

    def write(self, data: bytes) -> None:
        """See `model.Output`."""
        self._out.write(data)

    def value(self, t: CType) -> Callable[[Any], None]:
        """See `model.Output`."""
        render = text_of(t, self._names)
        return lambda value: self._print(render(value) + "\n")

    def _map_renderers(self, table: MapTable) -> tuple[Callable[[Any], str] | None, Callable[[Any], str]]:
        if table.name not in self._maps:
            key = None if table.key is None else key_text_of(table.key, self._names)
            self._maps[table.name] = key, text_of(table.value, self._names)
        return self._maps[table.name]

    def map(self, table: MapTable) -> None:
        """See `model.Output`."""
        key_text, value_text = self._map_renderers(table)
        lines = []
        for key, value in table.rows:
            head = table.name if key_text is None else f"{table.name}[{key_text(key)}]"
            if isinstance(table.value, Histogram):
                lines.append(f"{head}:\n{bars(buckets(table.value, value, table.div))}\n")
            elif isinstance(table.value, TimeSeries):
                lines.append(f"{head}:\n{chart(table.value, value, self._names)}\n")
            else:
                lines.append(f"{head}: {value_text(value)}\n")
        self._print("".join(lines))

    def plain(self, kind: str, data: bytes) -> None:
        """See `model.Output`."""
        self._out.write(data + b"\n" if kind in _LINE_END_KINDS else data)

    def message(self, kind: str, place: Place, text: bytes) -> None:
        """See `model.Output`."""
        severity = "ERROR" if kind == "errorf" else "WARNING"
        line = message_line(severity, text_of_bytes(text), place, self._color)
        self._complain(line + calls(severity, place, self._color))

    def runtime_error(self, place: Place, message: str) -> None:
        """See `model.Output`."""
        line = message_line("WARNING", message, place, self._color) + excerpt(place)
        self._complain(line + calls("WARNING", place, self._color))

    def helper_error(self, failure: HelperFailure) -> None:
        """See `model.Output`."""
        text = f"{failure.message}\nAdditional Info - helper: {failure.helper}, retcode: {failure.code}"
        self.runtime_error(failure.place, text)

    def attached(self, count: int) -> None:
        """See `model.Output`."""
        self._complain(f"Attached {count} probe{'' if count == 1 else 's'}\n")

    def lost(self, count: int) -> None:
        """See `model.Output`."""
        self._complain(f"Lost {count} events\n")

    def note(self, severity: str, text: str) -> None:
        """See `model.Output`."""
        self._complain(message_line(severity, text, None, self._color))

    def test_result(self, results: Sequence[TestResult], total: int) -> None:
        """See `model.Output`. Output of tests that pass is hidden."""
        result = results[-1]
        if len(results) == 1:
            self._print(f"{_tag(_GREEN, '==========')} Running {total} tests.\n")
        self._print(f"{_tag(_GREEN, ' RUN      ')} {result.name}\n")
        if not result.passed:
            self._out.write(b"".join(line + b"\n" for line in result.output.split(b"\n") if line))
        tag = _tag(_GREEN, "       OK ") if result.passed else _tag(_RED, "  FAILED  ")
        self._print(f"{tag} {result.name} ({duration_text(result.duration_ns)})\n")
        if len(results) == total:
            self._test_summary(results)

    def _test_summary(self, results: Sequence[TestResult]) -> None:
        def tests(count: int) -> str:
            return f"{count} test{'' if count == 1 else 's'}"

        failed = [result.name for result in results if not result.passed]
        self._print(f"{_tag(_GREEN, '==========')} {tests(len(results))} ran.\n")
        self._print(f"{_tag(_GREEN, '  PASSED  ')} {tests(len(results) - len(failed))}.\n")
        if failed:
            self._print(f"{_tag(_RED, '  FAILED  ')} {tests(len(failed))}, listed below:\n")
            self._print("".join(f"{_tag(_RED, '  FAILED  ')} {name}\n" for name in failed))

    def bench_result(self, results: Sequence[BenchResult], names: Sequence[str]) -> None:
        """See `model.Output`."""
        width = max(_NAME_WIDTH, max(map(len, names)) + 1)
        result = results[-1]
        if len(results) == 1:
            head = f"{'Benchmark':<{width}}{'Time(ns)':<{_TIME_WIDTH}}Iterations"
            self._print(f"{head}\n{'-' * len(head)}\n")
        self._print(f"{result.name:<{width}}{result.average_ns:<{_TIME_WIDTH}}{result.iterations}\n")

    def end(self) -> None:
        """See `model.Output`."""
        self._print("\n\n")

    def tick(self) -> None:
        """See `model.Output`."""
        self._out.tick()

    def close(self) -> None:
        """See `model.Output`."""
        self._out.flush()
        self._errors.flush()
