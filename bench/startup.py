"""Hello world: wall time and peak memory, beside the peer."""

from __future__ import annotations

from peer import KLOUPE, median_run, peer_command, self_check, table

HELLO = 'BEGIN { printf("hello, World!\\n"); }'
RUNS = 9


def main() -> None:
    """Print the table."""
    self_check()
    ours = median_run([*KLOUPE, "-e", HELLO], RUNS)
    peer = peer_command()
    theirs = median_run([*peer, "-e", HELLO], RUNS) if peer else None
    table(
        "hello world",
        [
            ("wall time", ours.wall_s * 1000, theirs.wall_s * 1000 if theirs else None, "ms"),
            ("CPU time", ours.cpu_s * 1000, theirs.cpu_s * 1000 if theirs else None, "ms"),
            ("peak memory", ours.peak_mb, theirs.peak_mb if theirs else None, "MB"),
        ],
    )


if __name__ == "__main__":
    main()
