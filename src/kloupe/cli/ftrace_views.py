"""Which view of a trace is asked for, and showing it."""

from __future__ import annotations

from ..base.errors import UsageError
from ..ftrace.source import Trace
from .ftrace_options import VIEWS, Words


def chosen_view(words: Words) -> str:
    """The one view that the options ask for, "" for none. Raises UsageError for two."""
    given = [view for view in VIEWS if words.has(view)]
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} are two views: choose one")
    return given[0] if given else ""


def show(trace: Trace, words: Words) -> None:
    """Print the view."""
    raise UsageError("not yet")
