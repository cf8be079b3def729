"""Which view of a trace is asked for, and showing it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable

from ..base.errors import UsageError
from ..ftrace.events import Call, TraceEvent, trace_items
from ..ftrace.report.options import ReportOptions
from ..ftrace.source import Trace
from .ftrace_options import VIEWS, Words
from .source_hints import known_places

_Items = Iterable[TraceEvent | Call]
_BINARY = ("perfetto",)


def chosen_view(words: Words) -> str:
    """The one view that the options ask for, "" for none. Raises UsageError for two."""
    given = [view for view in VIEWS if words.has(view)]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} are two views: choose one")
    if words.has("sort"):
        if "stat" not in given and not words.has("diff"):
            raise UsageError("--sort belongs to --stat")
        sort_column(words)
    return given[0] if given else ""


def require_place(path: str, *read: str) -> None:
    """Raises UsageError when a file cannot be written there, or when it is one of those that are `read`, before any work is done."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise UsageError(f"cannot write '{path}': it is a folder")
    if not os.path.isdir(folder):
        raise UsageError(f"cannot write '{path}': there is no folder '{folder}'")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise UsageError(f"cannot write '{path}': permission denied")
    if any(os.path.exists(path) and os.path.exists(name) and os.path.samefile(path, name) for name in read):
        raise UsageError(f"'{path}' is read from, and cannot be written to at the same time", hint="-o ANOTHER-FILE")


def sort_column(words: Words) -> str:
    """--sort. Raises UsageError."""
    from ..ftrace.views.stat import COLUMNS

    by = words.get("sort", "total")
    if by not in COLUMNS:
        raise UsageError(f"--sort {by!r} is no column", hint=f"there are {', '.join(COLUMNS)}")
    return by


def _tree(trace: Trace, items: _Items, words: Words) -> Iterable[str]:
    from ..ftrace.views.tree import render_tree

    return render_tree(items, known_places())


def _stat(trace: Trace, items: _Items, words: Words) -> Iterable[str]:
    from ..ftrace.views.stat import collect, render_stat

    by = sort_column(words)
    stats = collect(items)
    if not stats:
        raise UsageError(
            "the trace has no calls: --stat is about function graphs", hint="kloupe ftrace graph --stat -- CMD"
        )
    return [render_stat(stats, by, known_places())]


def _json(trace: Trace, items: _Items, words: Words) -> Iterable[str]:
    from ..ftrace.views.jsonl import render_jsonl

    return render_jsonl(items)


def _chrome(trace: Trace, items: _Items, words: Words) -> Iterable[str]:
    from ..ftrace.views.chrome import render_chrome

    return render_chrome(items, trace.tgids)


def _perfetto(trace: Trace, items: _Items, words: Words) -> Iterable[bytes]:
    from ..ftrace.views.perfetto import render_perfetto

    if not words.has("output") and sys.stdout.isatty():
        raise UsageError("Perfetto's format is binary", hint="-o FILE")
    return render_perfetto(items, trace.tgids)


def _speedscope(trace: Trace, items: _Items, words: Words) -> Iterable[str]:
    from ..ftrace.views.stacks import render_speedscope

    return render_speedscope(items, _title(words))


def _folded(trace: Trace, items: _Items, words: Words) -> Iterable[str]:
    from ..ftrace.views.stacks import render_folded

    return render_folded(items)


def _html(trace: Trace, items: _Items, words: Words) -> Iterable[str]:
    from ..ftrace.views.html import render_html

    return render_html(items, _title(words))


def _title(words: Words) -> str:
    return " ".join(words.command or words.plain) or "ftrace"


_RENDER: dict[str, Callable[[Trace, _Items, Words], Iterable[str] | Iterable[bytes]]] = {
    "tree": _tree,
    "stat": _stat,
    "json": _json,
    "chrome": _chrome,
    "perfetto": _perfetto,
    "speedscope": _speedscope,
    "folded": _folded,
    "html": _html,
}


def show(trace: Trace, words: Words, options: ReportOptions | None = None) -> None:
    """Print the chosen view, or write it to --output."""
    items = trace_items(trace, options or ReportOptions())
    pieces = _RENDER[chosen_view(words)](trace, items, words)
    write_pieces(pieces, words.get("output"))


def write_pieces(pieces: Iterable[str] | Iterable[bytes], path: str) -> None:
    """To a file, or to stdout when `path` is "". Raises UsageError."""
    sys.stdout.flush()
    if not path:
        with open(os.dup(1), "wb") as out:
            out.writelines(piece if isinstance(piece, bytes) else piece.encode("utf-8", "replace") for piece in pieces)
        return
    try:
        with open(path, "wb") as out:
            out.writelines(piece if isinstance(piece, bytes) else piece.encode("utf-8", "replace") for piece in pieces)
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}") from None
