"""Diagnostics: what is wrong, where, and what to do. Rendered in bpftrace's form with a marker under the place."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from .errors import ScriptError
from .record import record
from .source import Span


class Severity(Enum):
    """How bad it is."""

    ERROR = "ERROR"
    WARNING = "WARNING"


@record(frozen=True)
class Note:
    """A further place that belongs to a diagnostic ("This is the initial declaration.")."""

    span: Span
    message: str


@record(frozen=True)
class Diagnostic:
    """One finding: its severity, place, message, further places and hints."""

    severity: Severity
    span: Span
    message: str
    notes: tuple[Note, ...] = ()
    hints: tuple[str, ...] = ()


class Diagnostics:
    """Collects the findings of one compilation."""

    def __init__(self) -> None:
        self.items: list[Diagnostic] = []
        self._seen: set[tuple[str, int, int, str]] = set()

    def _add(self, item: Diagnostic) -> None:
        key = (item.span.source.name, item.span.start, item.span.end, item.message)
        if key not in self._seen:
            self._seen.add(key)
            self.items.append(item)

    def error(self, span: Span, message: str, *, notes: Iterable[Note] = (), hints: Iterable[str] = ()) -> None:
        """Add an error; the same message at the same place is added once."""
        self._add(Diagnostic(Severity.ERROR, span, message, tuple(notes), tuple(hints)))

    def warning(self, span: Span, message: str, *, notes: Iterable[Note] = (), hints: Iterable[str] = ()) -> None:
        """Add a warning; the same message at the same place is added once."""
        self._add(Diagnostic(Severity.WARNING, span, message, tuple(notes), tuple(hints)))

    @property
    def errors(self) -> list[Diagnostic]:
        """The errors, in order of discovery."""
        return [item for item in self.items if item.severity is Severity.ERROR]

    @property
    def warnings(self) -> list[Diagnostic]:
        """The warnings, in order of discovery."""
        return [item for item in self.items if item.severity is Severity.WARNING]

    def require_no_errors(self) -> None:
        """Raise `ScriptError` with everything found when there is an error."""
        if self.errors:
            raise ScriptError(tuple(self.errors + self.warnings))


def near_names(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The names of `known` that look like `name`, nearest first."""
    import difflib

    return difflib.get_close_matches(name, list(known), n=limit, cutoff=0.7)


def did_you_mean(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """A one-element hint tuple naming the nearest known names, or an empty one."""
    near = near_names(name, known)
    return (f"Did you mean {', '.join(repr(n) for n in near)}?",) if near else ()


_RED, _YELLOW, _RESET = "\033[31m", "\033[33m", "\033[0m"


def _excerpt(span: Span) -> list[str]:
    first = span.line
    last = span.source.line_number(max(span.start, span.end - 1))
    lines = [span.source.line_text(n).replace("\t", "    ") for n in range(first, last + 1)]
    if first == last:
        raw = span.source.line_text(first)
        lead, marked = span.column - 1, span.source.column(span.end) - span.column
        before = raw.encode("utf-8", "surrogateescape")[:lead]
        inside = raw.encode("utf-8", "surrogateescape")[lead : lead + marked]
        pad = lead + 3 * before.count(b"\t")
        lines.append(" " * pad + "~" * (marked + 3 * inside.count(b"\t")))
    return lines


def _place(severity: str, span: Span, message: str, color: bool) -> list[str]:
    text = f"{span.where()}: {severity}: {message}"
    if color:
        text = (_RED if severity == "ERROR" else _YELLOW) + text + _RESET
    return [text, *_excerpt(span)]


def render_diagnostic(item: Diagnostic, *, color: bool = False) -> str:
    """The lines bpftrace prints for such a finding: message, source, marker, callers, notes, hints; ends in a newline."""
    lines = _place(item.severity.value, item.span, item.message, color)
    caller = item.span.parent
    while caller is not None:
        lines += _place(item.severity.value, Span(caller.source, caller.start, caller.end), "expanded from", color)
        caller = caller.parent
    for note in item.notes:
        lines += _place("ERROR", note.span, note.message, color)
    lines += [f"HINT: {hint}" for hint in item.hints]
    return "\n".join(lines) + "\n"
