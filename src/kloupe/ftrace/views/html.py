"""A trace as one HTML page that opens from disk: a timeline to zoom into, and a tree. The page is timeline.html with the data in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from ..decode.signatures import show_arguments
from ..events import Call, TraceEvent
from .tree import show_retval

_PLACE = "/*DATA*/"


def render_html(items: Iterable[TraceEvent | Call], title: str) -> Iterator[str]:
    """Pieces of the page."""
    names: dict[str, int] = {}
    tasks: dict[int, dict[str, Any]] = {}
    notes: dict[str, str] = {}
    for item in items:
        task = tasks.setdefault(item.pid, {"pid": item.pid, "comm": item.comm, "calls": [], "events": []})
        if isinstance(item, TraceEvent):
            task["events"] += [f"{item.system}:{item.name}", item.time_ns, item.text]
        else:
            _add(item, task, names, notes)
    starts = [task["calls"][i] for task in tasks.values() for i in range(2, len(task["calls"]), 5)]
    starts += [task["events"][i] for task in tasks.values() for i in range(1, len(task["events"]), 3)]
    base = min(starts, default=0)
    span = 1
    for task in tasks.values():
        calls, events = task["calls"], task["events"]
        for at in range(2, len(calls), 5):
            calls[at] -= base
            span = max(span, calls[at] + calls[at + 1])
        for at in range(1, len(events), 3):
            events[at] -= base
            span = max(span, events[at])
    data = {
        "title": title,
        "span": span,
        "names": list(names),
        "tasks": sorted(tasks.values(), key=lambda t: t["pid"]),
        "notes": notes,
    }
    with open(os.path.join(os.path.dirname(__file__), "timeline.html"), encoding="utf-8") as file:
        before, _, after = file.read().partition(_PLACE)
    yield before
    # "</" inside a string would end the script element.
    yield json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    yield after


def _add(root: Call, task: dict[str, Any], names: dict[str, int], notes: dict[str, str]) -> None:
    """A call and all inside, parents first: name, row, start, duration, parent's number."""
    calls = task["calls"]
    stack: list[tuple[Call, int, int]] = [(root, 0, -1)]
    while stack:
        call, row, parent = stack.pop()
        number = len(calls) // 5
        duration = (
            call.duration_ns
            if call.left
            else max((c.end_ns for c in call.walk()), default=call.start_ns) - call.start_ns
        )
        calls += [names.setdefault(call.function, len(names)), row, call.start_ns, duration, parent]
        values = show_arguments(call.args)
        if call.retval is not None:
            values += f" = {show_retval(call.retval)}"
        if values:
            notes[f"{call.pid}:{number}"] = values
        stack.extend((child, row + 1, number) for child in reversed(call.children))
