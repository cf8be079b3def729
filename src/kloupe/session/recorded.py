"""The session's side of recordings: symbols, users, times and commands, as asked while recording and answered in a replay."""

from __future__ import annotations

from collections.abc import Mapping

from ..engine.protocol import Engine
from ..recording.answers import CGROUP, COMMAND, FILE, KERNEL, OWNER, TIME, USER
from ..recording.read import Recording
from ..recording.write import RecordingWriter
from .outside import Outside
from .symbolize import LiveNames, Symbolizer

_CLOCKS = ("boot", "tai", "monotonic")  # as the numbers of Names.timestamp


class RecordingSymbolizer:
    """A Symbolizer that writes down what it answers."""

    def __init__(self, symbolizer: Symbolizer, writer: RecordingWriter) -> None:
        self._symbolizer = symbolizer
        self._writer = writer

    def kernel(self, address: int) -> tuple[str, int] | None:
        """See `Symbolizer`."""
        found = self._symbolizer.kernel(address)
        self._writer.add_answer(KERNEL, [address], list(found) if found else None)
        return found

    def user(self, pid: int, address: int, binary: str) -> tuple[str, int, str] | None:
        """See `Symbolizer`."""
        found = self._symbolizer.user(pid, address, binary)
        self._writer.add_answer(USER, [pid, address], list(found) if found else None)
        return found

    def remember(self, pid: int, *, files: bool = True) -> None:
        """See `Symbolizer`."""
        self._symbolizer.remember(pid, files=files)

    def ask_all(self, stacks: list[tuple[str, int, tuple[int, ...]]]) -> None:
        """Ask for all addresses of (stack map, process, addresses), so that other scripts can print these stacks."""
        for name, pid, addresses in stacks:
            for address in addresses:
                if name.startswith(".ustack"):
                    self.user(pid, address, "")
                else:
                    self.kernel(address)


class RecordingNames(LiveNames):
    """LiveNames that writes down what only this machine knows."""

    writer: RecordingWriter

    def username(self, uid: int) -> str:
        """See `Names`."""
        text = super().username(uid)
        self.writer.add_answer(OWNER, [uid], text)
        return text

    def cgroup_path(self, cgroup_id: int, filter: str) -> str:
        """See `Names`."""
        text = super().cgroup_path(cgroup_id, filter)
        self.writer.add_answer(CGROUP, [cgroup_id, filter], text)
        return text


class RecordingOutside:
    """An Outside that writes down every answer, in order."""

    def __init__(self, outside: Outside, writer: RecordingWriter) -> None:
        self._outside = outside
        self._writer = writer

    def now_s(self) -> int:
        """See `Outside`."""
        now = self._outside.now_s()
        self._writer.add_answer(TIME, [], now, once=False)
        return now

    def run(self, command: bytes) -> tuple[bytes, int]:
        """See `Outside`."""
        printed, status = self._outside.run(command)
        self._writer.add_answer(COMMAND, [command.hex()], [printed.hex(), status], once=False)
        return printed, status

    def read(self, path: bytes, limit: int) -> bytes:
        """See `Outside`."""
        try:
            data = self._outside.read(path, limit)
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None) or 22
            self._writer.add_answer(FILE, [path.hex()], [number, getattr(error, "strerror", "") or ""], once=False)
            raise
        self._writer.add_answer(FILE, [path.hex()], data.hex(), once=False)
        return data


class RecordedSymbols:
    """The Symbolizer of a replay."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def kernel(self, address: int) -> tuple[str, int] | None:
        """See `Symbolizer`."""
        found = self._recording.answer(KERNEL, [address])
        return (str(found[0]), int(found[1])) if isinstance(found, list) and len(found) == 2 else None

    def user(self, pid: int, address: int, binary: str) -> tuple[str, int, str] | None:
        """See `Symbolizer`."""
        found = self._recording.answer(USER, [pid, address])
        if isinstance(found, list) and len(found) == 3:
            return str(found[0]), int(found[1]), str(found[2])
        return None

    def remember(self, pid: int, *, files: bool = True) -> None:
        """See `Symbolizer`."""


class ReplayNames(LiveNames):
    """Names as they were when the recording was made."""

    def __init__(
        self, recording: Recording, engine: Engine, strings: tuple[str, ...], calls: Mapping[str, int]
    ) -> None:
        super().__init__(strings, engine, RecordedSymbols(recording), calls, recording.meta.little_endian)
        self._recording = recording
        clocks = recording.meta.clocks
        self._clock_offsets = {number: clocks["wall"] - clocks[name] for number, name in enumerate(_CLOCKS)}

    def username(self, uid: int) -> str:
        """See `Names`."""
        found = self._recording.answer(OWNER, [uid])
        return found if isinstance(found, str) else str(uid)

    def cgroup_path(self, cgroup_id: int, filter: str) -> str:
        """See `Names`."""
        found = self._recording.answer(CGROUP, [cgroup_id, filter])
        return found if isinstance(found, str) else ""


class ReplayOutside:
    """What the world answered while recording, in order. Nothing is run and no file is read. `clock_ns` is the recording's time."""

    def __init__(self, recording: Recording, engine: Engine) -> None:
        self._left = {kind: iter(found) for kind, found in recording.sequences.items()}
        self._clocks = recording.meta.clocks
        self._engine = engine

    def _next(self, kind: str, question: list[object]) -> object:
        for asked, answer in self._left.get(kind, iter(())):
            if asked == question:
                return answer
        return None

    def now_s(self) -> int:
        """See `Outside`."""
        found = self._next(TIME, [])
        if isinstance(found, int):
            return found
        clock = getattr(self._engine, "clock", None)
        now_ns = clock.now_ns if clock is not None else self._clocks["monotonic"]
        return int(now_ns - self._clocks["monotonic"] + self._clocks["wall"]) // 1_000_000_000

    def run(self, command: bytes) -> tuple[bytes, int]:
        """See `Outside`."""
        found = self._next(COMMAND, [command.hex()])
        if isinstance(found, list) and len(found) == 2:
            return bytes.fromhex(found[0]), int(found[1])
        return (bytes.fromhex(found) if isinstance(found, str) else b""), 0  # recordings had no status at first

    def read(self, path: bytes, limit: int) -> bytes:
        """See `Outside`. Raises OSError as it was recorded, or when the file was not read then."""
        found = self._next(FILE, [path.hex()])
        if isinstance(found, str):
            return bytes.fromhex(found)[:limit]
        if isinstance(found, list):
            raise OSError(*found)
        raise FileNotFoundError(2, "not in the recording")
