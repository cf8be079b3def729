"""Calls as a tree of text: duration, self time, the function with its arguments and return value; events among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..decode.signatures import show_arguments
from ..events import Call, TraceEvent

_HEAD = f"{'TIME':>16} {'DURATION us':>12} {'SELF us':>12}  FUNCTION\n"
_NEXT_LINE = "\n" + " " * 48  # of an event's text, below the first


def render_tree(items: Iterable[TraceEvent | Call], places: Mapping[str, str] | None = None) -> Iterator[str]:
    """Pieces of text, one for each outermost call or event. `places`: function -> `file:line` of its definition, or ""."""
    yield _HEAD
    task: tuple[int, str] | None = None
    for item in items:
        if (item.pid, item.comm) != task:
            task = (item.pid, item.comm)
            yield f"\n{item.comm}-{item.pid} [{item.cpu:03d}]\n"
        if isinstance(item, TraceEvent):
            text = item.text.replace("\n", _NEXT_LINE)
            yield f"{item.time_ns / 1e9:>16.6f} {'':>12} {'':>12}  {item.system}:{item.name}: {text}\n"
        else:
            yield "".join(_lines(item, places))


def _lines(root: Call, places: Mapping[str, str] | None) -> Iterator[str]:
    base = root.depth
    for call in root.walk():
        duration = f"{call.duration_ns / 1000:.3f}" if call.left else "?"
        own = f"{call.self_ns / 1000:.3f}" if call.left else "?"
        value = f" = {show_retval(call.retval)}" if call.retval is not None else ""
        mark = "" if call.entered else "  (began before the trace)"
        place = places[call.function] if places is not None else ""
        name = f"{'  ' * (call.depth - base)}{call.function}({show_arguments(call.args)}){value}{place and '  # '}{place}{mark}"
        yield f"{call.start_ns / 1e9:>16.6f} {duration:>12} {own:>12}  {name}\n"


_ERRORS = 4095


def show_retval(value: int) -> str:
    """A return value: small numbers and error codes in decimal, what looks like an address in hexadecimal."""
    value &= (1 << 64) - 1
    for bits in (64, 32):
        if (1 << bits) - _ERRORS <= value < 1 << bits:
            return str(value - (1 << bits))
    return f"0x{value:x}" if value >= 1 << 31 else str(value)
