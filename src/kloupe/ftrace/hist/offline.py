"""Questions answered from a recorded trace."""

from __future__ import annotations

from collections.abc import Iterable

from ..decode.values import FieldValue
from ..events import Call, TraceEvent
from ..source import Trace
from .check import check_question
from .filters import Predicate, parse_filter
from .question import LATENCY, Answer, Key, Question, Row


def answer_offline(trace: Trace, items: Iterable[TraceEvent | Call], question: Question) -> Answer:
    """The histogram over a trace's events. Raises UsageError for a field that the event does not have."""
    values = question.values or ([LATENCY] if question.until else [])
    keys = question.keys or [Key(LATENCY, "log2") if question.until else Key("common_pid")]
    check_question(question, lambda event: trace.formats.named(*event))
    answer = Answer(keys, values)
    rows: dict[tuple[str | int, ...], Row] = {}
    for fields in _matching(items, question):
        answer.hits += 1
        found = tuple(_grouped(trace, key, fields) for key in keys)
        row = rows.get(found)
        if row is None:
            row = rows[found] = Row(found, 0, [0] * len(values))
        row.hits += 1
        for index, name in enumerate(values):
            value = fields.get(name, 0)
            row.sums[index] += value if isinstance(value, int) else 0
    answer.rows = list(rows.values())
    return answer


def _matching(items: Iterable[TraceEvent | Call], question: Question) -> Iterable[dict[str, FieldValue]]:
    """The fields of the events that count; of pairs those of the second, with the latency."""
    where = parse_filter(question.where) if question.where else None
    until_where = parse_filter(question.until_where) if question.until_where else None
    started: dict[FieldValue, int] = {}
    first, second = question.match
    for item in items:
        if not isinstance(item, TraceEvent):
            continue
        name = (item.system, item.name)
        if name == question.event and question.until is None:
            fields = _all_fields(item)
            if _passes(where, fields):
                yield fields
            continue
        if question.until is None:
            continue
        if name == question.until:
            fields = _all_fields(item)
            start = started.pop(_hashable(fields.get(second, 0)), None) if _passes(until_where, fields) else None
            if start is not None:
                fields[LATENCY] = (item.time_ns - start) // 1000
                yield fields
        if name == question.event:
            fields = _all_fields(item)
            if _passes(where, fields):
                started[_hashable(fields.get(first, 0))] = item.time_ns


def _passes(where: Predicate | None, fields: dict[str, FieldValue]) -> bool:
    return where is None or where(fields)


def _hashable(value: FieldValue) -> FieldValue:
    return str(value) if isinstance(value, list) else value


def _all_fields(event: TraceEvent) -> dict[str, FieldValue]:
    fields = dict(event.fields)
    for name, value in (("cpu", event.cpu), ("CPU", event.cpu), ("comm", event.comm), ("COMM", event.comm)):
        fields.setdefault(name, value)  # the kernel's generic fields
    fields["common_pid"] = event.pid
    fields["common_cpu"] = event.cpu
    fields["common_timestamp"] = event.time_ns
    return fields


def _grouped(trace: Trace, key: Key, fields: dict[str, FieldValue]) -> str | int:
    """A key's value as the kernel groups it."""
    value = fields.get(key.field, 0)
    modifier, _, argument = key.modifier.partition("=")
    if isinstance(value, int):
        if modifier == "log2":
            return (value - 1).bit_length() if value > 1 else 0
        if modifier == "buckets":
            size = int(argument)
            low = value // size * size
            return f"{low}-{low + size - 1}"
        if modifier == "hex":
            return f"{value & (1 << 64) - 1:x}"
        if modifier in ("sym", "sym-offset"):
            name, inside = trace.context.symbols[value]
            return (f"{name}+0x{inside:x}" if modifier == "sym-offset" else name) or f"0x{value:x}"
        if modifier == "execname":
            return trace.comms[value]
        return value
    return str(value)
