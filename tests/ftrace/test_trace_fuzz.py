"""Damaged files of every kind through every view, and damaged pages of killed recorders: only our own errors, and an end.

KLOUPE_FUZZ_ROUNDS and KLOUPE_FUZZ_SEED as for the other fuzz tests.
"""

import os
import random
from pathlib import Path

import pytest
from made_trace import Maker

from kloupe.base.errors import KloupeError
from kloupe.cli import ftrace_restore
from kloupe.ftrace.events import trace_items
from kloupe.ftrace.report.options import ReportOptions
from kloupe.ftrace.report.text import report_text
from kloupe.ftrace.source import open_trace
from kloupe.ftrace.split import split_pages
from kloupe.ftrace.tracedat.compress import has_zstd
from kloupe.ftrace.tracedat.write import write_trace
from kloupe.ftrace.views.chrome import render_chrome
from kloupe.ftrace.views.html import render_html
from kloupe.ftrace.views.jsonl import render_jsonl
from kloupe.ftrace.views.perfetto import render_perfetto
from kloupe.ftrace.views.stacks import render_folded, render_speedscope
from kloupe.ftrace.views.stat import collect
from kloupe.ftrace.views.tree import render_tree

ROUNDS = int(os.environ.get("KLOUPE_FUZZ_ROUNDS", "300"))
SEED = int(os.environ.get("KLOUPE_FUZZ_SEED", "1"))
KINDS = [(6, "none"), (7, "none"), (7, "zlib"), *([(7, "zstd")] if has_zstd() else [])]
MACHINES = [("<", 8), (">", 8), ("<", 4), (">", 4)]
OPTIONS = ReportOptions()
VIEWS = [
    lambda trace: report_text(trace, OPTIONS),
    lambda trace: report_text(trace, ReportOptions(raw=True)),
    lambda trace: render_tree(trace_items(trace, OPTIONS)),
    lambda trace: render_jsonl(trace_items(trace, OPTIONS)),
    lambda trace: render_chrome(trace_items(trace, OPTIONS), trace.tgids),
    lambda trace: render_perfetto(trace_items(trace, OPTIONS), trace.tgids),
    lambda trace: render_html(trace_items(trace, OPTIONS), "title"),
    lambda trace: render_folded(trace_items(trace, OPTIONS)),
    lambda trace: render_speedscope(trace_items(trace, OPTIONS), "title"),
    lambda trace: collect(trace_items(trace, OPTIONS)),
    lambda trace: (page for i in trace.instances for s in i.streams for page in split_pages(trace, s, OPTIONS)),
]  # fmt: skip
LONGEST = 50 << 20  # characters that a view of a file of 20 kB may have


def damaged(chance: random.Random, data: bytes) -> bytes:
    """Cut anywhere, some bytes changed, a piece moved or taken out."""
    found, kind = bytearray(data), chance.randrange(4)
    if not found:
        return b""
    at = chance.randrange(len(found))
    if kind == 0:
        del found[at:]
    elif kind == 1:
        for _ in range(chance.randrange(1, 20)):
            found[chance.randrange(len(found))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    elif kind == 2:
        del found[at : at + chance.randrange(1, 2000)]
    else:
        found[at:at] = found[chance.randrange(len(found)) :][:500]
    return bytes(found)


def records(maker: Maker) -> list[list[tuple[int, bytes]]]:
    first, second = maker.sample()
    return [first + [(10**10 + number, maker.wake(10, number, "x" * (number % 50))) for number in range(200)], second]


def require_bounded(pieces: object) -> None:
    length = 0
    for piece in pieces:  # type: ignore[attr-defined]
        length += len(piece)
        assert length < LONGEST


@pytest.mark.parametrize("kind", KINDS)
def test_files(tmp_path, kind):
    chance = random.Random(SEED)
    whole = [
        maker.write(tmp_path / f"{number}.dat", *records(maker), version=kind[0], compression=kind[1]).read_bytes()
        for number, maker in enumerate(Maker(*machine) for machine in MACHINES)
    ]
    path, opened = tmp_path / "damaged.dat", 0
    for _ in range(ROUNDS):
        path.write_bytes(damaged(chance, chance.choice(whole)))
        try:
            trace = open_trace(str(path))
            opened += 1
            require_bounded(chance.choice(VIEWS)(trace))
        except KloupeError:
            continue
    assert opened > ROUNDS // 10


def test_what_killed_recorders_leave(tmp_path, capsys):
    chance = random.Random(SEED)
    restored = 0
    for number in range(ROUNDS // 3):
        maker = Maker(*chance.choice(MACHINES))
        path = tmp_path / f"{number}.dat"
        write_trace(f"{path}.head", maker.tables(), [])
        if chance.random() < 0.3:
            Path(f"{path}.head").write_bytes(damaged(chance, Path(f"{path}.head").read_bytes()))
        for cpu, made in enumerate(records(maker)):
            Path(f"{path}.cpu{cpu}").write_bytes(damaged(chance, b"".join(maker.pages(made))))
        version, compression = chance.choice(KINDS)
        try:
            ftrace_restore.run("restore", [str(path), "--file-version", str(version), "--compression", compression])
            restored += 1
            require_bounded(report_text(open_trace(str(path)), OPTIONS))
        except KloupeError:
            continue
    assert restored > ROUNDS // 10
