"""A tracing folder of tracefs: the top level or an instance. Reads and writes of its files, with the kernel's refusals explained."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from ...base.errors import MissingFacts, NotSupported, PermissionNeeded, UsageError
from ...host.proc import lockdown_mode

_READ_BYTES = 1 << 20
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV)


class TracingFolder:
    """`root` is where tracefs is mounted; `instance` the name below `instances/`, empty for the top level.

    Source of the files' meanings: Documentation/trace/ftrace.rst and events.rst.
    """

    def __init__(self, root: str, instance: str = "") -> None:
        self.root = root
        self.instance = instance
        self.place = f"instances/{instance}/" if instance else ""

    @property
    def path(self) -> str:
        """The folder's path, without a trailing slash."""
        return f"{self.root}/{self.place}".rstrip("/")

    @property
    def top(self) -> TracingFolder:
        """The top level of the same tracefs."""
        return TracingFolder(self.root)

    def relative(self, name: str) -> str:
        """The path of a file below the root, as journals keep it."""
        return self.place + name

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return os.path.exists(f"{self.path}/{name}")

    def read(self, name: str) -> str:
        """A file's text. Raises NotSupported when there is none, PermissionNeeded, MissingFacts."""
        try:
            with open(f"{self.path}/{name}", encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except OSError as error:
            raise explain_refusal(error, self.relative(name), "read") from None

    def get(self, name: str, default: str = "") -> str:
        """A file's text without surrounding white space; `default` when there is no such file."""
        return self.read(name).strip() if self.has(name) else default

    def words(self, name: str) -> list[str]:
        """The words of a file; none when there is no such file."""
        return self.get(name).split()

    def write(self, name: str, text: str) -> None:
        """Write a value. Raises NotSupported, PermissionNeeded, UsageError (with what the kernel's error log says)."""
        self._write(name, text, 0)

    def append(self, name: str, text: str) -> None:
        """Add to a list (a filter, pids, a trigger). Raises as `write` does."""
        # Without the newline the kernel looks at the line only when the file is closed, and keeps its refusal to itself.
        self._write(name, f"{text}\n", os.O_APPEND)

    def replace_lines(self, name: str, lines: Iterable[str]) -> None:
        """Empty a list and add each line. Raises as `write` does."""
        self.clear(name)
        for line in lines:
            self.append(name, line)

    def clear(self, name: str) -> None:
        """Empty a list, or with `trace` the buffer. Raises as `write` does."""
        self._write(name, "", os.O_TRUNC)

    def _write(self, name: str, text: str, flags: int) -> None:
        try:
            fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC | flags)
            try:
                if text:
                    os.write(fd, text.encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)
        except OSError as error:
            raise explain_refusal(error, self.relative(name), "write", text, self._last_complaint(error)) from None

    def _last_complaint(self, error: OSError) -> str:
        """What the kernel's error log says about the write that has just failed, without the place and time."""
        if error.errno != errno.EINVAL or not self.has("error_log"):
            return ""
        blocks = self.read("error_log").split("\n[")
        lines = blocks[-1].strip().splitlines()
        return lines[0].partition("error: ")[2].removeprefix("error: ") if lines else ""

    def cpus(self) -> list[int]:
        """The CPUs that have a buffer."""
        try:
            names = os.listdir(f"{self.path}/per_cpu")
        except OSError as error:
            raise explain_refusal(error, self.relative("per_cpu"), "read") from None
        return sorted(int(name[3:]) for name in names if name.startswith("cpu") and name[3:].isdecimal())

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder; none when there is no such folder."""
        try:
            return sorted(os.listdir(f"{self.path}/{folder}"))
        except OSError:
            return []

    def stats(self, cpu: int) -> dict[str, int]:
        """The counters of a CPU's buffer: entries, overrun, "dropped events", "read events", ... (whole numbers only)."""
        found = {}
        for line in self.get(f"per_cpu/cpu{cpu}/stats").splitlines():
            name, _, value = line.partition(":")
            if value.strip().isdecimal():
                found[name] = int(value)
        return found

    def total(self, counter: str) -> int:
        """A counter of `stats`, summed over the CPUs."""
        return sum(self.stats(cpu).get(counter, 0) for cpu in self.cpus())


def _permission_hint() -> str:
    if os.geteuid() != 0:
        return "run as root"
    mode = lockdown_mode()
    why = (
        f"it is locked down ({mode})"
        if mode not in ("", "none")
        else "it is locked down or built so, or this is a container"
    )
    return f"the kernel denies this even to root: {why}"


def explain_refusal(
    error: OSError, name: str, verb: str, text: str = "", complaint: str = ""
) -> NotSupported | PermissionNeeded | UsageError | MissingFacts:
    """The kernel's errno as one of our errors."""
    what = f"cannot {verb} {text.strip()!r} to {name}" if text else f"cannot {verb} {name}"
    reason = f"{what}: {complaint or error.strerror}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return PermissionNeeded(reason, hint=_permission_hint())
    if error.errno in _NO_FILE:
        return NotSupported(reason, hint=f"this kernel's tracefs has no {name}")
    if verb == "read":
        return MissingFacts(reason)
    if error.errno == errno.EBUSY:
        return UsageError(reason, hint="somebody else is using it: kloupe ftrace restore lists who")
    return UsageError(reason)
