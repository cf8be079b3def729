"""Messages about a place in the script, in the form bpftrace gives them on stderr."""

from __future__ import annotations

from .model import Place

_COLORS = {"ERROR": "\033[31m", "WARNING": "\033[33m"}
_RESET = "\033[0m"


def where(place: Place) -> str:
    """`file:line:column-end`."""
    return f"{place.file}:{place.line}:{place.column}-{place.end_column}"


def excerpt(place: Place) -> str:
    """The script's line and a marker under the place, each ending in a newline; empty without text. Tabs print as 4 spaces."""
    if not place.text:
        return ""
    raw = place.text.encode("utf-8", "surrogateescape")
    lead, inside = raw[: place.column - 1], raw[place.column - 1 : place.end_column - 1]
    pad = len(lead) + 3 * lead.count(b"\t")
    marks = max(place.end_column - place.column, 0) + 3 * inside.count(b"\t")
    return place.text.replace("\t", "    ") + "\n" + " " * pad + "~" * marks + "\n"


def calls(severity: str, place: Place, color: bool = False) -> str:
    """The macro calls that a place came out of, each with its line; empty for text of the script itself."""
    return "".join(message_line(severity, "expanded from", call, color) + excerpt(call) for call in place.expanded_from)


def message_line(severity: str, text: str, place: Place | None = None, color: bool = False) -> str:
    """`place: SEVERITY: text` and a newline; one newline at the end of `text` is dropped."""
    line = f"{severity}: {text.removesuffix(chr(10))}" if severity else text.removesuffix("\n")
    if place is not None:
        line = f"{where(place)}: {line}"
    if color and severity in _COLORS:
        line = _COLORS[severity] + line + _RESET
    return line + "\n"
