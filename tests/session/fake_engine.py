"""An engine without a kernel: handmade maps, and programs that are Python functions giving the records they would send."""

from __future__ import annotations

import struct
from collections import deque

from kloupe.base.ctype import CType
from kloupe.base.errors import InternalError
from kloupe.base.layout import event_layout
from kloupe.engine.protocol import AttachFailure
from kloupe.image import AttachSpec, EventSpec, Image, MapSpec, ProgramSpec, SourcePlace
from kloupe.output.decode import scalar_code
from kloupe.output.names import PlainNames
from kloupe.output.sink import Sink

CPUS = 2


class FakeMap:
    """A map in a dict. `cells` of per-CPU maps are lists of bytes."""

    def __init__(self, spec: MapSpec) -> None:
        self.spec = spec
        self.per_cpu = "percpu" in spec.kind
        self.cells: dict[bytes, object] = {}
        if spec.kind.endswith("array"):
            for index in range(spec.max_entries):
                self.cells[struct.pack("<I", index)] = self._filled(bytes(spec.value_size))

    def _filled(self, value):
        return [value] * CPUS if self.per_cpu else value

    def items(self):
        assert not self.per_cpu
        return iter(list(self.cells.items()))

    def per_cpu_items(self):
        assert self.per_cpu
        return iter(list(self.cells.items()))

    def lookup(self, key):
        assert not self.per_cpu
        return self.cells.get(key)

    def per_cpu_lookup(self, key):
        assert self.per_cpu
        return self.cells.get(key)

    def update(self, key, value):
        assert len(key) == self.spec.key_size and len(value) == self.spec.value_size
        self.cells[key] = self._filled(value)

    def delete(self, key):
        return self.cells.pop(key, None) is not None


class FakeEngine:
    """`programs` maps a program's name to a function (engine) -> list of records, or None; `batches` come one per poll."""

    name = "fake"

    def __init__(self, programs=None, batches=(), failures=()):
        self.programs = programs or {}
        self.queue: deque = deque()
        self.batches = deque(batches)
        self.failures = set(failures)
        self.log: list[str] = []
        self.lost = 0
        self.maps: dict[str, FakeMap] = {}
        self.on_poll = None
        self.returns: dict[str, int] = {}
        self.missed: dict[str, int] = {}

    def load(self, image):
        self.image = image
        self.maps = {spec.name: FakeMap(spec) for spec in image.maps}

    def run_once(self, program):
        self.log.append(f"run {program.name}")
        self.queue.extend(self.programs[program.name](self) or [])
        return self.returns.get(program.name, 0)

    def run_timed(self, program, repeat):
        return 100

    def attach(self):
        self.log.append("attach")
        found = []
        for program in self.image.programs:
            for spec in program.attach:
                if spec.name in self.failures:
                    found.append(AttachFailure(spec, "no such thing"))
        return found

    def detach(self):
        self.log.append("detach")

    def map(self, name):
        if name not in self.maps:
            raise InternalError(f"no map {name}")
        return self.maps[name]

    def poll(self, timeout_ms):
        if self.on_poll:
            self.on_poll(self)
        if self.queue:
            records = list(self.queue)
            self.queue.clear()
            return records
        return self.batches.popleft() if self.batches else []

    def lost_events(self):
        return self.lost

    def missed_runs(self):
        return self.missed

    def fileno(self):
        return -1

    def close(self):
        self.log.append("close")


class MemorySink(Sink):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__(-1, "full")
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def flush(self) -> None:
        pass

    def text(self) -> str:
        return self.data.decode("utf-8", "surrogateescape")


PLACE = SourcePlace("stdin", 1, 9, 14, "begin { f(1); }")


def event(index: int, kind: str, types: list[CType], **params) -> EventSpec:
    return EventSpec(index, kind, event_layout(types), PLACE, params)


def record(spec: EventSpec, *values) -> bytes:
    data = bytearray(spec.layout.size)
    struct.pack_into("<I", data, 0, spec.id)
    for field, value in zip(spec.layout.fields, values, strict=True):
        raw = struct.pack("<" + scalar_code(field.type), value) if scalar_code(field.type) else value
        data[field.offset : field.offset + len(raw)] = raw
    return bytes(data)


def program(name: str, *attach: AttachSpec | str) -> ProgramSpec:
    specs = tuple(AttachSpec(a, a) if isinstance(a, str) else a for a in attach)
    return ProgramSpec(name, "raw_tracepoint", "", b"", (), (), (), (), specs)


def image(programs=(), maps=(), events=(), strings=(), **config) -> Image:
    return Image("stdin", "x86_64", tuple(programs), tuple(maps), tuple(events), tuple(strings), config)


def hash_map(name: str, key: CType, value: CType, *, per_cpu: bool = False, entries: int = 4096) -> MapSpec:
    kind = "percpu_hash" if per_cpu else "hash"
    return MapSpec(name, kind, -(-key.size // 8) * 8, -(-value.size // 8) * 8, entries, 0, key, value)


def scalar_map(name: str, value: CType, *, per_cpu: bool = False) -> MapSpec:
    kind = "percpu_array" if per_cpu else "array"
    return MapSpec(name, kind, 4, 8 + -(-value.size // 8) * 8, 1, 0, None, value)


NAMES = PlainNames()
