"""Who else is tracing: what stands in the way of using the top level, and which processes hold its files open."""

from __future__ import annotations

import os

from ...base.errors import UsageError
from ...host.proc import read_text
from .folder import TracingFolder
from .journal import living_sessions

_PIPES = ("trace_pipe", "trace_pipe_raw", "snapshot_raw")


# The kernel switches it on by itself for the first BPF program that may use bpf_trace_printk, and never off again (kernel/trace/bpf_trace.c).
_ALWAYS_ON = "bpf_trace:bpf_trace_printk"


def open_files() -> list[str]:
    """Processes that read a trace, as `name (pid N) reads trace_pipe of cpu0`; those that may not be looked at are left out."""
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdecimal() or int(name) == os.getpid():
            continue
        try:
            links = [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
        except OSError:
            continue
        for link in links:
            folder, _, last = link.rpartition("/")
            if last in _PIPES and "instances/" not in folder:
                comm = read_text(f"/proc/{name}/comm") or "?"
                found.add(f"{comm} (pid {name}) reads {last}")
    return sorted(found)


def obstacles(top: TracingFolder) -> list[str]:
    """Why the top level is not free."""
    found = []
    tracer = top.get("current_tracer", "nop")
    if tracer != "nop":
        found.append(f"the tracer {tracer} is set")
    events = [name for name in top.words("set_event") if name != _ALWAYS_ON]
    if events:
        more = f" and {len(events) - 1} more" if len(events) > 1 else ""
        found.append(f"the event {events[0]}{more} is on")
    held = top.total("entries")
    if held:
        found.append(f"its buffer holds {held} events of an earlier trace")
    return found


def require_free_top_level(top: TracingFolder, why: str, *, clear: bool = False) -> None:
    """Raises UsageError when somebody else uses the top level; names them. `clear` allows to lose what its buffer still holds."""
    found = obstacles(top)
    if clear:
        found = [text for text in found if not text.startswith("its buffer")]
    mine = [f"kloupe (pid {s.pid}): {s.command}" for s in living_sessions() if s.claims == ""]
    if not found and not mine:
        return
    who = mine or open_files()
    message = (
        f"{why} works only on tracefs's top level, and that is in use: {'; '.join(found or ['another kloupe has it'])}"
    )
    if who:
        message += f"\nIt is used by: {'; '.join(who)}"
    only_buffer = len(found) == 1 and found[0].startswith("its buffer") and not mine
    hint = "--clear empties that buffer" if only_buffer else "wait for its end; nothing was changed"
    raise UsageError(message, hint=hint)
