"""`kloupe -l`: list probes."""

from __future__ import annotations

import os
import sys

from ..base.diag import Diagnostics
from ..base.errors import TargetError
from ..kernel.target import Target
from ..lang.parser import parse_program
from ..probes.listing import list_attach_points, list_probes
from .machine import chosen_target
from .options import CommandLine
from .script import compile_options, read_source


def _listed_target(line: CommandLine) -> tuple[Target, str]:
    """What is listed, and why its tracepoints are only those that the ptrace engine feeds; "" where they are the kernel's."""
    if line.get("engine") == "ptrace":
        from .following import packaged_target

        return packaged_target(), ""
    target = chosen_target(line)
    try:
        target.tracing.require()
    except TargetError as error:
        from ..kernel.packaged import PackagedFormats

        target.tracing = PackagedFormats(target.arch)
        return target, str(error)
    return target, ""


def run(line: CommandLine) -> int:
    """Print what matches, sorted; nothing found is no error."""
    options = compile_options(line).probe
    verbose = line.has("verbose")
    target, missing = _listed_target(line)
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
    if missing and any(each.startswith("tracepoint:") for each in found):
        print(f"kloupe: {missing}: these are the tracepoints that work without, with -c or -p", file=sys.stderr)
    if found:
        print("\n".join(found))
    return 0
