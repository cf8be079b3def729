"""CPU time of the tracer per printed event, beside the peer: a child makes many system calls, each prints a line."""

from __future__ import annotations

import shutil
import sys
import tempfile

from hits import CALLS, ENTER, build_child
from peer import KLOUPE, Run, measure, median_run, peer_command, self_check, table

PRINT = f'{ENTER} /pid == cpid/ {{ printf("%d %d %s\\n", pid, args.mode, comm); @printed = count(); }}'


def main() -> None:
    """Print the table. The child's own time is taken off."""
    self_check()
    if shutil.which("gcc") is None:
        sys.exit("gcc is needed to build the child")
    peer = peer_command()
    with tempfile.TemporaryDirectory() as folder:
        child = build_child(folder)
        alone = measure([child])
        ours = median_run([*KLOUPE, "-c", child, "-e", PRINT], 3)
        theirs = median_run([*peer, "-c", child, "-e", PRINT], 3) if peer else None
    table(
        "tracer CPU per printed event",
        [
            ("CPU per event", _each(ours, alone), _each(theirs, alone) if theirs else None, "us"),
            ("printed lines", float(ours.output.count("\n")), float(theirs.output.count("\n")) if theirs else None, ""),
        ],
    )


def _each(run: Run, alone: Run) -> float:
    return (run.cpu_s - alone.cpu_s) * 1e6 / CALLS


if __name__ == "__main__":
    main()
