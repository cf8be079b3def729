"""`kloupe --info`: what this system offers, in bpftrace's layout and words, since programs parse it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .. import __version__
from ..kernel.live import LiveTarget
from .machine import live_target
from .options import CommandLine

_COLUMN = 33
# Title -> (word, feature) pairs, two to a line. `features.has` answers.
TABLES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Kernel helpers",
        (
            ("dpath", "d_path"),
            ("get_tai_ns", "ktime_get_tai_ns"),
            ("get_func_ip", "get_func_ip"),
            ("lookup_percpu_elem", "map_lookup_percpu_elem"),
            ("loop", "bpf_loop"),
            ("probe_read_kernel", "probe_read_kernel"),
            ("send_signal", "signal"),
            ("jiffies64", "jiffies64"),
        ),
    ),
    (
        "Kernel features",
        (
            ("btf", "btf"),
            ("module btf", "module_btf"),
        ),
    ),
    (
        "Probe types",
        (
            ("kprobe_multi", "kprobe_multi"),
            ("uprobe_multi", "uprobe_multi"),
            ("kprobe_session", "kprobe_session"),
            ("iter", "iter"),
            ("fentry", "fentry"),
        ),
    ),
)


def _yes(answer: bool | None) -> str:
    return "yes" if answer else "no"


def _pairs(target: LiveTarget, rows: tuple[tuple[str, str], ...]) -> Iterator[str]:
    cells = [f"{word}: {_yes(target.has(feature))}" for word, feature in rows]
    for left, right in zip(cells[::2], [*cells[1::2], ""], strict=False):
        yield f"  {left:<{_COLUMN}}{right}".rstrip()


def run(line: CommandLine) -> int:
    """Print everything."""
    target = live_target()
    names = os.uname()
    print("System")
    print(f"  OS: {names.sysname} {names.release} {names.version}")
    print(f"  Arch: {names.machine}")
    print("\nBuild")
    print(f"  version: v{__version__}")
    print("  LLVM: none needed")
    print("  libdw (DWARF support): yes")
    print("  bcc library path resolution: yes")
    print("  libsystemd (systemd notify support): no")
    print("  blazesym (advanced symbolization): no")
    print("  dwunwind (DWARF stack unwinding): no")
    for title, rows in TABLES:
        print(f"\n{title}")
        for text in _pairs(target, rows):
            print(text)
    return 0
