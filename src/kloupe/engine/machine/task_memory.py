"""Kernel memory that the machine makes up: the few fields of task_struct that scripts follow from the current task (`ppid`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from struct import pack

from .memory import MemoryFault
from .task import COMM_BYTES, Task

_PARENT_STEP = 1 << 13  # from a task to its parent's made-up address; more than a task_struct has


class TaskMemory:
    """A MemorySource with the current task and its parent, as far as `fields` (of task_struct: name -> byte offset) tell.

    Known names: pid, tgid, comm, real_parent, parent. Everything else cannot be read.
    """

    def __init__(self, current: Callable[[], Task], fields: Mapping[str, int]) -> None:
        self._current = current
        self._fields = fields

    def read(self, address: int, size: int, user: bool) -> bytes:
        """Bytes inside of one known field. Raises MemoryFault for any other."""
        if not user:
            for start, data in self._pieces(self._current()):
                if start <= address and address + size <= start + len(data):
                    return data[address - start : address - start + size]
        raise MemoryFault(f"no memory at {address:#x}")

    def _pieces(self, task: Task) -> Iterator[tuple[int, bytes]]:
        parent = task.pointer + _PARENT_STEP
        values = (
            (task.pointer, "pid", pack("=I", task.tid)),
            (task.pointer, "tgid", pack("=I", task.pid)),
            (task.pointer, "comm", task.comm[: COMM_BYTES - 1].ljust(COMM_BYTES, b"\0")),
            (task.pointer, "real_parent", pack("=Q", parent)),
            (task.pointer, "parent", pack("=Q", parent)),
            (parent, "pid", pack("=I", task.ppid)),
            (parent, "tgid", pack("=I", task.ppid)),
        )
        for base, name, data in values:
            if name in self._fields:
                yield base + self._fields[name], data
