"""C text to declarations: the C part of a script, imported headers, tracepoint format files.

An own parser and not pycparser: the C part is a handful of structs and `#` lines, pycparser knows no preprocessor and no
attributes, and importing it alone takes longer than kloupe takes to start.
"""

from .declarations import CDeclarations, Known, parse_c
from .format_file import ParsedFormat, parse_tracepoint_format

__all__ = ["CDeclarations", "Known", "ParsedFormat", "parse_c", "parse_tracepoint_format"]
