"""`kloupe FILE` and `kloupe -e`: compile, choose the engine, run the session."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ..base.diag import render_diagnostic
from ..base.errors import PermissionNeeded, UsageError, VerifierError
from ..image import Image
from .command import use_color
from .options import CommandLine
from .script import base_dir_of, compile_options, import_all, read_source

if TYPE_CHECKING:
    from ..engine.protocol import Engine
    from ..output.model import Output
    from ..output.names import Names
    from ..session.child import ChildProcess
    from ..session.symbolize import Symbolizer

ENGINES = ("kernel", "machine")
FORMATS = ("text", "json")
BUFFERING = ("line", "full", "none")
MACHINE_KINDS = {"begin", "end", "self", "interval", "test", "bench"}
IMAGE_SUFFIX = ".kimg"


def run(line: CommandLine) -> int:
    """Run the script; gives the exit status."""
    if line.has("format") and line.get("format") not in FORMATS:
        raise UsageError(f'Invalid output format "{line.get("format")}"', hint="Valid formats are text and json.")
    _check(line, "buffering", BUFFERING)
    _check(line, "engine", ENGINES)
    mode = _mode(line)
    child = _start_child(line)
    try:
        image = _image(line, child.pid if child else 0, mode)
        if image is None:
            return 0
        return _run_session(line, image, child, mode)
    finally:
        if child is not None:
            child.close()


def _check(line: CommandLine, key: str, allowed: tuple[str, ...]) -> None:
    if line.has(key) and line.get(key) not in allowed:
        raise UsageError(f"USAGE: -{key[0]} must be one of {', '.join(allowed)}, not '{line.get(key)}'")


def _mode(line: CommandLine) -> str:
    if line.has("test") or line.get("mode") == "test":
        return "test"
    if line.has("bench") or line.get("mode") == "bench":
        return "bench"
    return "dry" if line.has("dry_run") else "run"


def _start_child(line: CommandLine) -> ChildProcess | None:
    if not line.has("child"):
        return None
    from ..session.child import ChildProcess, split_command

    return ChildProcess(split_command(line.get("child")))


# -- compiling --------------------------------------------------------------------------------------------------


def _image(line: CommandLine, child_pid: int, mode: str) -> Image | None:
    """The compiled script, or None when there is nothing to run (a dump, --emit)."""
    if line.file and line.file.endswith(IMAGE_SUFFIX) and not line.has("program"):
        return _read_image(line.file)
    from ..codegen.pipeline import compile_script
    from .machine import live_target

    for name in filter(None, line.get("no_feature").split(",")):
        live_target().features.deny(name)
    source = read_source(line)
    base_dir = base_dir_of(line)
    compilation = compile_script(
        source,
        live_target(),
        compile_options(line, child_pid=child_pid, mode=mode),
        lambda program, diagnostics: import_all(program, diagnostics, base_dir),
    )
    if not line.has("no_warnings"):
        for item in compilation.warnings:
            sys.stderr.write(render_diagnostic(item, color=use_color()))
    image = compilation.image
    assert image is not None
    if line.has("debug") and line.get("debug") != "verifier":
        from .dumps import print_stage

        print_stage(line.get("debug"), compilation)
        return None
    if line.has("emit"):
        _write_image(line.get("emit"), image)
        return None
    return image


def _read_image(path: str) -> Image:
    from ..imagefile import from_bytes

    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UsageError(f"failed to open file '{path}': {error.strerror}") from None
    return from_bytes(data, path)


def _write_image(path: str, image: Image) -> None:
    from ..imagefile import to_bytes

    try:
        with open(path, "wb") as file:
            file.write(to_bytes(image))
    except OSError as error:
        raise UsageError(f"cannot write '{path}': {error.strerror}") from None


# -- running ----------------------------------------------------------------------------------------------------


def _kinds(image: Image) -> set[str]:
    return {spec.kind for program in image.programs for spec in program.attach}


def _missing_privilege() -> str:
    """Why the kernel will not load programs for us; "" when it should."""
    from ..host import proc

    if proc.has_capability("CAP_SYS_ADMIN") or (proc.has_capability("CAP_BPF") and proc.has_capability("CAP_PERFMON")):
        return ""
    return "the kernel loads BPF programs only for root or with CAP_BPF and CAP_PERFMON"


def _print_log(program: str, log: str) -> None:
    sys.stderr.write(f"-- verifier: {program}\n{log}")


def choose_engine(name: str, image: Image, *, show_log: bool = False) -> Engine:
    """The engine by name, or the best that works here; says so on stderr when it is not the kernel."""
    if name != "machine":
        from ..engine.kernel import KernelEngine

        lacking = _missing_privilege()
        if name == "kernel" or not lacking:
            return KernelEngine(_print_log if show_log else None)
        outside = _kinds(image) - MACHINE_KINDS
        if outside:
            raise PermissionNeeded(
                f"tracing with {', '.join(sorted(outside))} probes needs more privileges: {lacking}",
                hint="Run as root, or see `kloupe doctor`.",
            )
        sys.stderr.write(f"kloupe: running in the user-space machine ({lacking})\n")
    from ..engine.machine.engine import MachineEngine

    return MachineEngine()


def _run_session(line: CommandLine, image: Image, child: ChildProcess | None, mode: str) -> int:
    from ..session.session import Options, Session, notify_wanted

    notify_fd = os.dup(1)
    try:
        with choose_engine(line.get("engine"), image, show_log=line.get("debug") in ("verifier", "all")) as engine:
            symbolizer = _symbolizer()
            names = _names(image, engine, symbolizer)
            out = _output(line, names)
            options = Options(
                mode=mode,
                quiet=line.has("quiet"),
                show_warnings=not line.has("no_warnings"),
                child=child,
                pid=int(line.get("pid")) if line.has("pid") else None,
                notify=notify_wanted(),
                notify_fd=notify_fd,
            )
            try:
                return Session(image, engine, out, names, options, symbolizer).run()
            except VerifierError as error:
                from .verifier import explain

                sys.stderr.write(explain(error, whole=line.has("verbose"), image=image))
                return error.exit_status
    finally:
        os.close(notify_fd)


def _symbolizer() -> Symbolizer:
    from ..session.symbols import MachineSymbols

    return MachineSymbols()


def _names(image: Image, engine: Engine, symbolizer: Symbolizer) -> Names:
    from ..session.session import is_little_endian
    from ..session.symbolize import LiveNames
    from .machine import live_target

    return LiveNames(image.strings, engine, symbolizer, live_target().arch.syscall_numbers, is_little_endian(image))


def _output(line: CommandLine, names: Names) -> Output:
    from ..output.sink import Sink
    from ..session.session import stderr_sink

    sys.stdout.flush()
    buffering = line.get("buffering", "line")
    if line.has("output"):
        try:
            fd = os.open(line.get("output"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(f'Failed to open output file: "{line.get("output")}": {error.strerror}') from None
        sink = Sink(fd, buffering, line.get("output"))
    else:
        sink = Sink(1, buffering, "stdout")
    if line.get("format") == "json":
        from ..output.jsonl import JsonOutput

        return JsonOutput(names, sink, stderr_sink())
    from ..output.textout import TextOutput

    return TextOutput(names, sink, stderr_sink(), color=use_color())
