"""Chrome's trace event format: a JSON file for chrome://tracing and ui.perfetto.dev.

Source: the document "Trace Event Format" (complete events "X", instants "i", metadata "M"; times in microseconds).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..events import Call, TraceEvent
from .jsonl import plain


def render_chrome(items: Iterable[TraceEvent | Call], tgids: dict[int, int]) -> Iterator[str]:
    """Pieces of one JSON document. `tgids`: thread -> process, where known."""
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    named: set[int] = set()
    yield '{"displayTimeUnit":"ns","traceEvents":[\n'
    first = True
    for item in items:
        made: list[dict[str, Any]] = []
        if item.pid not in named:
            named.add(item.pid)
            made.append(
                {
                    "ph": "M",
                    "name": "thread_name",
                    "pid": tgids.get(item.pid, item.pid),
                    "tid": item.pid,
                    "args": {"name": item.comm},
                }
            )
        place = {"pid": tgids.get(item.pid, item.pid), "tid": item.pid}
        if isinstance(item, TraceEvent):
            args = {name: plain(value) for name, value in item.fields.items()}
            made.append(
                {
                    "ph": "i",
                    "s": "t",
                    "name": item.name,
                    "cat": item.system,
                    "ts": item.time_ns / 1000,
                    **place,
                    "args": args,
                }
            )
        else:
            made += [_call(call, place) for call in item.walk() if call.left]
        if made:
            yield ("" if first else ",\n") + ",\n".join(map(encode, made))
            first = False
    yield "\n]}\n"


def _call(call: Call, place: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ph": "X", "name": call.function, "cat": "function", "ts": call.start_ns / 1000, "dur": call.duration_ns / 1000, **place,
    }  # fmt: skip
    args = {name: plain(value) for name, value in call.args.items()}
    if call.retval is not None:
        args["retval"] = call.retval
    return {**found, "args": args} if args else found
