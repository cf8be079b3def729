"""What a recording says about itself: the machine, the clocks, the tracer, the probes and what their names stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..base.errors import FormatError
from ..base.record import field, record


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
    if wrong or not all(isinstance(meta.clocks.get(name), int) for name in _CLOCKS):
        raise FormatError(path, 0, f"the description is not a recording's ({', '.join(wrong) or 'clocks'})")
    if not all(isinstance(row, list) and all(isinstance(n, str) for n in row) for row in meta.points):
        raise FormatError(path, 0, "the description's points are not names")
    return meta
