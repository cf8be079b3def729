"""Calls as stacks: folded lines for flame graphs, and speedscope's file.

Source: speedscope's file format (https://www.speedscope.app/file-format-schema.json), type "evented".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ..events import Call, TraceEvent


def render_folded(items: Iterable[TraceEvent | Call]) -> Iterator[str]:
    """`task;outer;inner NANOSECONDS` of self time, summed, by stack."""
    totals: dict[str, int] = {}
    for item in items:
        if not isinstance(item, Call):
            continue
        stack = [(item, item.comm.replace(";", ":"))]
        while stack:
            call, above = stack.pop()
            path = f"{above};{call.function}"
            if call.left and call.self_ns:
                totals[path] = totals.get(path, 0) + call.self_ns
            stack.extend((child, path) for child in call.children)
    for path in sorted(totals):
        yield f"{path} {totals[path]}\n"


def render_speedscope(items: Iterable[TraceEvent | Call], name: str) -> Iterator[str]:
    """One JSON document with a profile for each task."""
    frames: dict[str, int] = {}
    profiles: dict[int, dict[str, Any]] = {}
    for item in items:
        if not isinstance(item, Call):
            continue
        profile = profiles.get(item.pid)
        if profile is None:
            profile = profiles[item.pid] = {
                "type": "evented", "name": f"{item.comm} ({item.pid})", "unit": "nanoseconds", "startValue": item.start_ns,
                "endValue": item.end_ns, "events": [],
            }  # fmt: skip
        _add_events(item, profile, frames)
    for profile in profiles.values():
        start = min((event["at"] for event in profile["events"]), default=0)
        for event in profile["events"]:
            event["at"] -= start
        profile["startValue"], profile["endValue"] = 0, max((event["at"] for event in profile["events"]), default=0)
    document = {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "name": name,
        "exporter": "kloupe",
        "shared": {"frames": [{"name": frame} for frame in frames]},
        "profiles": list(profiles.values()),
    }
    yield json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _add_events(root: Call, profile: dict[str, Any], frames: dict[str, int]) -> None:
    """Openings and closings in order; a call never ends behind the one it is in, nor begins before the last one ended."""
    events = profile["events"]
    at = events[-1]["at"] if events else 0
    stack: list[tuple[Call, int, bool]] = [(root, root.end_ns, False)]
    while stack:
        call, limit, closing = stack.pop()
        frame = frames.setdefault(call.function, len(frames))
        if closing:
            at = max(at, min(call.end_ns, limit))
            events.append({"type": "C", "frame": frame, "at": at})
            continue
        at = max(at, call.start_ns)
        end = max(at, min(call.end_ns, limit)) if call.left else limit
        events.append({"type": "O", "frame": frame, "at": at})
        stack.append((call, limit, True))
        stack.extend((child, end, False) for child in reversed(call.children))
