"""Changes to tracefs that know how to be undone: each is in the journal before it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .folder import TracingFolder
from .journal import Journal, Step

# -- what a file says, as what must be written to have it say so again ---------------------------------------------


def _chosen(text: str) -> str:
    """`local [mono] boot` -> mono."""
    return text.partition("[")[2].partition("]")[0] or text.strip()


def _function_lines(text: str) -> list[str]:
    """Functions of a filter; `name [module]` is written as `name:mod:module`. Commands (`name:traceon:...`) are not ours to touch."""
    lines = []
    for line in text.splitlines():
        name, _, module = line.strip().partition(" ")
        if name and not name.startswith("#") and ":" not in line:
            lines.append(f"{name}:mod:{module.strip(' []')}" if module.strip() else name)
    return lines


def _pid_lines(text: str) -> list[str]:
    return [line for line in text.split() if line.lstrip("-").isdecimal()]


def _buffer_size(text: str) -> str:
    """`7 (expanded: 1408)` is a buffer that was never used: the first use makes it 1408."""
    return text.partition("expanded: ")[2].strip(" )\n") or text.strip()


def _event_filter(text: str) -> str:
    return "0" if text.strip() == "none" else text.strip()


LISTS: dict[str, Callable[[str], list[str]]] = {
    "set_ftrace_filter": _function_lines,
    "set_ftrace_notrace": _function_lines,
    "set_graph_function": _function_lines,
    "set_graph_notrace": _function_lines,
    "set_ftrace_pid": _pid_lines,
    "set_ftrace_notrace_pid": _pid_lines,
    "set_event_pid": _pid_lines,
    "set_event_notrace_pid": _pid_lines,
}
_VALUES: dict[str, Callable[[str], str]] = {
    "trace_clock": _chosen,
    "buffer_size_kb": _buffer_size,
    "filter": _event_filter,
    "enable": lambda text: text.strip()[:1],
}


def undo_step(folder: TracingFolder, name: str) -> Step:
    """How to make a file say again what it says now."""
    text, last = folder.read(name), name.rpartition("/")[2]
    if last in LISTS:
        return Step("lines", folder.relative(name), tuple(LISTS[last](text)))
    value = _VALUES[last](text) if last in _VALUES else text.strip()
    return Step("write", folder.relative(name), (value,))


class Knobs:
    """Changes in one folder under one journal. In an instance of our own only what others share is noted: it is removed as a whole."""

    def __init__(self, folder: TracingFolder, journal: Journal, *, own: bool) -> None:
        self.folder = folder
        self.journal = journal
        self.own = own
        self.log: list[str] = []  # what was written, as shell commands
        # Options of the folder itself. Those that a tracer brings are the tracer's, and in most kernels the same ones for all instances.
        self._own_options = {line.removeprefix("no") for line in folder.words("trace_options")} if own else set()

    def _note(self, name: str) -> None:
        if not self.own:
            self.journal.note(undo_step(self.folder, name))

    def _say(self, text: str, sign: str, name: str) -> None:
        self.log.append(f"echo {_quoted(text)} {sign} {self.folder.relative(name)}")

    def set(self, name: str, value: str) -> None:
        """Give a file a value, unless it has it."""
        self._note(name)
        self._say(value, ">", name)
        self.folder.write(name, value)

    def set_option(self, name: str, value: bool) -> None:
        """Switch an option on or off. One that a tracer brings is put back at the end also when the place is our own."""
        path, text = f"options/{name}", str(int(value))
        if self.own and name not in self._own_options and self.folder.top.has(path):
            if self.folder.get(path) == text:
                return
            self.journal.note(undo_step(self.folder.top, path))
        self.set(path, text)

    def replace(self, name: str, lines: Iterable[str]) -> None:
        """Give a list other lines."""
        self._note(name)
        self._say("", ">", name)
        self.folder.clear(name)
        for line in lines:
            self._say(line, ">>", name)
            self.folder.append(name, line)

    def add(self, name: str, text: str, undo: str, *, shared: bool = False) -> None:
        """Add a line that `undo`, added to the same file, takes away; always noted, as it may keep other things from being removed.

        `shared`: the file is one that only the top level has.
        """
        folder = self.folder.top if shared else self.folder
        self.journal.note(Step("append", folder.relative(name), (undo,)))
        self.log.append(f"echo {_quoted(text)} >> {folder.relative(name)}")
        folder.append(name, text)

    def enable_made(self, place: str) -> None:
        """Switch on an event that was made for this session, so that it is off before it is removed."""
        name = f"{place}/enable"
        self.journal.note(Step("write", self.folder.relative(name), ("0",)))
        self._say("1", ">", name)
        self.folder.write(name, "1")


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text) if text else "''"
