"""C text to declarations: the C part of a script, imported headers, tracepoint format files.

An own parser and not pycparser: the C part is a handful of structs and `#` lines, pycparser knows no preprocessor and no
attributes, and importing it alone takes longer than kloupe takes to start.
"""

from .declarations import CDeclarations, parse_c
from .format_file import ParsedFormat, parse_tracepoint_format
from .known import CPart, Known, TextPart, no_kernel

__all__ = [
    "CDeclarations",
    "CPart",
    "Known",
    "ParsedFormat",
    "TextPart",
    "no_kernel",
    "parse_c",
    "parse_tracepoint_format",
]
