"""Events a second of a replay, reading and checking the file included: counting scripts over a million recorded system calls.

Run: python bench/replay.py [RUNS]
"""

from __future__ import annotations

import struct
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src")]

from kloupe.base.source import Source  # noqa: E402
from kloupe.cli.recording import Recorder  # noqa: E402
from kloupe.codegen.pipeline import compile_script  # noqa: E402
from kloupe.engine.machine.engine import MachineEngine  # noqa: E402
from kloupe.engine.machine.task import Task  # noqa: E402
from kloupe.engine.replay import ReplayEngine  # noqa: E402
from kloupe.kernel.packaged import PackagedTarget  # noqa: E402
from kloupe.kernel.recorded import RecordedTarget  # noqa: E402
from kloupe.recording.read import Recording  # noqa: E402
from kloupe.sema.analyzer import CompileOptions  # noqa: E402
from kloupe.session.symbolize import NoSymbols  # noqa: E402

GOAL = 200_000
ROUNDS = 3
POINT = "tracepoint:syscalls:sys_enter_read"
SCRIPTS = {
    "@ = count()": f"{POINT} {{ @ = count(); }}",
    "@[comm] = count()": f"{POINT} {{ @[comm] = count(); }}",
    "@[pid, args.fd] = count()": f"{POINT} {{ @[pid, args.fd] = count(); }}",
    "@[args.fd] = hist(args.count)": f"{POINT} {{ @[args.fd] = hist(args.count); }}",
}


def make_recording(path: str, runs: int) -> None:
    """Some hundred different calls, recorded from the machine and repeated."""
    target = PackagedTarget()
    recorder = Recorder(path)
    compilation = recorder.compile(
        Source("bench", f"{POINT} {{ @ = count(); }}"), target, CompileOptions(), lambda program, diagnostics: program
    )
    assert compilation.image is not None
    recorded = recorder.start(MachineEngine(feeds=frozenset(("tracepoint",))), NoSymbols())
    engine = recorded.engine
    machine = engine.engine
    assert isinstance(machine, MachineEngine)
    with engine:
        engine.load(compilation.image)
        for number in range(runs):
            task = Task(100 + number % 7, 100 + number % 13, comm=b"task%d" % (number % 5))
            machine.fire(POINT, struct.pack("=8xi4xQQQ24x", 0, number % 9, 0x7FFF0000, number % 4096), task=task)
            if number % 1000 == 0:
                engine.poll(0)


def rate(path: str, text: str) -> float:
    """Events a second of one script."""
    recording = Recording(path)
    image = compile_script(Source("bench", text), RecordedTarget(recording.meta), CompileOptions(dispatch=False)).image
    assert image is not None
    with ReplayEngine(recording) as engine:
        engine.load(image)
        assert not engine.attach()
        start = time.process_time()  # on one core, whatever else the machine does
        while not engine.finished:
            engine.poll(0)
        return engine.runs / (time.process_time() - start)


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/bench.klr"
        make_recording(path, runs)
        rates = {name: max(rate(path, text) for _ in range(ROUNDS)) for name, text in SCRIPTS.items()}
    for name, per_second in rates.items():
        print(f"{name:<32} {per_second:12,.0f} events/s")
    return 0 if min(rates.values()) >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
