"""What a tracefs folder tells: tracepoints, their formats, the functions that can be traced. Reads only, mounts nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..base.errors import MissingFacts, PermissionNeeded, TargetError
from .patterns import is_pattern, matcher
from .target import TracepointFormat

if TYPE_CHECKING:
    from ..cfront import Known

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


class TracingDir:
    """A tracefs mount or a copy of one. The first of `places` with an `events` folder is used, looked for until found.

    `locate` gives the folder when none of them has it, or raises what is in the way (host.tracefs mounts one for us alone).
    """

    def __init__(self, places: Sequence[str] = PLACES, locate: Callable[[], str] | None = None) -> None:
        self._places = places
        self._locate = locate
        self._path: str | None = None
        self._formats: dict[tuple[str, str], TracepointFormat | None] = {}
        self._functions: list[tuple[str, str]] | None = None
        self.has_own_functions = False  # `use_functions` gave the list in place of the kernel's

    @property
    def path(self) -> str | None:
        """The folder, or None while there is none. Raises PermissionNeeded when it may not be entered."""
        if self._path is None:
            for place in self._places:
                if os.path.isdir(f"{place}/events"):
                    self._path = place
                    break
                if os.path.isdir(place) and not os.access(place, os.X_OK):
                    raise PermissionNeeded(f"cannot read {place}", hint="run as root, or give access to tracefs")
        return self._path

    def require(self) -> str:
        """The folder. Raises MissingFacts without one."""
        path = self.path
        if path is None and self._locate is not None:
            path = self._path = self._locate()
        if path is None:
            raise MissingFacts("tracefs is not mounted", hint=f"mount -t tracefs nodev {self._places[0]}")
        return path

    def tracepoint(self, category: str, event: str, known: Known | None = None) -> TracepointFormat | None:
        """A tracepoint's format, or None when there is no such tracepoint. `known` has the structs that fields point to."""
        key = (category, event)
        if key not in self._formats:
            self._formats[key] = self._read_format(category, event, known)
        return self._formats[key]

    def _read_format(self, category: str, event: str, known: Known | None) -> TracepointFormat | None:
        if "/" in category or "/" in event or "\0" in category + event:
            return None
        path = f"{self.require()}/events/{category}/{event}/format"
        text = read_text(path)
        if text is None:
            return None
        from ..cfront import parse_tracepoint_format

        found = parse_tracepoint_format(text, known, path)
        return TracepointFormat(category, event, found.id, found.fields, found.print_fmt)

    def tracepoints(self, category: str, event: str) -> list[tuple[str, str]]:
        """(category, event) of all tracepoints that match both patterns, sorted."""
        root = f"{self.require()}/events"
        if not is_pattern(category) and not is_pattern(event):
            names = {category, event} & {"", ".", ".."} or "/" in category + event
            return [(category, event)] if not names and os.path.isfile(f"{root}/{category}/{event}/format") else []
        listed = read_text(f"{self.require()}/available_events")
        pairs = _listed_events(listed) if listed is not None else _event_folders(root)
        wants_category, wants_event = matcher(category), matcher(event)
        return sorted(pair for pair in pairs if wants_category(pair[0]) and wants_event(pair[1]))

    def use_functions(self, path: str) -> None:
        """Take the functions that can be traced from a file, whatever the kernel says. Raises MissingFacts, PermissionNeeded."""
        text = read_text(path)
        if text is None:
            raise MissingFacts(f"cannot read {path}: no such file")
        self._functions = [_filter_function(line) for line in text.splitlines() if line]
        self.has_own_functions = True

    def functions(self) -> list[tuple[str, str]] | None:
        """(name, module or "") of every function that ftrace can trace, in file order; None where the list cannot be read."""
        if self._functions is None:
            try:
                path = self.path
                text = read_text(f"{path}/available_filter_functions") if path is not None else None
            except TargetError:  # a locked-down kernel refuses this one list even to root
                text = None
            if text:
                self._functions = [_filter_function(line) for line in text.splitlines() if line]
        return self._functions


def _filter_function(line: str) -> tuple[str, str]:
    name, _, module = line.partition(" ")
    return name, module.strip(" []\t")


def _listed_events(text: str) -> Iterable[tuple[str, str]]:
    for line in text.splitlines():
        category, _, event = line.partition(":")
        if event:
            yield category, event


def _event_folders(root: str) -> Iterable[tuple[str, str]]:
    for category in _folders(root):
        for event in _folders(f"{root}/{category}"):
            yield category, event


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def read_text(path: str) -> str | None:
    """A file's text, or None when it is not there. Raises PermissionNeeded, MissingFacts when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise PermissionNeeded(f"cannot read {path}: {error.strerror}", hint="run as root") from None
    except OSError as error:
        raise MissingFacts(f"cannot read {path}: {error.strerror}") from None
