"""Events a second of the user-space machine: a counting program (`@[pid] = count()`) and instructions of a plain loop.

Run: python bench/machine.py
"""

from __future__ import annotations

import struct
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "machine")]

from machine_programs import (  # noqa: E402
    EXIT,
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    R10,
    Build,
    alu,
    atomic,
    call,
    engine,
    goto,
    jump,
    load,
    mov,
    store,
)

from kloupe.engine.machine.task import Task  # noqa: E402
from kloupe.image import MapSpec  # noqa: E402

COUNTS = MapSpec("@", "percpu_hash", 8, 8, 4096)
EVENTS = MapSpec(".events", "ringbuf", 0, 0, 1 << 20)


def counting() -> Build:
    """@[pid] = count()."""
    build = Build().add(call("get_current_pid_tgid"), alu("rsh", R0, 32), store(R10, -8, 8, R0))
    build.map(R1, "@").add(mov(R2, R10), alu("add", R2, -8), call("map_lookup_elem"))
    build.add(jump("eq", R0, 0, 3), mov(R1, 1), atomic("add", R0, 0, 8, R1), goto(10))
    build.add(store(R10, -16, 8, 1)).map(R1, "@")
    build.add(mov(R2, R10), alu("add", R2, -8), mov(R3, R10), alu("add", R3, -16), mov(R4, 0), call("map_update_elem"))
    return build.add(goto(0), mov(R0, 0), EXIT)


def printing() -> Build:
    """printf("%d %d", pid, args.x): one record of 24 bytes an event."""
    build = Build().add(load(R6, R1, 16, 8)).map(R1, ".events").add(mov(R2, 24), mov(R3, 0), call("ringbuf_reserve"))
    build.add(jump("eq", R0, 0, 7), store(R0, 0, 8, 3), mov(R1, R0), store(R1, 8, 8, R6), store(R1, 16, 4, 7))
    return build.add(mov(R2, 0), call("ringbuf_submit"), mov(R0, 0), mov(R0, 0), EXIT)


def looping(rounds: int) -> Build:
    """Eight instructions a round."""
    build = Build().add(mov(R0, 0), mov(R1, rounds))
    build.add(mov(R2, R1), alu("and", R2, 255), alu("lsh", R2, 3), alu("xor", R0, R2), store(R10, -8, 8, R0))
    return build.add(load(R0, R10, -8, 8), alu("sub", R1, 1), jump("ne", R1, 0, -8), EXIT)


def main() -> None:
    """Print the rates."""
    task = Task(pid=100, tid=100)
    for name, build in (("counting", counting()), ("printing", printing())):
        machine = engine(build, [COUNTS, EVENTS])
        context = struct.pack("=4Q", 1, 2, 3, 4)
        machine.fire("main", context, task=task)
        best = 0.0
        for _ in range(5):
            start, count = time.perf_counter(), 40_000
            for _ in range(count):
                machine.fire("main", context, task=task)
            best = max(best, count / (time.perf_counter() - start))
            machine.poll(0)
        print(f"{name}: {best:,.0f} events/s")
    rounds = 200_000
    machine = engine(looping(rounds))
    machine.fire("main")
    start = time.perf_counter()
    machine.fire("main")
    print(f"loop: {8 * rounds / (time.perf_counter() - start):,.0f} instructions/s")


if __name__ == "__main__":
    main()
