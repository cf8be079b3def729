"""What a question must not be, found before anything is written or read: of fields that are not there, of text where numbers are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...base.diag import did_you_mean
from ...base.errors import UsageError
from ..decode.eventformat import EventField, EventFormat
from .filters import filter_fields
from .question import HITS, LATENCY, Key, Question

_MOST_KEYS = 3  # TRACING_MAP_KEYS_MAX in kernel/trace/tracing_map.h
_LEAST_SIZE, _MOST_SIZE = 1 << 7, 1 << 17  # TRACING_MAP_BITS_MIN and _MAX
# Fields that all events have although no format says so (Documentation/trace/histogram.rst; generic fields in trace_events_filter.c).
_GENERIC = (
    "common_timestamp",
    "common_cpu",
    "common_comm",
    "stacktrace",
    "common_stacktrace",
    "cpu",
    "CPU",
    "comm",
    "COMM",
)
_NUMBERS_ONLY = ("log2", "buckets", "sym", "sym-offset", "syscall", "execname", "hex", "percent")

FormatOf = Callable[[tuple[str, str]], EventFormat | None]


def check_question(question: Question, format_of: FormatOf) -> None:
    """Raises UsageError, with what there is, for a question that makes no sense."""
    if len(question.keys) > _MOST_KEYS:
        raise UsageError(f"{len(question.keys)} keys: a histogram has at most {_MOST_KEYS}")
    if question.size and not _LEAST_SIZE <= question.size <= _MOST_SIZE:
        raise UsageError(f"--size {question.size}: the kernel keeps {_LEAST_SIZE} to {_MOST_SIZE} rows")
    first = _fields(question.event, format_of)
    last = first
    if question.until is not None:
        last = _fields(question.until, format_of)
        _require(question.event, first, [question.match[0]])
        _require(question.until, last, [question.match[1]])
        last = {**last, LATENCY: None}
        _require(question.until, last, filter_fields(question.until_where))
    _require(question.event, first, filter_fields(question.where))
    asked = question.until or question.event
    _require(asked, last, [*(key.field for key in question.keys), *question.values])
    for key in question.keys:
        _check_key(key, last.get(key.field))
    for name in question.values:
        field = last.get(name)
        if field is not None and field.is_text:
            raise UsageError(f"the field {name!r} is text, which has no sum")
    _check_sort(question)


def _fields(event: tuple[str, str], format_of: FormatOf) -> dict[str, EventField | None]:
    form = format_of(event)
    if form is None:
        raise UsageError(f"nothing is known about the fields of {':'.join(event)}")
    return {field.name: field for field in (*form.fields, *form.common)}


def _require(event: tuple[str, str], fields: dict[str, EventField | None], names: Iterable[str]) -> None:
    for name in names:
        if name not in fields and name not in _GENERIC:
            near = did_you_mean(name, fields)
            raise UsageError(
                f"{':'.join(event)} has no field {name!r}", hint=near[0] if near else f"it has: {', '.join(fields)}"
            )


def _check_key(key: Key, field: EventField | None) -> None:
    modifier, _, argument = key.modifier.partition("=")
    if modifier == "buckets" and not (argument.isdecimal() and 0 < int(argument) < 1 << 32):
        raise UsageError(f"{str(key)!r} does not say how large a bucket is", hint=f"as in {key.field}.buckets=10")
    if modifier != "buckets" and argument:
        raise UsageError(f"{modifier} takes no number: {str(key)!r}")
    if modifier in _NUMBERS_ONLY and field is not None and field.is_text:
        raise UsageError(f"the field {key.field!r} is text, and {modifier} is for numbers")


def _check_sort(question: Question) -> None:
    values = question.values or ([LATENCY] if question.until else [])
    keys = question.keys or [Key(LATENCY, "log2") if question.until else Key("common_pid")]
    columns = list(dict.fromkeys([HITS, *map(str, keys), *(key.field for key in keys), *values]))
    if question.sort and question.sort not in columns:
        raise UsageError(f"--sort {question.sort!r} is no column", hint=f"there are {', '.join(columns)}")
