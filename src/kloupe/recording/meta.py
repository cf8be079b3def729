"""What a recording says about itself: the machine, the clocks, the tracer, the probes and what their names stand for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from ..base.errors import FormatError
from ..base.record import field, record, replace


@record
class Meta:
    """The first block of a recording, as JSON.

    `clocks`: nanoseconds of "monotonic", "boot", "tai" and "wall" at one moment. `task`: the tracer's pid, tid, uid, gid, ppid,
    cgroup_id and comm. `points`: for each program the names of its attach points by cookie; `stack_maps`: names by number.
    `formats`: "category:event" -> the tracepoint's format file. `script`: name, text and parameters.
    """

    arch: str
    little_endian: bool
    release: str
    page_size: int
    cpus: int
    clocks: Mapping[str, int]
    task: Mapping[str, int | str]
    points: list[list[str]]
    stack_maps: list[str]
    formats: Mapping[str, str] = field(default_factory=dict)
    script: Mapping[str, object] = field(default_factory=dict)
    child_pid: int = 0
    version: str = ""

    def to_bytes(self) -> bytes:
        """The block's content."""
        return json.dumps({name: getattr(self, name) for name in self.FIELDS}, sort_keys=True).encode()  # type: ignore[attr-defined]


_KINDS: dict[str, type] = {
    **dict.fromkeys(("arch", "release", "version"), str),
    **dict.fromkeys(("page_size", "cpus", "child_pid"), int),
    **dict.fromkeys(("clocks", "task", "formats", "script"), dict),
    **dict.fromkeys(("points", "stack_maps"), list),
    "little_endian": bool,
}
_CLOCKS = ("monotonic", "boot", "tai", "wall")
_TASK = {**dict.fromkeys(("pid", "tid", "uid", "gid", "ppid", "cgroup_id"), int), "comm": str}
_STACK_MAP = re.compile(r"\.[a-z_]+[0-9]{0,6}")  # its depth is at the end
_MOST_CPUS = 1 << 16  # more than any kernel is built for


def is_number(value: object, bits: int = 64) -> bool:
    """Whether a value of a JSON text is an integer from 0 on that fits."""
    return type(value) is int and 0 <= value < 1 << bits


def _faults(meta: Meta) -> Iterator[str]:
    """The names of fields with impossible content."""
    if not all(is_number(meta.clocks.get(name), 63) for name in _CLOCKS):
        yield "clocks"
    if not all(isinstance(meta.task.get(name), kind) for name, kind in _TASK.items()) or not all(
        is_number(value) for name, value in meta.task.items() if _TASK.get(name) is int
    ):
        yield "task"
    if not all(isinstance(row, list) and all(isinstance(name, str) for name in row) for row in meta.points):
        yield "points"
    if not all(isinstance(name, str) and _STACK_MAP.fullmatch(name) for name in meta.stack_maps):
        yield "stack_maps"
    if not all(isinstance(text, str) for text in meta.formats.values()):
        yield "formats"
    if not 0 < meta.cpus <= _MOST_CPUS:
        yield "cpus"
    if not is_number(meta.child_pid, 31):
        yield "child_pid"


def read_meta(content: bytes, path: str) -> Meta:
    """The block's content as an object; unknown fields are left out. Raises FormatError."""
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise FormatError(path, 0, f"the description is not JSON: {error}") from None
    known = {name: fields[name] for name in _KINDS if name in fields} if isinstance(fields, dict) else {}
    wrong = [name for name, value in known.items() if not isinstance(value, _KINDS[name])]
    try:
        meta = Meta(**known)
    except TypeError as error:
        raise FormatError(path, 0, f"the description is not complete: {error}") from None
    faults = wrong or list(_faults(meta))
    if faults:
        raise FormatError(path, 0, f"the description is not a recording's ({', '.join(faults)})")
    return replace(meta, task={name: meta.task[name] for name in _TASK})
