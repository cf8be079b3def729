"""`kloupe FILE` and `kloupe -e`: compile, choose the engine, run the session."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ..base.diag import render_diagnostic
from ..base.errors import (
    AttachError,
    KloupeError,
    PermissionNeeded,
    ScriptError,
    TargetError,
    UsageError,
    VerifierError,
)
from ..image import Image
from .command import use_color
from .options import OPTIONS, CommandLine
from .script import base_dir_of, compile_options, import_all, read_source

if TYPE_CHECKING:
    from ..engine.protocol import Engine
    from ..kernel.facts import KernelFacts
    from ..lang import nodes as n
    from ..output.model import Output
    from ..output.names import Names
    from ..session.child import ChildProcess
    from ..session.symbolize import Symbolizer
    from .following import Supervisor
    from .recording import Recorded, Recorder

ENGINES = ("kernel", "ptrace", "machine")
FORMATS = ("text", "json")
MODES = ("test", "bench", "format", "compiler-bench", "codegen")
BUFFERING = ("line", "full", "none")
MACHINE_KINDS = {"begin", "end", "self", "interval", "test", "bench"}
IMAGE_SUFFIX = ".kimg"


def run(line: CommandLine) -> int:
    """Run the script; gives the exit status."""
    if line.has("format") and line.get("format") not in FORMATS:
        raise UsageError(f'Invalid output format "{line.get("format")}"', hint="Valid formats are text and json.")
    _check(line, "buffering", BUFFERING)
    _name_task()
    _check(line, "engine", ENGINES)
    _check(line, "mode", MODES)
    _check_wishes(line)
    mode = _mode(line)
    if line.has("replay"):
        from .replaying import replay

        return replay(line)
    if _follows(line):
        from .following import Supervisor, check

        check(line)
        return Supervisor().run(lambda supervisor: _run(line, mode, supervisor))
    return _run(line, mode, None)


def _run(line: CommandLine, mode: str, supervisor: Supervisor | None) -> int:
    recorder = _recorder(line)
    child = _start_child(line, supervisor)
    if supervisor is not None:
        supervisor.part()
    try:
        try:
            image = _image(line, child.pid if child else 0, mode, recorder)
        except KloupeError as error:
            _explain_limits(line, error)
            raise
        if image is None:
            return 0
        return _run_session(line, image, child, mode, supervisor, recorder)
    finally:
        if child is not None:
            child.close()


def _recorder(line: CommandLine) -> Recorder | None:
    if not line.has("record"):
        return None
    from .recording import Recorder

    return Recorder(line.get("record"))


def _name_task() -> None:
    """Tools find a tracer by its name: show the command's, not the interpreter's."""
    from ..host.proc import set_comm, set_command_line

    name = os.path.basename(sys.argv[0])
    if name and not name.endswith(".py"):
        with suppress(OSError):
            set_comm(name[:15])
            set_command_line([name, *sys.argv[1:]])


def _check(line: CommandLine, key: str, allowed: tuple[str, ...]) -> None:
    if line.has(key) and line.get(key) not in allowed:
        name = OPTIONS[key].names[0]
        raise UsageError(f"USAGE: {name} must be one of {', '.join(allowed)}, not '{line.get(key)}'")


def _check_wishes(line: CommandLine) -> None:
    """Refuse what contradicts itself, and files that kloupe does not make (nothing is traced instead)."""
    if line.has("child") and line.has("pid"):
        raise UsageError("USAGE: Cannot use both -c and -p.")
    for key in ("aot", "emit_elf", "emit_llvm"):
        if line.has(key):
            raise UsageError(
                f"{OPTIONS[key].names[0]} is not supported: kloupe compiles without LLVM and makes no such files",
                hint="--emit FILE.kimg keeps the compiled script, and `kloupe FILE.kimg` runs it.",
            )


def _mode(line: CommandLine) -> str:
    if line.has("test") or line.get("mode") == "test":
        return "test"
    if line.has("bench") or line.get("mode") == "bench":
        return "bench"
    return "dry" if line.has("dry_run") else "run"


def _follows(line: CommandLine) -> bool:
    """Whether the ptrace engine is to run this: by name, or because the kernel is not allowed and there is somebody to follow."""
    if line.has("engine"):
        return line.get("engine") == "ptrace"
    lacking = missing_privilege()
    if not lacking or not (line.has("child") or line.has("pid")) or _mode(line) in ("test", "bench"):
        return False
    sys.stderr.write(f"kloupe: following the process with ptrace ({lacking})\n")
    line.values["engine"] = "ptrace"
    return True


def _target(line: CommandLine) -> KernelFacts:
    """What the script is compiled against."""
    if line.get("engine") == "ptrace":
        from .following import packaged_target

        return packaged_target()
    from .machine import chosen_target

    return chosen_target(line)


def _start_child(line: CommandLine, supervisor: Supervisor | None) -> ChildProcess | None:
    if not line.has("child"):
        return None
    from ..session.child import ChildProcess, split_command

    words = split_command(line.get("child"))
    return ChildProcess(words, supervisor.is_dead) if supervisor else ChildProcess(words)


# -- compiling --------------------------------------------------------------------------------------------------


def _image(line: CommandLine, child_pid: int, mode: str, recorder: Recorder | None) -> Image | None:
    """The compiled script, or None when there is nothing to run (a dump, --emit)."""
    if line.file and line.file.endswith(IMAGE_SUFFIX) and not line.has("program"):
        return _read_image(line.file)
    from ..codegen.pipeline import compile_script

    target = _target(line)
    source = read_source(line)
    base_dir = base_dir_of(line)
    compilation = (recorder.compile if recorder else compile_script)(
        source,
        target,
        compile_options(line, child_pid=child_pid, mode=mode),
        lambda program, diagnostics: import_all(program, diagnostics, base_dir),
    )
    if not line.has("no_warnings"):
        for item in compilation.warnings:
            sys.stderr.write(render_diagnostic(item, color=use_color()))
    image = compilation.image
    assert image is not None
    if not image.programs:
        _refuse_checks_only(compilation.program)
    stages = [stage for stage in _stages(line) if stage != "verifier"]
    if stages:
        from .dumps import print_stages

        print_stages(stages, compilation)
        return None
    if line.has("emit"):
        _write_image(line.get("emit"), image)
        return None
    return image


def _refuse_checks_only(program: n.Program) -> None:
    """Say what a script of test or bench probes only is run with. Raises AttachError."""
    for kind, option in (("test", "test"), ("bench", "benchmark")):
        if any(point.provider == kind for probe in program.probes for point in probe.attach_points):
            raise AttachError(f"No probes attached; use --{kind} to run {option} probes.")


def _stages(line: CommandLine) -> list[str]:
    if not line.has("debug"):
        return []
    from .dumps import parse_stages

    return parse_stages(line.lists["debug"])


def _explain_limits(line: CommandLine, error: KloupeError) -> None:
    """Say what lies in the engine's nature and not in the script."""
    if line.get("engine") == "ptrace":
        if isinstance(error, ScriptError) and any("No matches for" in item.message for item in error.diagnostics):
            sys.stderr.write(
                "kloupe: the ptrace engine sees system calls, processes, signals and user-space functions; "
                "other kernel probes need the kernel engine (root)\n"
            )
    elif isinstance(error, TargetError) and not line.has("child") and missing_privilege():
        error.hint += "; or without privileges, for a process of your own: -c COMMAND or -p PID" if error.hint else ""


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
    """The kinds of probes as the script has them (a kprobe may be attached as fentry)."""
    return {spec.name.partition(":")[0] for program in image.programs for spec in program.attach}


def missing_privilege() -> str:
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

        lacking = missing_privilege()
        if name == "kernel" or not lacking:
            return KernelEngine(_print_log if show_log else None)
        outside = _kinds(image) - MACHINE_KINDS
        if outside:
            raise PermissionNeeded(
                f"tracing with {', '.join(sorted(outside))} probes needs more privileges: {lacking}",
                hint="Run as root, or follow a process of your own: -c COMMAND or -p PID. See `kloupe doctor`.",
            )
        sys.stderr.write(f"kloupe: running in the user-space machine ({lacking})\n")
    from ..engine.machine.engine import MachineEngine

    return MachineEngine()


def _run_session(
    line: CommandLine,
    image: Image,
    child: ChildProcess | None,
    mode: str,
    supervisor: Supervisor | None,
    recorder: Recorder | None,
) -> int:
    from ..session.session import Options, Session, notify_wanted

    notify_fd = os.dup(1)
    try:
        symbolizer = _symbolizer()
        engine = _engine(line, image, child, symbolizer, supervisor)
        recorded = recorder.start(engine, symbolizer) if recorder else None
        if recorded is not None:
            symbolizer = recorded.symbolizer
        with recorded.engine if recorded else engine as watched:
            names = _names(image, watched, symbolizer, recorded)
            out = make_output(line, names)
            options = Options(
                mode=mode,
                quiet=line.has("quiet"),
                show_warnings=not line.has("no_warnings"),
                child=child,
                pid=int(line.get("pid")) if line.has("pid") else None,
                notify=notify_wanted(),
                notify_fd=notify_fd,
                start_ns=recorded.start_ns if recorded else 0,
                ends_process=True,
            )
            try:
                status = Session(
                    image, watched, out, names, options, symbolizer, recorded.outside if recorded else None
                ).run()
            except VerifierError as error:
                from .verifier import explain

                sys.stderr.write(explain(error, whole=line.has("verbose"), image=image))
                return error.exit_status
    finally:
        os.close(notify_fd)
    if supervisor is not None:
        _stay_behind(supervisor, engine, status)
    return status


def _engine(
    line: CommandLine, image: Image, child: ChildProcess | None, symbolizer: Symbolizer, supervisor: Supervisor | None
) -> Engine:
    if supervisor is None:
        return choose_engine(line.get("engine"), image, show_log="verifier" in _stages(line))
    from .following import make_engine

    return make_engine(line, image, child, symbolizer, supervisor)


def _stay_behind(supervisor: Supervisor, engine: Engine, status: int) -> None:
    from ..engine.ptrace.engine import PtraceEngine

    if isinstance(engine, PtraceEngine) and engine.has_wards:
        supervisor.stay_behind(status, engine.keep)


def _symbolizer() -> Symbolizer:
    from ..session.symbols import MachineSymbols

    return MachineSymbols()


def _names(image: Image, engine: Engine, symbolizer: Symbolizer, recorded: Recorded | None) -> Names:
    from ..session.session import is_little_endian
    from ..session.symbolize import LiveNames
    from .machine import live_target

    numbers = live_target().arch.syscall_numbers
    if recorded is not None:
        names: LiveNames = recorded.names(image, engine, numbers)
    else:
        names = LiveNames(image.strings, engine, symbolizer, numbers, is_little_endian(image))
    names.places = tree_places(image)
    return names


def tree_places(image: Image) -> Mapping[str, str] | None:
    """Where functions are defined in the tree that the script's configuration names; None when it names none."""
    if not image.config.get("tree"):
        return None
    from .source_hints import known_places

    return known_places(str(image.config["tree"]))


def make_output(line: CommandLine, names: Names) -> Output:
    """The output that the command line asks for."""
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
