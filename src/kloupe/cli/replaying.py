"""--replay FILE [SCRIPT]: run the recorded script, or another one, over a recording."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..base.diag import render_diagnostic
from ..base.errors import NotSupported, UsageError
from ..base.record import replace
from ..image import Image
from ..kernel.recorded import RecordedTarget
from ..recording.read import Recording
from .command import use_color
from .options import CommandLine
from .script import base_dir_of, compile_options, import_all, read_source

if TYPE_CHECKING:
    from ..kernel.target import ArchTable

TRACE_DAT = b"\x17\x08\x44tracing"
_NOT_IN_A_REPLAY = ("child", "pid", "engine", "record")


def replay(line: CommandLine) -> int:
    """Run; gives the exit status."""
    for key in _NOT_IN_A_REPLAY:
        if line.has(key):
            raise UsageError(f"--replay cannot be used with --{key}: nothing is traced")
    recording = open_recording(line.get("replay"))
    target = RecordedTarget(recording.meta)
    own = not line.file and not line.has("program")
    image = recording.image if own else _compile(line, recording, target)
    return _run(line, recording, image, target.arch)


def open_recording(path: str) -> Recording:
    """A recording of ours or of trace-cmd. Raises UsageError, FormatError."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise UsageError(f"cannot read the recording '{path}': {error.strerror}") from None
    if head.startswith(TRACE_DAT):
        from ..recording.tracedat import TraceDatRecording

        return TraceDatRecording(path)
    return Recording(path)


def _compile(line: CommandLine, recording: Recording, target: RecordedTarget) -> Image:
    from ..codegen.pipeline import compile_script

    base_dir = base_dir_of(line)
    options = replace(compile_options(line, child_pid=recording.meta.child_pid), dispatch=False)
    compilation = compile_script(
        read_source(line), target, options, lambda program, diagnostics: import_all(program, diagnostics, base_dir)
    )
    if target.uses_types and target.base_release != recording.meta.release:
        sys.stderr.write(
            f"WARNING: types of the kernel come from {target.base_release}, but the recording from {recording.meta.release}\n"
        )
    if not line.has("no_warnings"):
        for item in compilation.warnings:
            sys.stderr.write(render_diagnostic(item, color=use_color()))
    assert compilation.image is not None
    return compilation.image


def _run(line: CommandLine, recording: Recording, image: Image, arch: ArchTable) -> int:
    from ..engine.replay import ReplayEngine
    from ..session.recorded import ReplayNames, ReplayOutside
    from ..session.session import Options, Session
    from .run import make_output, tree_places

    if image.arch != recording.meta.arch:
        raise NotSupported(f"the script is compiled for {image.arch}, the recording is from {recording.meta.arch}")
    if recording.meta.little_endian != (sys.byteorder == "little"):
        raise NotSupported("the recording is from a machine with another byte order")
    with ReplayEngine(recording) as engine:
        names = ReplayNames(recording, engine, image.strings, arch.syscall_numbers)
        names.places = tree_places(image)
        options = Options(
            quiet=line.has("quiet"),
            show_warnings=not line.has("no_warnings"),
            start_ns=recording.meta.clocks["boot"],
            ends_process=True,
        )
        outside = ReplayOutside(recording, engine)
        return Session(image, engine, make_output(line, names), names, options, names.symbolizer, outside).run()
