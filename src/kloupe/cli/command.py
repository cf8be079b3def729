"""From arguments to an action, and from errors to messages: the outermost frame of the command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module

from ..base.errors import InternalError, KloupeError, ScriptError, UsageError, VerifierError
from .options import CommandLine, help_text, parse_command_line

LANGUAGE_VERSION = "0.27.1"  # the bpftrace whose language and output this follows
SUBCOMMANDS = {
    **{"demo": "demo", "doctor": "doctor"},
    **{"source": "source", "syscall": "syscall", "cscope": "cscope"},
}
Action = Callable[[CommandLine], int]


def run_command(arguments: list[str]) -> int:
    """Run the command; every error becomes a message on stderr and an exit status."""
    line = CommandLine()
    try:
        if arguments and arguments[0] in SUBCOMMANDS and not os.path.isfile(arguments[0]):
            action = import_module(f".{SUBCOMMANDS[arguments[0]]}", __package__).run
            return int(action(arguments[1:]))
        line = parse_command_line(arguments)
        return _action(line)(line)
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
        if os.environ.get("KLOUPE_TRACEBACK"):
            raise
        report(InternalError(f"{type(error).__name__}: {error}", hint=_REPORT_HINT), line)
        return InternalError.exit_status


_REPORT_HINT = "This is a fault of kloupe. KLOUPE_TRACEBACK=1 shows where it happened."


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
        raise UsageError("USAGE: filename or -e 'program' required.", hint="See kloupe --help.")
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
