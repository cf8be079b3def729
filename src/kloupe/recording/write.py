"""Writing a recording: runs are gathered and written block by block."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Sequence

from ..base.errors import UsageError
from .format import ANSWERS, END, IMAGE, MAGIC, META, RUNS, STACKS, encode_block
from .meta import Meta

_BLOCK_BYTES = 1 << 20
_LONGEST_S = 1.0  # how long a run waits before it is in the file
_MOST_KNOWN = 1 << 16  # questions that are remembered as answered; after that some are answered twice
_MOST_WAITING = 1 << 13  # stacks and answers that wait for their block
_LENGTH = struct.Struct("=I").pack

Answer = str | int | list[object] | None


class RecordingWriter:
    """Writes a recording to `path`. Memory is bounded by one block and what is remembered of answers. Raises UsageError when the file cannot be written."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.runs = 0
        self.full_runs = 0
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._stacks: list[tuple[int, int, Sequence[int]]] = []
        self._answers: list[list[object]] = []
        self._known: set[str] = set()
        self._last_s = time.monotonic()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write the recording '{path}': {error.strerror}") from None
        self._write(MAGIC)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise UsageError(f"cannot write the recording '{self.path}': {error.strerror}") from None

    def begin(self, meta: Meta, image: bytes) -> None:
        """The first two blocks: the description, and the script compiled without recording (an image file)."""
        self._write(encode_block(META, meta.to_bytes()) + encode_block(IMAGE, image))

    def add_run(self, record: bytes) -> None:
        """A journal as the program sent it (see base/journal); its first word becomes its length."""
        self.runs += 1
        self._pieces += (_LENGTH(len(record)), record[4:])
        self._bytes += len(record)
        if self._bytes >= _BLOCK_BYTES:
            self.flush()

    def add_stack(self, map_number: int, stack_id: int, addresses: Sequence[int]) -> None:
        """What a stack map holds under an id; before the first run that names it is written."""
        self._stacks.append((map_number, stack_id, addresses))
        if len(self._stacks) >= _MOST_WAITING:
            self._write_facts()

    def add_answer(self, kind: str, question: Sequence[object], answer: Answer, *, once: bool = True) -> None:
        """What the world outside of the programs answered; the same question is kept `once`, or each time, in order."""
        if once:
            key = json.dumps([kind, question])
            if key in self._known:
                return
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known.add(key)
        self._answers.append([kind, list(question), answer])
        if len(self._answers) >= _MOST_WAITING:
            self._write_facts()

    def tick(self) -> None:
        """Write what waits for too long."""
        now = time.monotonic()
        if now - self._last_s >= _LONGEST_S:
            self.flush()
            self._last_s = now

    def flush(self) -> None:
        """Write all that was gathered: stacks and answers first, so that runs find them."""
        self._write_facts()
        if self._pieces:
            self._write(encode_block(RUNS, b"".join(self._pieces)))
            self._pieces, self._bytes = [], 0

    def _write_facts(self) -> None:
        if self._stacks:
            self._write(encode_block(STACKS, json.dumps(self._stacks).encode()))
            self._stacks = []
        if self._answers:
            self._write(encode_block(ANSWERS, json.dumps(self._answers).encode()))
            self._answers = []

    def close(self, *, lost: int = 0, end_ns: int = 0) -> None:
        """The last block: how many runs there are and how many were lost, and when it ended. May be called twice."""
        if self._fd < 0:
            return
        try:
            self.flush()
            summary = {"runs": self.runs, "lost": lost, "end_ns": end_ns, "full_runs": self.full_runs}
            self._write(encode_block(END, json.dumps(summary).encode()))
        finally:
            os.close(self._fd)
            self._fd = -1
