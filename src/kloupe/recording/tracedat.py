"""A trace.dat as a recording: its tracepoint events as runs that read no memory."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator

from ..base import journal
from ..base.errors import FormatError, NotSupported, UsageError
from ..ftrace.tracedat import Event, TraceFile
from ..image import Image
from .meta import Meta
from .read import Recording

_HEADER = struct.Struct("=" + journal.HEADER_FORMAT)
_COMMON = struct.Struct("=Hxxi").unpack_from  # common_type, common_pid
_NOBODY = 0xFFFFFFFF  # a trace.dat does not tell users
_CHUNK_BYTES = 1 << 20
_WORD_BYTES = 8


class TraceDatRecording(Recording):
    """The main buffer of a trace.dat. A process is known where trace-cmd recorded it (saved tgids), else it is taken to be the thread."""

    def _read_all(self) -> Meta:
        self._file = TraceFile(self.path)
        if (self._file.order == "<") != (sys.byteorder == "little"):
            raise NotSupported(f"{self.path} is from a machine with another byte order")
        self._numbers = {number: index for index, number in enumerate(self._file.formats)}
        names = [(system, event) for system, event, _ in self._file.formats.values()]
        first = next(self._file.events(), Event(0, 0, b"")).time_ns
        words = self._file.uname.split()
        self.complete = True
        return Meta(
            arch=words[-1] if words else os.uname().machine,
            little_endian=sys.byteorder == "little",
            release=words[2] if len(words) > 2 else os.uname().release,
            page_size=self._file.page_bytes,
            cpus=1 + max((place.cpu for place in self._file.buffers), default=0),
            clocks=dict.fromkeys(("monotonic", "boot", "tai", "wall"), first),
            task={"pid": 0, "tid": 0, "uid": _NOBODY, "gid": _NOBODY, "ppid": 0, "cgroup_id": 0, "comm": ""},
            points=[[f"tracepoint:{system}:{event}"] for system, event in names],
            stack_maps=[],
            formats={f"{system}:{event}": text for system, event, text in self._file.formats.values()},
        )

    @property
    def image(self) -> Image:
        """There is none: raises UsageError."""
        raise UsageError("a trace.dat has no script of its own", hint=f"kloupe --replay {self.path} SCRIPT")

    def chunks(self) -> Iterator[bytes]:
        """See Recording."""
        pieces: list[bytes] = []
        size = 0
        for event in self._file.events():
            made = self._run(event)
            if made:
                pieces.append(made)
                size += len(made)
            if size >= _CHUNK_BYTES:
                yield b"".join(pieces)
                pieces, size = [], 0
        if pieces:
            yield b"".join(pieces)

    def _run(self, event: Event) -> bytes:
        """The event as a journal; empty for one whose format the file does not have."""
        if len(event.data) < _WORD_BYTES:
            raise FormatError(self.path, 0, "an event is shorter than the fields that all have")
        number, thread = _COMMON(event.data)
        program = self._numbers.get(number)
        if program is None:
            return b""
        context = event.data[: journal.LARGEST_CONTEXT]
        padding = -len(context) % _WORD_BYTES
        head = _HEADER.pack(
            journal.HEADER_BYTES + len(context) + padding,
            program,
            event.time_ns,
            self._file.tgids.get(thread, thread) << 32 | thread & 0xFFFFFFFF,
            _NOBODY << 32 | _NOBODY,
            0,
            0,
            (self._file.comms.get(thread, "<...>") if thread else f"swapper/{event.cpu}").encode()[:15],
            event.cpu,
            len(context),
            journal.CUT if len(context) < len(event.data) else 0,
            0,
            0,
        )
        return head + context + bytes(padding)
