"""Writes src/kloupe/kernel/data/tracepoints.z from a live kernel's tracefs: the formats that the ptrace engine's events have.

Run on x86_64 with tracefs readable: `python scripts/make_syscall_formats.py [TRACEFS]`. System calls keep only their
arguments' declarations (each takes 8 bytes from offset 16 on, kernel/trace/trace_syscalls.c), which are the same on every
64-bit architecture; other events keep their field lines. `--check` compares instead of writing.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

from kloupe.kernel.packaged import OTHER_EVENTS

DATA = Path(__file__).parents[1] / "src" / "kloupe" / "kernel" / "data" / "tracepoints.z"


def field_lines(text: str) -> list[str]:
    """The `field:` lines without the common ones."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("field:")]
    return [line for line in lines if " common_" not in line]


def call_line(event: str, text: str) -> str:
    """`NAME DECL;DECL` of one system call; fields that newer kernels add for texts (`__data_loc`) are left out."""
    declarations = []
    for line in field_lines(text):
        declaration = line.split(";")[0].removeprefix("field:")
        if not declaration.endswith("__syscall_nr") and "__data_loc" not in declaration:
            declarations.append(declaration)
    return f"{event.removeprefix('sys_enter_')} {';'.join(declarations)}"


def collect(tracing: Path) -> str:
    """The whole text: a line a system call, an empty line, then `@CATEGORY:EVENT` and its field lines."""
    events = tracing / "events"
    calls = [
        call_line(path.name, (path / "format").read_text())
        for path in sorted((events / "syscalls").glob("sys_enter_*"))
    ]
    others = []
    for category, event in OTHER_EVENTS:
        others += [f"@{category}:{event}", *field_lines((events / category / event / "format").read_text())]
    return "\n".join([*calls, "", *others]) + "\n"


def main(arguments: list[str]) -> int:
    """Write the file, or compare it."""
    folders = [word for word in arguments if not word.startswith("--")]
    text = collect(Path(folders[0] if folders else "/sys/kernel/tracing"))
    if "--check" in arguments:
        return int(zlib.decompress(DATA.read_bytes()).decode() != text)
    DATA.write_bytes(zlib.compress(text.encode(), 9))
    print(f"{DATA}: {DATA.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
