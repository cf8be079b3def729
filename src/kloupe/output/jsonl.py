"""JSON lines in bpftrace's shape: one object a line, `": "` and `", "` in objects, `","` in arrays. Always valid JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any

from ..base.ctype import (
    Aggregate,
    Array,
    Bool,
    Buffer,
    CType,
    Enum,
    Float,
    Histogram,
    Int,
    Pointer,
    Record,
    Struct,
    TimeSeries,
    Tuple,
    is_char_array,
)
from .decode import bytes_of_text, text_of_bytes
from .histogram import buckets
from .model import BenchResult, HelperFailure, MapTable, Place, PrintEach, PrintRecords, TestResult
from .names import Names
from .printf import Printf
from .printf import Record as EventRecord
from .report import message_line
from .sink import Sink
from .text import key_text_of, members_of, text_of

Renderer = Callable[[Any], str]

_LONG_FORMS = {"\x08": "\\u0008", "\x0c": "\\u000c"}


def string_json(text: str) -> str:
    """A JSON string. Bytes that are no UTF-8 (surrogate escapes) become U+FFFD, so that every parser takes it."""
    if not text.isascii():
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    quoted = encode_basestring(text)
    if "\x08" in text or "\x0c" in text:  # bpftrace knows no short form for these two
        quoted = "".join([_LONG_FORMS.get(c) or encode_basestring(c)[1:-1] for c in text]).join('""')
    return quoted


def int_json(value: int) -> str:
    """A JSON number, quoted when a 64-bit float cannot hold it."""
    return str(value) if int(float(value)) == value else f'"{value}"'


def _array_json(parts: list[Renderer]) -> Renderer:
    return lambda values: "[" + ",".join([part(value) for part, value in zip(parts, values, strict=True)]) + "]"


def _object_json(parts: list[tuple[str, Renderer]]) -> Renderer:
    named = [(string_json(name), name, part) for name, part in parts]
    return lambda value: "{" + ", ".join([f"{quoted}: {part(value[name])}" for quoted, name, part in named]) + "}"


def _stats_json(value: tuple[int, int, int]) -> str:
    count, average, total = map(int_json, value)
    return f'{{"count": {count}, "average": {average}, "total": {total}}}'


def json_of(t: CType, names: Names) -> Renderer:
    """A function from a value as `decode.decoder` gives it to its JSON text."""
    if isinstance(t, Bool):
        return lambda value: "true" if value else "false"
    if isinstance(t, (Int, Pointer, Enum)):
        return int_json
    if isinstance(t, Float):
        return str
    if isinstance(t, Array) and not is_char_array(t):
        return _array_json([json_of(t.element, names)] * t.count)
    if isinstance(t, Tuple):
        return _array_json([json_of(element, names) for element in t.elements])
    if isinstance(t, (Record, Struct)):
        return _object_json([(name, json_of(member, names)) for name, member in members_of(t)])
    if isinstance(t, Buffer):
        return lambda raw: "[" + ",".join(map(str, raw)) + "]"
    if isinstance(t, Aggregate):
        return _stats_json if t.kind == "stats" else int_json
    render = text_of(t, names)
    return lambda value: string_json(render(value))


def key_json_of(t: CType, names: Names) -> Renderer:
    """A function from a map key to its quoted text, without spaces (bpftrace's way)."""
    render = key_text_of(t, names)
    return lambda value: string_json(render(value).replace(" ", ""))


def histogram_json(t: Histogram, counts: Mapping[int, int], div: int = 1) -> str:
    """A list of {"min", "max", "count"} with inclusive bounds; the open ends are left out."""
    rows = []
    for bucket in buckets(t, counts, div):
        low = f'"min": {int_json(bucket.low.value)}, ' if bucket.low else ""
        high = f'"max": {int_json(bucket.high.value - 1)}, ' if bucket.high else ""
        rows.append(f'{{{low}{high}"count": {bucket.count}}}')
    return "[" + ",".join(rows) + "]"


def series_json(t: TimeSeries, points: Sequence[tuple[int, int | None]], names: Names) -> str:
    """A list of {"interval_start", "value"} of the intervals that have a value."""
    rows = []
    for start, value in points:
        if value is not None:
            when = string_json(names.timestamp(start, "%Y-%m-%d %H:%M:%S.%k", t.clock))
            rows.append(f'{{"interval_start": {when}, "value": {int_json(value)}}}')
    return "[" + ",".join(rows) + "]"


def _place_json(place: Place) -> str:
    return f'"filename": {string_json(place.file)}, "line": {place.line}, "col": {place.column}'


class JsonOutput:
    """See `model.Output`. Everything goes to `out`; only `note` writes to `errors`."""

    def __init__(self, names: Names, out: Sink, errors: Sink) -> None:
        self._names = names
        self._out = out
        self._errors = errors

    def _line(self, kind: str, rest: str) -> None:
        self._out.write(bytes_of_text(f'{{"type": "{kind}", {rest}}}\n'))

    def _data(self, kind: str, data: str, name: str = "") -> None:
        self._line(kind, f'"data": {{{string_json(name)}: {data}}}' if name else f'"data": {data}')

    def printf(self, plan: Printf) -> tuple[PrintRecords, PrintEach]:
        """See `model.Output`."""

        def each(records: Sequence[EventRecord]) -> list[bytes]:
            return [
                bytes_of_text(f'{{"type": "printf", "data": {string_json(text_of_bytes(text))}}}\n')
                for text in plan.each(records)
            ]

        return (lambda records: b"".join(each(records))), each

    def write(self, data: bytes) -> None:
        """See `model.Output`."""
        self._out.write(data)

    def value(self, t: CType) -> Callable[[Any], None]:
        """See `model.Output`."""
        render = json_of(t, self._names)
        return lambda value: self._data("value", render(value))

    def map(self, table: MapTable) -> None:
        """See `model.Output`."""
        if not table.rows:
            return
        kind, render = self._map_kind(table)
        if table.key is None:
            self._data(kind, render(table.rows[0][1]), table.name)
            return
        key = key_json_of(table.key, self._names)
        self._data(kind, "{" + ", ".join([f"{key(k)}: {render(v)}" for k, v in table.rows]) + "}", table.name)

    def _map_kind(self, table: MapTable) -> tuple[str, Renderer]:
        t = table.value
        if isinstance(t, Histogram):
            return "hist", lambda counts: histogram_json(t, counts, table.div)
        if isinstance(t, TimeSeries):
            return "tseries", lambda points: series_json(t, points, self._names)
        kind = "stats" if isinstance(t, Aggregate) and t.kind in ("avg", "stats") else "map"
        return kind, json_of(t, self._names)

    def plain(self, kind: str, data: bytes) -> None:
        """See `model.Output`."""
        self._data(kind, string_json(text_of_bytes(data)))

    def message(self, kind: str, place: Place, text: bytes) -> None:
        """See `model.Output`."""
        self._line(kind, f'"msg": {string_json(text_of_bytes(text))}, {_place_json(place)}')

    def runtime_error(self, place: Place, message: str) -> None:
        """See `model.Output`."""
        self._line("runtime_error", f'"msg": {string_json(message)}, {_place_json(place)}')

    def helper_error(self, failure: HelperFailure) -> None:
        """See `model.Output`."""
        head = f'"msg": {string_json(failure.errno_message)}, "helper": {string_json(failure.helper)}'
        self._line("helper_error", f'{head}, "retcode": {failure.code}, {_place_json(failure.place)}')

    def attached(self, count: int) -> None:
        """See `model.Output`."""
        self._line("attached_probes", f'"count": {count}, "data": {{"probes": {count}}}')

    def lost(self, count: int) -> None:
        """See `model.Output`."""
        self._line("lost_events", f'"count": {count}, "data": {{"events": {count}}}')

    def note(self, severity: str, text: str) -> None:
        """See `model.Output`."""
        self._out.tick()
        self._errors.write(bytes_of_text(message_line(severity, text)))
        self._errors.flush()

    def test_result(self, results: Sequence[TestResult], total: int) -> None:
        """See `model.Output`."""
        result = results[-1]
        passed = "true" if result.passed else "false"
        output = string_json(text_of_bytes(result.output))
        data = f'{{"duration": {result.duration_ns}, "passed": {passed}, "output": {output}}}'
        self._data("test_result", data, result.name)

    def bench_result(self, results: Sequence[BenchResult], names: Sequence[str]) -> None:
        """See `model.Output`."""
        result = results[-1]
        data = f'{{"average": {result.average_ns}, "iters": {result.iterations}}}'
        self._data("benchmark_result", data, result.name)

    def end(self) -> None:
        """See `model.Output`. JSON has no such mark."""

    def tick(self) -> None:
        """See `model.Output`."""
        self._out.tick()

    def close(self) -> None:
        """See `model.Output`."""
        self._out.flush()
        self._errors.flush()
