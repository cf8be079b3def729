"""JSON lines: one object for each call (outermost first, then what it called) and each event."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..decode.values import FieldValue
from ..events import Call, TraceEvent


def plain(value: FieldValue) -> Any:
    """A field's value as JSON has it: bytes as hexadecimal."""
    return value.hex() if isinstance(value, bytes) else value


def call_object(call: Call) -> dict[str, Any]:
    """A call without its children."""
    found: dict[str, Any] = {
        "type": "call", "function": call.function, "time_ns": call.start_ns, "duration_ns": call.duration_ns if call.left else None,
        "self_ns": call.self_ns if call.left else None, "depth": call.depth, "cpu": call.cpu, "pid": call.pid, "comm": call.comm,
    }  # fmt: skip
    if call.args:
        found["args"] = {name: plain(value) for name, value in call.args.items()}
    if call.retval is not None:
        found["retval"] = call.retval
    if not call.entered:
        found["entered"] = False
    return found


def event_object(event: TraceEvent) -> dict[str, Any]:
    """An event."""
    return {
        "type": "event", "event": f"{event.system}:{event.name}", "time_ns": event.time_ns, "cpu": event.cpu, "pid": event.pid,
        "comm": event.comm, "fields": {name: plain(value) for name, value in event.fields.items()}, "text": event.text,
    }  # fmt: skip


def render_jsonl(items: Iterable[TraceEvent | Call]) -> Iterator[str]:
    """One line for each call and event."""
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    for item in items:
        if isinstance(item, TraceEvent):
            yield encode(event_object(item)) + "\n"
        else:
            yield "".join(encode(call_object(call)) + "\n" for call in item.walk())
