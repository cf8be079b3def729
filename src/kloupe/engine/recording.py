"""RecordingEngine: stands before any engine, takes the journals out of what the programs send, and writes them to a recording."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping, Sequence

from ..base import journal
from ..base.errors import KloupeError
from ..base.record import record
from ..bpf.helpers import HELPERS
from ..image import Image, ProgramSpec
from ..recording.meta import Meta
from ..recording.read import read_entries
from ..recording.write import RecordingWriter
from .protocol import AttachFailure, Engine, MapAccess

_STACK_HELPER = HELPERS["get_stackid"].number
SeenStack = tuple[str, int, tuple[int, ...]]
_SIZES = struct.Struct("=HH").unpack_from


@record
class Described:
    """What the recording says of the session: its description, and the script compiled without journals as an image file."""

    meta: Meta
    image: bytes


class RecordingEngine:
    """An Engine like `engine`, of an Image that was compiled to record.

    At the end `ask_all` gets all (stack map's name, process, addresses), to find and write down their symbols.
    """

    def __init__(
        self, engine: Engine, writer: RecordingWriter, described: Described, ask_all: Callable[[list[SeenStack]], None]
    ) -> None:
        self.engine = engine
        self.writer = writer
        self.name = engine.name
        self._described = described
        self._ask_all = ask_all
        self._seen: list[SeenStack] = []
        self._event = -1
        self._order = "little" if described.meta.little_endian else "big"
        self._stacks: set[tuple[int, int]] = set()

    def load(self, image: Image) -> None:
        """See Engine. Also starts the recording."""
        self._event = next(event.id for event in image.events if event.kind == journal.EVENT_KIND)
        self.engine.load(image)
        self.writer.begin(self._described.meta, self._described.image)

    def poll(self, timeout_ms: int) -> Sequence[bytes | memoryview]:
        """See Engine: the records that are not ours."""
        rest = []
        order, event = self._order, self._event
        for item in self.engine.poll(timeout_ms):
            if int.from_bytes(item[:4], order) == event:  # type: ignore[arg-type]
                self._take(bytes(item))
            else:
                rest.append(item)
        self.writer.tick()
        return rest

    def _take(self, run: bytes) -> None:
        if self._described.meta.stack_maps:
            self._take_stacks(run)
        if run[journal.FLAGS] & journal.FULL:
            self.writer.full_runs += 1
        self.writer.add_run(run)

    def _take_stacks(self, run: bytes) -> None:
        size = _SIZES(run, journal.CONTEXT_SIZE)[0]
        start = journal.HEADER_BYTES + (size + 7 & ~7)
        for helper, _, key, result, _ in read_entries(run, start, len(run), "the ring buffer"):
            number = key >> journal.MAP_SHIFT
            if helper == _STACK_HELPER and result >= 0 and (number, result) not in self._stacks:
                self._stacks.add((number, result))
                name = self._described.meta.stack_maps[number]
                if "build_id" in name:  # no addresses
                    continue
                raw = self.engine.map(name).lookup(struct.pack("=I", result)) or b""
                addresses = struct.unpack(f"={len(raw) // 8}Q", raw[: len(raw) // 8 * 8])
                if 0 in addresses:
                    addresses = addresses[: addresses.index(0)]
                self.writer.add_stack(number, result, addresses)
                process = int.from_bytes(run[journal.TASK + 4 : journal.TASK + 8], "little")
                self._seen.append((name, process, addresses))

    def close(self) -> None:
        """See Engine. Also ends the recording."""
        try:
            self.poll(0)
            self._ask_all(self._seen)
            lost = self.engine.lost_events()
        except KloupeError:  # it was never loaded
            lost = 0
        self.writer.close(lost=lost, end_ns=time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        self.engine.close()

    # -- as the engine does ---------------------------------------------------------------------------------------

    def run_once(self, program: ProgramSpec) -> int:
        """See Engine."""
        return self.engine.run_once(program)

    def run_timed(self, program: ProgramSpec, repeat: int) -> int:
        """See Engine."""
        return self.engine.run_timed(program, repeat)

    def attach(self) -> list[AttachFailure]:
        """See Engine."""
        return self.engine.attach()

    def detach(self) -> None:
        """See Engine."""
        self.engine.detach()

    def map(self, name: str) -> MapAccess:
        """See Engine."""
        return self.engine.map(name)

    def lost_events(self) -> int:
        """See Engine."""
        return self.engine.lost_events()

    def missed_runs(self) -> Mapping[str, int]:
        """See session.receipt.CountsMissedRuns."""
        counted = getattr(self.engine, "missed_runs", None)
        return counted() if counted is not None else {}

    @property
    def finished(self) -> bool:
        """Whether no event can come any more."""
        return bool(getattr(self.engine, "finished", False))

    def fileno(self) -> int:
        """See Engine."""
        return self.engine.fileno()

    def __enter__(self) -> RecordingEngine:
        self.engine.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
