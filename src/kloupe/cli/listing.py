"""`kloupe -l`: list probes."""

from __future__ import annotations

import os
import sys

from ..base.diag import Diagnostics
from ..lang.parser import parse_program
from ..probes.listing import list_attach_points, list_probes
from .machine import chosen_target
from .options import CommandLine
from .script import compile_options, read_source


def run(line: CommandLine) -> int:
    """Print what matches, sorted; nothing found is no error."""
    options = compile_options(line).probe
    verbose = line.has("verbose")
    target = chosen_target(line)
    if line.has("program") or (line.file and os.path.isfile(line.file)):
        diagnostics = Diagnostics()
        program = parse_program(read_source(line), diagnostics, tuple(line.params))
        diagnostics.require_no_errors()
        found = list_attach_points(program.probes, target, options, diagnostics, verbose)
        diagnostics.require_no_errors()
    else:
        if line.file and line.file.endswith(".bt"):
            print(
                f"WARNING: It appears that '{line.file}' is a filename but the file does not exist. "
                f"Treating '{line.file}' as a search pattern.",
                file=sys.stderr,
            )
        found = list_probes(line.file or "", target, options, verbose)
    if verbose and os.environ.get("KLOUPE_TREE"):
        from .source_hints import with_places

        found = with_places(found)
    if found:
        print("\n".join(found))
    return 0
