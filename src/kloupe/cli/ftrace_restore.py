"""`kloupe ftrace restore`: put back what killed sessions left in tracefs, and tell who is tracing."""

from __future__ import annotations

from ..base.errors import UsageError
from ..ftrace.control.folder import TracingFolder
from ..ftrace.control.holders import obstacles, open_files
from ..ftrace.control.journal import living_sessions, restore_killed
from ..host.tracefs import ensure_tracefs


def run(word: str, arguments: list[str]) -> int:
    """Restore, and print what was done; 1 when something could not be put back."""
    if arguments:
        raise UsageError("kloupe ftrace restore takes no arguments")
    root = ensure_tracefs()
    done = restore_killed(root)
    for item in done:
        print(f"restored after pid {item.header.pid} ({item.header.command}): {item.steps} steps")
        for text in item.trouble:
            print(f"    {text}")
    if not done:
        print("nothing to restore")
    for session in living_sessions():
        print(f"in use: {session.claims or 'the top level'} by kloupe (pid {session.pid}): {session.command}")
    for text in [*obstacles(TracingFolder(root)), *open_files()]:
        print(f"in use: the top level: {text}")
    return int(any(item.trouble for item in done))
