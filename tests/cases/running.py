"""Runs a case: compile for a bare target, run on an engine, give what was printed."""

import os
import tempfile

from bare_target import BareTarget
from casefile import Case

from kloupe.base.diag import render_diagnostic
from kloupe.base.errors import ScriptError
from kloupe.base.source import Source
from kloupe.codegen.pipeline import compile_script
from kloupe.engine.protocol import Engine
from kloupe.image import Image
from kloupe.output.sink import Sink
from kloupe.output.textout import TextOutput
from kloupe.sema.analyzer import CompileOptions
from kloupe.session.session import Options, Session
from kloupe.session.symbolize import LiveNames, NoSymbols


def compiled(case: Case) -> tuple[Image | None, str]:
    """The Image, or None and the rendered errors; warnings come with the Image."""
    options = CompileOptions(params=case.params, unsafe=case.unsafe)
    try:
        compilation = compile_script(Source("stdin", case.script), BareTarget(), options)
    except ScriptError as error:
        return None, "".join(render_diagnostic(item) for item in error.diagnostics)
    return compilation.image, "".join(render_diagnostic(item) for item in compilation.warnings)


def run_image(image: Image, engine: Engine) -> tuple[int, str, str]:
    """Status, stdout and stderr of a session."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors, engine:
        names = LiveNames(image.strings, engine, NoSymbols(), BareTarget.arch.syscall_numbers)
        output = TextOutput(names, Sink(out.fileno(), "full"), Sink(errors.fileno(), "none"))
        options = Options(quiet=True, handle_signals=False)
        status = Session(image, engine, output, names, options, NoSymbols()).run()
        return status, _all(out.fileno()), _all(errors.fileno())


def _all(fd: int) -> str:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, 1 << 20).decode(errors="replace")
