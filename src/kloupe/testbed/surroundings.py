"""What a script under test finds around it: symbols, users, the time and commands, all given by the test."""

from __future__ import annotations

from collections.abc import Mapping

from ..engine.machine.clock import VirtualClock
from ..engine.protocol import Engine
from ..output.sink import Sink
from ..session.symbolize import LiveNames

WALL_NS = 1_700_000_000_000_000_000  # 2023-11-14 22:13:20 UTC: where the script's clocks stand at 0
_CLOCKS = 3


class Captured(Sink):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__(-1, "full")
        self._kept: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Keep `data`."""
        self._kept.append(data)

    def flush(self) -> None:
        """Nothing to pass on."""

    def tick(self) -> None:
        """Nothing to pass on."""

    @property
    def text(self) -> str:
        """All of it."""
        return b"".join(self._kept).decode("utf-8", "surrogateescape")


class GivenSymbols:
    """A Symbolizer from a table; an address belongs to the symbol at or below it, at most 64 KiB away."""

    _REACH = 1 << 16

    def __init__(self, symbols: Mapping[int, str]) -> None:
        self._symbols = sorted(symbols.items(), reverse=True)

    def kernel(self, address: int) -> tuple[str, int] | None:
        """See `Symbolizer`."""
        for start, name in self._symbols:
            if start <= address < start + self._REACH:
                return name, address - start
        return None

    def user(self, pid: int, address: int, binary: str) -> tuple[str, int, str] | None:
        """See `Symbolizer`."""
        found = self.kernel(address)
        return (*found, binary) if found else None

    def remember(self, pid: int, *, files: bool = True) -> None:
        """See `Symbolizer`."""


class FixedNames(LiveNames):
    """Names that are the same on every machine."""

    def __init__(
        self, strings: tuple[str, ...], engine: Engine, symbols: Mapping[int, str], syscalls: Mapping[str, int]
    ) -> None:
        super().__init__(strings, engine, GivenSymbols(symbols), syscalls)
        self._clock_offsets = dict.fromkeys(range(_CLOCKS), WALL_NS)

    def username(self, uid: int) -> str:
        """`root` and `user1000`."""
        return "root" if uid == 0 else f"user{uid}"

    def cgroup_path(self, cgroup_id: int, filter: str) -> str:
        """`unified:/cgroup1`."""
        return f"unified:/cgroup{cgroup_id}"


class ScriptedOutside:
    """Commands print what the test says, files hold what it says; `asked` are the commands that were run."""

    def __init__(self, commands: Mapping[str, str], files: Mapping[str, str], clock: VirtualClock) -> None:
        self.asked: list[str] = []
        self._commands = commands
        self._files = files
        self._clock = clock

    def now_s(self) -> int:
        """See `Outside`."""
        return (WALL_NS + self._clock.now_ns) // 1_000_000_000

    def run(self, command: bytes) -> tuple[bytes, int]:
        """See `Outside`."""
        text = command.decode("utf-8", "replace")
        self.asked.append(text)
        return self._commands.get(text, "").encode(), 0

    def read(self, path: bytes, limit: int) -> bytes:
        """See `Outside`."""
        text = path.decode("utf-8", "replace")
        if text not in self._files:
            raise FileNotFoundError(2, "No such file or directory")
        return self._files[text].encode()[:limit]
