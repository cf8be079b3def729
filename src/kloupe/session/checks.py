"""`--test` and `--bench`: run test and bench programs one by one and report them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from ..base.record import replace
from ..engine.protocol import Engine
from ..image import Image
from ..output.model import BenchResult, Output, TestResult
from ..output.sink import Sink
from ..output.textout import TextOutput
from .dispatch import Dispatcher
from .handlers import Record, Scene

Runner = Callable[[Image, Engine, Output, Scene, Sequence[Record]], int]

# Repeat until a run takes a millisecond: (total below which nanoseconds, times more repeats).
_GROWTH = ((1_000, 1000), (10_000, 100), (100_000, 10), (1_000_000, 2))


class _Capture(Sink):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__(-1, "full")
        self.data = b""

    def write(self, data: bytes) -> None:
        """Keep `data`."""
        self.data += data

    def flush(self) -> None:
        """Nothing to pass on."""


def _captured(scene: Scene) -> tuple[Scene, _Capture]:
    """A scene like `scene` whose output, messages included, is kept."""
    capture = _Capture()
    out = TextOutput(scene.names, capture, capture)
    return replace(scene, out=out, exiting=False, exit_status=0, error_count=0), capture


def _drain(engine: Engine, scene: Scene) -> None:
    dispatcher = Dispatcher(scene)
    while records := engine.poll(0):
        dispatcher.dispatch(records)


def _named(image: Image, kind: str) -> list[tuple[int, str]]:
    return [
        (index, str(spec.params.get("name", spec.name)))
        for index, program in enumerate(image.programs)
        for spec in program.attach
        if spec.kind == kind
    ]


def run_tests(image: Image, engine: Engine, out: Output, scene: Scene, pending: Sequence[Record]) -> int:
    """Run all test programs; 1 when one returned nonzero, called errorf or exit(n), or failed at run time. `pending`: from begin programs."""
    tests = _named(image, "test")
    results: list[TestResult] = []
    for index, name in tests:
        own, capture = _captured(scene)
        if not results:
            Dispatcher(own).dispatch(pending)
        start = time.perf_counter_ns()
        returned = engine.run_once(image.programs[index])
        duration_ns = time.perf_counter_ns() - start
        _drain(engine, own)
        passed = returned == 0 and own.exit_status == 0 and own.error_count == 0
        results.append(TestResult(name, duration_ns, passed, capture.data))
        out.test_result(results, len(tests))
        out.tick()
    return 0 if all(result.passed for result in results) else 1


def run_benchmarks(image: Image, engine: Engine, out: Output, scene: Scene, pending: Sequence[Record]) -> int:
    """Time all bench programs; one that returns nonzero is skipped, one that calls errorf or exit(n) fails, which gives 1."""
    benches = _named(image, "bench")
    names = [name for _, name in benches]
    results: list[BenchResult] = []
    status = 0
    for index, name in benches:
        program = image.programs[index]
        own, _ = _captured(scene)
        returned = engine.run_once(program)
        _drain(engine, own)
        if own.exit_status or own.error_count:
            out.note("ERROR", f"Benchmark '{name}' failed.")
            status = 1
        elif not returned:
            repeat, average_ns = _time_enough(partial(engine.run_timed, program))
            _drain(engine, own)
            results.append(BenchResult(name, average_ns, repeat))
            out.bench_result(results, names)
    return status


def _time_enough(run: Callable[[int], int]) -> tuple[int, int]:
    """(repeats, mean nanoseconds) of a run of at least a millisecond."""
    repeat = 1
    while True:
        average_ns = run(repeat)
        factor = next((more for limit, more in _GROWTH if average_ns * repeat < limit), 0)
        if not factor:
            return repeat, average_ns
        repeat *= factor
