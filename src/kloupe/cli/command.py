"""From arguments to an action, and from errors to messages: the outermost frame of the command."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from importlib import import_module

from ..base.errors import InternalError, KloupeError, ScriptError, UsageError, VerifierError
from .options import CommandLine, help_text, parse_command_line

LANGUAGE_VERSION = "0.27.1"  # the bpftrace whose language and output this follows
SUBCOMMANDS = ("cscope", "demo", "doctor", "ftrace", "source", "syscall")  # each a module of its name
Action = Callable[[CommandLine], int]


def run_command(arguments: list[str]) -> int:
    """Run the command; every error becomes a message on stderr and an exit status."""
    _open_standard_streams()
    line = CommandLine()
    try:
        if arguments and arguments[0] in SUBCOMMANDS and not os.path.isfile(arguments[0]):
            action = import_module(f".{arguments[0]}", __package__).run
            return _written(int(action(arguments[1:])))
        line = parse_command_line(arguments)
        return _written(_action(line)(line))
    except KloupeError as error:
        report(error, line)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _silence_stdout()
        return 141
    except RecursionError:
        print("ERROR: the script is nested too deeply", file=sys.stderr)
        return 1
    except MemoryError:
        print("ERROR: out of memory", file=sys.stderr)
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            report(_unwritten(error), line)
            return UsageError.exit_status
        if os.environ.get("KLOUPE_TRACEBACK"):
            raise
        report(InternalError(f"{type(error).__name__}: {error}", hint=_REPORT_HINT), line)
        return InternalError.exit_status


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # what an unbuffered `print` raises on a full disk
_REPORT_HINT = "This is a fault of kloupe. KLOUPE_TRACEBACK=1 shows where it happened."


def _open_standard_streams() -> None:
    """Occupy descriptors that we were started without, so that no map or link takes their place. Writing to a closed stdout fails."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    for fd, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, flags)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _written(status: int) -> int:
    """The status, once all that was printed has been written. Raises UsageError, BrokenPipeError."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from None
    return status


def _unwritten(error: OSError) -> UsageError:
    _silence_stdout()
    return UsageError(f"cannot write stdout: {error.strerror}")


def _silence_stdout() -> None:
    """Keep the interpreter from complaining about the closed pipe when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _print_help(line: CommandLine) -> int:
    print(help_text(), end="")
    return 0


def _print_version(line: CommandLine) -> int:
    from .. import __version__

    if os.path.basename(sys.argv[0]) == "bpftrace":  # called by that name: what drivers of bpftrace look for
        print(f"bpftrace v{LANGUAGE_VERSION} (kloupe v{__version__})")
    else:
        print(f"kloupe v{__version__}")
    return 0


def _lazy(module: str) -> Action:
    def action(line: CommandLine) -> int:
        return int(import_module(f".{module}", __package__).run(line))

    return action


def _action(line: CommandLine) -> Action:
    """The first option of this list that was given decides."""
    table: tuple[tuple[bool, Action], ...] = (
        (line.has("help"), _print_help),
        (line.has("version"), _print_version),
        (line.has("info"), _lazy("info")),
        (line.has("listing"), _lazy("listing")),
        (line.has("fmt") or line.get("mode") == "format", _lazy("fmt")),
    )
    for given, action in table:
        if given:
            return action
    if line.file is None and not line.get("program") and not line.has("replay"):
        raise UsageError(
            "USAGE: filename or -e 'program' required.", hint="See kloupe --help; kloupe demo shows it at work."
        )
    return _lazy("run")


def use_color() -> bool:
    """Whether messages are coloured: BPFTRACE_COLOR or KLOUPE_COLOR (always, never, auto), else when stderr is a terminal."""
    choice = os.environ.get("KLOUPE_COLOR") or os.environ.get("BPFTRACE_COLOR") or "auto"
    return choice == "always" or (choice == "auto" and sys.stderr.isatty())


def report(error: KloupeError, line: CommandLine) -> None:
    """Print an error as the user should see it."""
    out = sys.stderr
    if isinstance(error, ScriptError):
        from ..base.diag import Severity, render_diagnostic

        for item in error.diagnostics:
            if item.severity is Severity.ERROR or not line.has("no_warnings"):
                out.write(render_diagnostic(item, color=use_color()))
        if os.environ.get("KLOUPE_TREE"):
            from .source_hints import missing_probe_hint

            for hint in filter(None, (missing_probe_hint(item.message) for item in error.diagnostics)):
                out.write(f"HINT: {hint}\n")
        return
    if isinstance(error, VerifierError):
        from .verifier import explain

        out.write(explain(error, whole=line.has("verbose")))
        return
    if str(error):
        out.write(f"ERROR: {error}\n")
    if error.hint:
        out.write(f"HINT: {error.hint}\n")
