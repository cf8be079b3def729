"""`kloupe --fmt`: print a script in the standard layout."""

from __future__ import annotations

from ..base.diag import Diagnostics
from ..lang.parser import parse_program
from ..lang.printer import format_program
from .options import CommandLine
from .script import read_source


def run(line: CommandLine) -> int:
    """Print the formatted script."""
    diagnostics = Diagnostics()
    source = read_source(line)
    program = parse_program(source, diagnostics)
    diagnostics.require_no_errors()
    print(format_program(program, source), end="")
    return 0
