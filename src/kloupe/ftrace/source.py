"""A trace to be looked at, wherever it comes from: the tables that decoding needs, and the pages of each CPU."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from ..base.record import field, record
from .batch import Window, batches, merge_batches
from .decode.compile import Context
from .decode.eventformat import EventFormat, parse_event_format
from .decode.signatures import Signatures
from .decode.symbols import Symbols
from .decode.values import FieldValue
from .tracedat import TraceFile

_IDLE = "<idle>"
_UNKNOWN = "<...>"
_PRINTK = re.compile(rb"^(0x[0-9a-f]+) : \"(.*)\"$", re.MULTILINE)


class Formats(dict[int, EventFormat | None]):
    """Event id -> its format, parsed when the first such event is met; None for an id that the trace does not describe."""

    def __init__(self, texts: dict[int, tuple[str, str, str]]) -> None:
        super().__init__()
        self.texts = texts

    def __missing__(self, number: int) -> EventFormat | None:
        system, _, text = self.texts.get(number, ("", "", ""))
        found = self[number] = parse_event_format(system, text)
        return found

    def named(self, system: str, name: str) -> EventFormat | None:
        """An event's format by name."""
        return next((self[n] for n, (s, e, _) in self.texts.items() if (s, e) == (system, name)), None)


class Comms(dict[int, str]):
    """Thread -> name; `<idle>` for 0, `<...>` for one that is not known."""

    def __missing__(self, pid: int) -> str:
        return _UNKNOWN if pid else _IDLE


@record(eq=False)
class Stream:
    """The pages of one CPU of one instance; `size` is about how many bytes they are. `sample(n)` gives about n pages from all over."""

    cpu: int
    pages: Callable[[], Iterator[bytes]]
    size: int
    sample: Callable[[int], Iterator[bytes]]


@record(eq=False)
class Instance:
    """What one tracing instance gave. The main one has the name ""."""

    name: str
    clock: str
    streams: list[Stream] = field(default_factory=list)

    def streams_of(self, cpus: set[int] | None) -> list[Stream]:
        """Those of these CPUs, or of all, in order."""
        chosen = [stream for stream in self.streams if cpus is None or stream.cpu in cpus]
        return sorted(chosen, key=lambda stream: stream.cpu)


class Trace:
    """A trace. `problems` grows while it is read: what was damaged or could not be decoded, each once."""

    def __init__(
        self,
        order: str,
        long_bytes: int,
        formats: dict[int, tuple[str, str, str]],
        comms: dict[int, str],
        kallsyms: Callable[[], bytes],
        printk: bytes = b"",
    ) -> None:
        self.order = order
        self.long_bytes = long_bytes
        self.formats = Formats(formats)
        self.comms = Comms(comms)
        self.tgids: dict[int, int] = {}
        self.instances: list[Instance] = []
        self.cpu_count = 0
        self.offset_ns = 0
        self.uname = ""
        self.latency_text = ""  # what a latency tracer's file has instead of events
        self.problems: list[str] = []
        self.btf: Callable[[], bytes] = bytes
        self.probes: dict[
            str, tuple[str, bool]
        ] = {}  # events made for --args and --retval: (function, whether it is its return)
        self._signatures: Signatures | None = None
        strings = {int(address, 16): _printk_text(text) for address, text in _PRINTK.findall(printk)}
        self.context = Context(order, long_bytes, Symbols(kallsyms), strings)

    def complain(self, problem: str) -> None:
        """Keep a problem, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def warm_up(self) -> None:
        """Read what decoding will need, before processes are forked that would each read it."""
        self.context.symbols[0]

    def arguments(self, function: int, values: list[int]) -> dict[str, FieldValue]:
        """The arguments of a call by name, decoded by the kernel's types where those are known."""
        return self.signatures.decode(self.context.symbols[function][0], values)

    @property
    def signatures(self) -> Signatures:
        """The types of functions, read when they are first asked for."""
        if self._signatures is None:
            self._signatures = Signatures(self.btf, self.long_bytes)
        return self._signatures

    def windows(self, instance: Instance, cpus: set[int] | None = None) -> Iterator[Window]:
        """The records of an instance in order of time, of these CPUs or all."""
        return merge_batches(
            (stream.cpu, batches(stream.pages(), self.order, self.long_bytes, self.complain))
            for stream in instance.streams_of(cpus)
        )


def _printk_text(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return text.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"').replace("\\\\", "\\")


_PROBES = re.compile(r"kloupe_\d+", re.ASCII)


def _probes_of(formats: dict[int, tuple[str, str, str]]) -> dict[str, tuple[str, bool]]:
    """The events that --args and --retval made, by their names (control/probes.py)."""
    found = {}
    for system, name, _ in formats.values():
        function, _, kind = name.rpartition("__")
        if _PROBES.fullmatch(system) and kind in ("entry", "return"):
            found[name] = function, kind == "return"
    return found


def open_trace(path: str) -> Trace:
    """A trace.dat as a trace. Raises UsageError, FormatError, NotSupported."""
    file = TraceFile(path)
    trace = Trace(file.order, file.long_bytes, file.formats, file.comms, file.kallsyms, file.printk_formats)
    trace.tgids = file.tgids
    trace.uname = file.uname
    trace.latency_text = file.latency_text
    trace.offset_ns = file.offset_ns
    trace.problems = file.problems
    trace.btf = file.btf
    trace.probes = _probes_of(trace.formats.texts)
    trace.cpu_count = file.cpu_count or max((len(buffer.cpus) for buffer in file.all_buffers), default=0)
    for buffer in file.all_buffers:
        streams = [
            Stream(
                place.cpu, partial(file.pages, buffer, place), file.raw_size(place), partial(file.sample, buffer, place)
            )
            for place in buffer.cpus
            if place.size
        ]
        trace.instances.append(Instance(buffer.name, buffer.clock, streams))
    return trace
