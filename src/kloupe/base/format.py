"""printf formats: text to literal pieces and conversions. Shared by the checks of the language and by the output."""

from __future__ import annotations

from .record import record

_FLAGS = "-+ #0"
_LENGTHS = "hlLjzt"
_CONVERSIONS = ("gr", "rh", "rx", "r", *"diouxXeEfFgGaAcspn%")  # longest first


@record(frozen=True)
class Conversion:
    """One conversion: `%-08.3llx` has flags "-0", width 8, precision 3, length "ll" and kind "x".

    `kind` is C's letter or one of the language's own: `r`, `rx`, `rh` (buffers) and `gr` (GFP flags). A `*` counts as no width.
    """

    text: str
    flags: str
    width: int | None
    precision: int | None
    length: str
    kind: str


def _scan_number(text: str, at: int) -> tuple[int | None, int]:
    if text[at : at + 1] == "*":
        return None, at + 1
    end = at
    while text[end : end + 1].isdecimal():
        end += 1
    return (int(text[at:end]) if end > at else None), end


def _scan_conversion(text: str, start: int) -> Conversion | None:
    at = start + 1
    while at < len(text) and text[at] in _FLAGS:
        at += 1
    flags = text[start + 1 : at]
    width, at = _scan_number(text, at)
    precision = None
    if text[at : at + 1] == ".":
        precision, at = _scan_number(text, at + 1)
        precision = precision or 0
    mark = at
    while at < len(text) and text[at] in _LENGTHS:
        at += 1
    length = text[mark:at]
    for kind in _CONVERSIONS:
        if text.startswith(kind, at):
            return Conversion(text[start : at + len(kind)], flags, width, precision, length, kind)
    return None


def parse_format(text: str) -> list[str | Conversion]:
    """Literal pieces (with `%%` already a percent sign) and conversions, in order; what is no conversion is literal text."""
    pieces: list[str | Conversion] = []
    literal, at = "", 0
    while (start := text.find("%", at)) >= 0:
        literal += text[at:start]
        found = _scan_conversion(text, start)
        if found is None:
            literal += "%"
            at = start + 1
            continue
        at = start + len(found.text)
        if found.kind == "%":
            literal += "%"
            continue
        if literal:
            pieces.append(literal)
        pieces.append(found)
        literal = ""
    literal += text[at:]
    if literal:
        pieces.append(literal)
    return pieces
