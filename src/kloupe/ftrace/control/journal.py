"""The journal of a session: how to undo each change, on disk before the change is made.

One file per session, locked while its process lives: a file that can be locked belongs to a session that was killed. The first
line is a header; each further line is an undo step. Steps are undone newest first, and undoing twice is harmless. After a
reboot the kernel has forgotten everything, so journals of another boot are dropped.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from ...base.errors import FormatError, MissingFacts, PermissionNeeded
from ...base.record import record
from ...host.proc import read_text

_SUFFIX = ".journal"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_BUSY_S = 2.0  # how long an instance may stay busy after its last reader has closed it


def state_folder() -> str:
    """Where journals are: KLOUPE_STATE_DIR, else /var/lib/kloupe for root and ~/.local/state/kloupe for others."""
    given = os.environ.get("KLOUPE_STATE_DIR")
    if given:
        return f"{given}/ftrace"
    if os.geteuid() == 0:
        return "/var/lib/kloupe/ftrace"
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return f"{home}/kloupe/ftrace"


def prepare_state_folder() -> str:
    """The folder, made if need be. Raises PermissionNeeded when others could write to it: its files are obeyed."""
    folder = state_folder()
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.lstat(folder)
    except OSError as error:
        raise PermissionNeeded(
            f"cannot make {folder}: {error.strerror}", hint="KLOUPE_STATE_DIR names another folder"
        ) from None
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionNeeded(
            f"{folder} can be written by others, and what it says is obeyed", hint=f"chown and chmod 700 {folder}"
        )
    return folder


@record(frozen=True)
class Step:
    """One undo: `kind` is a key of UNDO, `name` a path below tracefs, `texts` what to write."""

    kind: str
    name: str
    texts: tuple[str, ...] = ()


@record(frozen=True)
class Header:
    """Whose journal it is. `claims` is the place that no other session may use meanwhile ("" is the top level, else an instance)."""

    boot: str
    pid: int
    command: str
    claims: str


class Journal:
    """The journal of this process's session."""

    def __init__(self, root: str, claims: str, command: str = "") -> None:
        folder = prepare_state_folder()
        self.root = root
        self.path = f"{folder}/{os.getpid()}-{time.monotonic_ns():x}{_SUFFIX}"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self._steps: list[Step] = []
        boot = read_text(_BOOT_ID) or ""
        command = command or " ".join(sys.argv)
        self._add({"boot": boot, "pid": os.getpid(), "command": command, "claims": claims})

    def _add(self, line: object) -> None:
        os.write(self._fd, json.dumps(line).encode() + b"\n")
        os.fdatasync(self._fd)

    def note(self, step: Step) -> None:
        """Keep how to undo what is about to be done."""
        self._add([step.kind, step.name, list(step.texts)])
        self._steps.append(step)

    def restore(self) -> list[str]:
        """Undo everything and drop the journal; gives what could not be undone (the journal then stays). A second call does nothing."""
        if self._fd < 0:
            return []
        trouble = undo_all(self.root, self._steps)
        self._steps = []
        os.close(self._fd)
        self._fd = -1
        if not trouble:
            with suppress(OSError):
                os.unlink(self.path)
        return trouble


# -- undoing ------------------------------------------------------------------------------------------------------


def _put(path: str, text: str, flags: int = 0) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags)
    try:
        if text:
            os.write(fd, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)


def _undo_write(path: str, texts: tuple[str, ...]) -> None:
    _put(path, texts[0])


def _undo_lines(path: str, texts: tuple[str, ...]) -> None:
    _put(path, "", os.O_TRUNC)
    for text in texts:
        _put(path, f"{text}\n", os.O_APPEND)


def _undo_append(path: str, texts: tuple[str, ...]) -> None:
    for text in texts:
        with suppress(OSError):  # it was never added, or is gone
            _put(path, f"{text}\n", os.O_APPEND)


def _undo_instance(path: str, texts: tuple[str, ...]) -> None:
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            os.rmdir(path)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


UNDO = {"write": _undo_write, "lines": _undo_lines, "append": _undo_append, "rmdir": _undo_instance}


def undo_all(root: str, steps: list[Step]) -> list[str]:
    """Undo steps, newest first; gives a message for each that failed. What is not there (any more) needs no undoing."""
    trouble = []
    for step in reversed(steps):
        try:
            UNDO[step.kind](f"{root}/{step.name}", step.texts)
        except FileNotFoundError:
            continue
        except OSError as error:
            trouble.append(f"cannot restore {step.name}: {error.strerror}")
    return trouble


# -- journals of others -------------------------------------------------------------------------------------------


def _parse(path: str, text: str) -> tuple[Header, list[Step]]:
    """A last line that was not finished is no step: its change has not been made."""
    lines = text.split("\n")[:-1]
    try:
        head = json.loads(lines[0])
        header = Header(str(head["boot"]), int(head["pid"]), str(head["command"]), str(head["claims"]))
        steps = [Step(str(kind), str(name), tuple(map(str, texts))) for kind, name, texts in map(json.loads, lines[1:])]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise FormatError(path, 0, f"not a journal: {error}") from None
    if any(step.kind not in UNDO or ".." in step.name.split("/") or step.name.startswith("/") for step in steps):
        raise FormatError(path, 0, "a journal with steps that kloupe does not make")
    return header, steps


def _journals() -> Iterator[tuple[str, int]]:
    """(path, descriptor) of every journal; the caller closes."""
    folder = state_folder()
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
    except FileNotFoundError:
        return
    except OSError as error:
        raise MissingFacts(f"cannot read {folder}: {error.strerror}") from None
    prepare_state_folder()
    for name in names:
        with suppress(FileNotFoundError):
            yield f"{folder}/{name}", os.open(f"{folder}/{name}", os.O_RDWR | os.O_CLOEXEC)


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _content(fd: int) -> str:
    return os.pread(fd, os.fstat(fd).st_size, 0).decode("utf-8", "surrogateescape")


def living_sessions() -> list[Header]:
    """The sessions of other kloupe processes that run now."""
    found = []
    for path, fd in _journals():
        try:
            if not _is_free(fd):
                found.append(_parse(path, _content(fd))[0])
        except FormatError:
            continue  # it is writing its first line
        finally:
            os.close(fd)
    return [header for header in found if header.pid != os.getpid()]


@record(frozen=True)
class Restored:
    """What was done about the journal of a session that was killed."""

    header: Header
    steps: int
    trouble: tuple[str, ...]


def restore_killed(root: str) -> list[Restored]:
    """Undo what sessions left that were killed; removes their journals. Raises FormatError for a file that is no journal."""
    boot = read_text(_BOOT_ID) or ""
    done = []
    for path, fd in _journals():
        try:
            if not _is_free(fd) or not os.path.exists(path):
                continue
            text = _content(fd)
            if "\n" not in text:  # killed before its first step
                os.unlink(path)
                continue
            header, steps = _parse(path, text)
            if header.boot != boot:
                os.unlink(path)
                continue
            trouble = tuple(undo_all(root, steps))
            if not trouble:
                os.unlink(path)
            done.append(Restored(header, len(steps), trouble))
        finally:
            os.close(fd)
    return done
