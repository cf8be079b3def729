"""Writes src/kloupe/kernel/data/tracepoints.z: the formats that the ptrace engine's events have, from kernels' tracefs.

    python scripts/make_syscall_formats.py --print [TRACEFS] > FILE     on one kernel
    python scripts/make_syscall_formats.py [TRACEFS or FILE]...         writes; the first that has an event decides
    python scripts/make_syscall_formats.py --check [TRACEFS]            the names of the events that differ; status 1 if any do

For x86_64 kernels: a kernel lacks the calls that it was built without, so several together make the whole. System calls keep only their
arguments' declarations (each takes 8 bytes from offset 16 on, kernel/trace/trace_syscalls.c), which are the same on every 64-bit
architecture but for what kernel/packaged.py lists; other events keep their field lines.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

from kloupe.kernel.packaged import OTHER_EVENTS

DATA = Path(__file__).parents[1] / "src" / "kloupe" / "kernel" / "data" / "tracepoints.z"
Formats = tuple[
    dict[str, str], dict[str, str]
]  # of calls: name -> declarations; of others: CATEGORY:EVENT -> field lines


def field_lines(text: str) -> list[str]:
    """The `field:` lines without the common ones."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("field:")]
    return [line for line in lines if " common_" not in line]


def declarations(text: str) -> str:
    """`DECL;DECL` of one system call; fields that newer kernels add for texts (`__data_loc`) are left out."""
    found = (line.split(";")[0].removeprefix("field:") for line in field_lines(text))
    return ";".join(each for each in found if not each.endswith("__syscall_nr") and "__data_loc" not in each)


def read_tracefs(tracing: Path) -> Formats:
    """What a kernel has."""
    events = tracing / "events"
    calls = {
        path.name.removeprefix("sys_enter_"): declarations((path / "format").read_text())
        for path in (events / "syscalls").glob("sys_enter_*")
    }
    others = {
        f"{category}:{event}": "\n".join(field_lines((events / category / event / "format").read_text()))
        for category, event in OTHER_EVENTS
    }
    return calls, others


def parse(text: str) -> Formats:
    """What `render` made."""
    calls, _, others = text.partition("\n\n")
    parts = (part.partition("\n") for part in others.split("@")[1:])
    return (
        {name: rest for name, _, rest in (line.partition(" ") for line in calls.splitlines())},
        {name: lines.rstrip("\n") for name, _, lines in parts},
    )


def render(formats: Formats) -> str:
    """The whole text: a line a system call, an empty line, then `@CATEGORY:EVENT` and its field lines."""
    calls, others = formats
    lines = [f"{name} {calls[name]}" for name in sorted(calls)]
    return "\n".join([*lines, "", *(f"@{name}\n{text}" for name, text in others.items())]) + "\n"


def differing(live: Formats, ours: Formats) -> list[str]:
    """Events of the live kernel that we have otherwise or not at all."""
    return sorted(
        name for mine, theirs in zip(ours, live, strict=True) for name in theirs if mine.get(name) != theirs[name]
    )


def main(arguments: list[str]) -> int:
    """Print, compare or write."""
    places = [Path(word) for word in arguments if not word.startswith("--")] or [Path("/sys/kernel/tracing")]
    sources = [read_tracefs(place) if place.is_dir() else parse(place.read_text()) for place in places]
    if "--print" in arguments:
        print(render(sources[0]), end="")
        return 0
    if "--check" in arguments:
        wrong = differing(sources[0], parse(zlib.decompress(DATA.read_bytes()).decode()))
        print("\n".join(wrong))
        return int(bool(wrong))
    calls: dict[str, str] = {}
    others: dict[str, str] = {}
    for some_calls, some_others in reversed(sources):
        calls.update(some_calls)
        others.update(some_others)
    DATA.write_bytes(zlib.compress(render((calls, others)).encode(), 9))
    print(f"{DATA}: {len(calls)} system calls, {DATA.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
