"""Finding tracefs, or mounting one that only we can see.

When no tracefs is mounted we make a detached mount (fsopen, fsconfig, fsmount; kernel 5.2), which is visible nowhere: no namespace is
changed, children are not affected, and it goes away with its descriptor. Its files are reached below `/proc/self/fd/N`.
"""

from __future__ import annotations

import errno
import os

from ..base.errors import MissingFacts, NotSupported, PermissionNeeded
from .proc import read_text
from .syscall import NUMBERS, address_of, syscall

_STANDARD = "/sys/kernel/tracing"
_FSOPEN_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6
_FSMOUNT_CLOEXEC = 1
_HINT = "as root: mount -t tracefs nodev /sys/kernel/tracing"

_root: str | None = None


def _holds_tracefs(folder: str) -> bool:
    return os.path.exists(f"{folder}/trace_marker") or os.path.exists(f"{folder}/events")


def find_mounted() -> str | None:
    """The folder of a tracefs that is mounted here, or None. A debugfs automount is not triggered."""
    if _holds_tracefs(_STANDARD):
        return _STANDARD
    for line in (read_text("/proc/self/mounts") or "").splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] == "tracefs":
            return fields[1].encode().decode("unicode_escape")
    return None


def open_detached(file_system: str = "tracefs") -> int:
    """A descriptor of a fresh mount that is attached nowhere. Raises OSError."""
    name = bytearray(file_system.encode() + b"\0")
    context = syscall(NUMBERS["fsopen"], address_of(name), _FSOPEN_CLOEXEC)
    try:
        syscall(NUMBERS["fsconfig"], context, _FSCONFIG_CMD_CREATE)
        return syscall(NUMBERS["fsmount"], context, _FSMOUNT_CLOEXEC)
    finally:
        os.close(context)


def ensure_tracefs() -> str:
    """The folder of tracefs, without a trailing slash; mounts one for this process alone when there is none.

    Raises PermissionNeeded, NotSupported or MissingFacts, each with what to do. The answer is kept.
    """
    global _root
    if _root is None:
        _root = find_mounted() or f"/proc/self/fd/{_open_or_explain()}"
        if not os.access(f"{_root}/events", os.R_OK | os.X_OK):
            folder, _root = _root, None
            raise PermissionNeeded(f"{folder} is not readable for this user", hint="run as root")
    return _root


def _open_or_explain() -> int:
    try:
        return open_detached()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise PermissionNeeded("tracefs is not mounted, and mounting it needs CAP_SYS_ADMIN", hint=_HINT) from error
        if error.errno == errno.ENODEV:
            raise NotSupported("this kernel has no tracefs", hint="it needs CONFIG_TRACING") from error
        raise MissingFacts(f"tracefs is not mounted, and cannot be: {error.strerror}", hint=_HINT) from error


def tracepoint_id(category: str, event: str) -> int:
    """The number of a tracepoint, for perf_event_open. Raises MissingFacts when there is no such tracepoint."""
    text = read_text(f"{ensure_tracefs()}/events/{category}/{event}/id")
    if text is None:
        raise MissingFacts(f"tracepoint {category}:{event} does not exist", hint="list them: kloupe -l 'tracepoint:*'")
    return int(text)
