"""A tracing session: a place of its own in tracefs (an instance, or the top level under a journal), set up, started, ended."""

from __future__ import annotations

import itertools
import os
from types import TracebackType

from ...base.errors import KloupeError, TargetError
from .folder import TracingFolder, explain_refusal
from .holders import require_free_top_level
from .journal import Journal, Restored, Step, restore_killed
from .knobs import Knobs
from .request import Request
from .setup import apply, needs_top_level, require_tracer

_counter = itertools.count(1)


class Session:
    """Use it as a context manager: `start`, `stop`, read its `folder`. Everything is put back at the end, also after an error.

    Raises UsageError when somebody else uses what is needed, NotSupported for what the kernel lacks. `restored` tells what
    was undone first, of sessions that had been killed. `root` is where tracefs is mounted.
    """

    def __init__(self, root: str, request: Request, *, clear: bool = False) -> None:
        self.request = request
        self.top = TracingFolder(root)
        self.restored: list[Restored] = restore_killed(root)
        require_tracer(self.top, request.tracer)
        name = f"kloupe-{os.getpid()}-{next(_counter)}"
        self.journal = Journal(root, f"instances/{name}")
        self._stopped = True
        try:
            self._set_up(root, name, clear)
        except BaseException:
            self.close()
            raise

    def _set_up(self, root: str, name: str, clear: bool) -> None:
        self.folder = TracingFolder(root, name)
        self.own = True
        self.journal.note(Step("rmdir", f"instances/{name}"))
        try:
            os.mkdir(self.folder.path)
        except OSError as error:
            if self.top.has("instances"):
                raise explain_refusal(error, f"instances/{name}", "make") from None
            self.own = False
        if not self.own or needs_top_level(self.top, self.folder, self.request):
            self._take_top_level(root, clear)
        self.knobs = Knobs(self.folder, self.journal, own=self.own)
        apply(self.knobs, self.request)

    def _take_top_level(self, root: str, clear: bool) -> None:
        why = f"the tracer {self.request.tracer}" if self.request.tracer != "nop" else "this"
        self.journal.restore()
        self.journal = Journal(root, "")
        self.folder, self.own = self.top, False
        require_free_top_level(self.top, why, clear=clear)
        self.journal.note(Step("lines", "trace"))  # empty before, empty after
        if clear:
            self.top.clear("trace")

    def start(self) -> None:
        """Switch tracing on."""
        self._stopped = False
        self.knobs.set("tracing_on", "1")

    def stop(self) -> None:
        """Switch tracing off; the buffer stays. A second call does nothing."""
        if not self._stopped:
            self._stopped = True
            self.folder.write("tracing_on", "0")

    def lost(self) -> int:
        """Events that were overwritten or dropped because the buffers were full."""
        return self.folder.total("overrun") + self.folder.total("dropped events")

    def close(self) -> None:
        """Put everything back. Raises TargetError for what could not be; a second call does nothing."""
        trouble = self.journal.restore()
        if trouble:
            raise TargetError("\n".join(trouble), hint="kloupe ftrace restore tries again")

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except KloupeError:
            if error is None:
                raise
