"""Compile time against script length, and a script with many maps (what the peer cannot load)."""

from __future__ import annotations

import time

from peer import KLOUPE, measure, peer_command, self_check, table

import kloupe

LENGTHS = (100, 400, 1600)


def statements(count: int) -> str:
    """A script of `count` statements over variables and maps."""
    lines = ["$x = 1;"]
    for number in range(count // 2):
        lines += [f"$x = $x + {number};", f"@m{number % 20}[$x % 7] = $x;"]
    return "begin { " + "\n".join(lines) + " exit(); }"


def compile_s(text: str) -> float:
    """The best of three compilations, in seconds."""
    best = 1e9
    for _ in range(3):
        start = time.perf_counter()
        kloupe.compile(text)
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print the tables."""
    self_check()
    kloupe.compile(statements(10))
    seconds = {count: compile_s(statements(count)) for count in LENGTHS}
    rows: list[tuple[str, float | None, float | None, str]] = [
        (f"{count} statements ({1e6 * s / count:.0f} us each)", s * 1000, None, "ms") for count, s in seconds.items()
    ]
    maps = "begin { " + " ".join(f"@m{n}[{n}] = count();" for n in range(60)) + " exit(); }"
    peer = peer_command()
    theirs = measure([*peer, "-q", "-e", maps]) if peer else None
    failed = theirs is not None and "@m59[59]: 1" not in theirs.output
    rows.append(("60 maps, compiled and run" + (" (the peer fails)" if failed else ""),
                 measure([*KLOUPE, "-q", "-e", maps]).wall_s * 1000, theirs.wall_s * 1000 if theirs else None, "ms"))  # fmt: skip
    table("compile time", rows)


if __name__ == "__main__":
    main()
