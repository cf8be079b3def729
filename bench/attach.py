"""Attaching to all system-call entries and leaving: wall time beside the peer (traces only its own child)."""

from __future__ import annotations

import sys

from peer import KLOUPE, measure, median_run, peer_command, self_check, table

PROGRAM = "tracepoint:syscalls:sys_enter_* /pid == cpid/ { @ = count(); }"
NAMES = "tracepoint:syscalls:sys_enter_* /pid == cpid/ { @[probe] = count(); }"


def main() -> None:
    """Print the table. The peer takes half a minute, so it runs once."""
    self_check()
    ours = median_run([*KLOUPE, "-c", "/bin/true", "-e", PROGRAM], 3)
    named = median_run([*KLOUPE, "-c", "/bin/true", "-e", NAMES], 3)
    peer = peer_command() if "--no-peer" not in sys.argv else None
    theirs = measure([*peer, "-c", "/bin/true", "-e", PROGRAM]) if peer else None
    table(
        "tracepoint:syscalls:sys_enter_*, attach and leave",
        [
            ("count", ours.wall_s, theirs.wall_s if theirs else None, "s"),
            ("count by probe name", named.wall_s, None, "s"),
        ],
    )


if __name__ == "__main__":
    main()
