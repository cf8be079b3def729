"""The command line: a table of options with bpftrace's names and meanings, and the parser that reads it.

An own parser because argparse alone takes longer to import than the rest of the start, and because what follows the
script's name belongs to the script.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import did_you_mean
from ..base.errors import UsageError
from ..base.record import field, record


@record(frozen=True)
class Option:
    """One option: its spellings, the name of its argument ("" for a flag), what it does. `ignored` ones are accepted only."""

    names: tuple[str, ...]
    argument: str
    doc: str
    ignored: bool = False


OPTIONS: dict[str, Option] = {
    "program": Option(("-e",), "PROGRAM", "run this program"),
    "listing": Option(("-l", "--list"), "", "list probes that match a pattern, or those of a script"),
    "pid": Option(("-p", "--pid"), "PID", "trace this process where the probe can, and end with it"),
    "child": Option(("-c", "--cmd"), "COMMAND", "run the command, trace it, and end with it"),
    "output": Option(("-o", "--output"), "FILE", "write the output to a file"),
    "format": Option(("-f", "--format"), "FORMAT", "text or json"),
    "buffering": Option(("-B",), "MODE", "output buffering: line, full or none"),
    "quiet": Option(("-q", "--quiet"), "", "do not say how many probes are attached"),
    "verbose": Option(("-v", "--verbose"), "", "say more"),
    "failed_reads": Option(("-k", "--warnings"), "", "report failed reads of memory"),
    "no_warnings": Option(("--no-warnings",), "", "hide warnings"),
    "include_dir": Option(("-I",), "DIR", "look here for included files"),
    "include": Option(("--include",), "FILE", "include this file first"),
    "unsafe": Option(("--unsafe",), "", "allow what changes the traced system"),
    "dry_run": Option(("--dry-run",), "", "end after attaching"),
    "test": Option(("--test",), "", "run the test probes"),
    "bench": Option(("--bench",), "", "run the bench probes"),
    "fmt": Option(("--fmt",), "", "print the script in the standard layout"),
    "debug": Option(("-d", "--debug"), "STAGE", "print stages: ast, types, ir, asm, verifier or all"),
    "emit": Option(("--emit",), "FILE", "write the compiled script to a file instead of running it"),
    "engine": Option(("--engine",), "NAME", "kernel, ptrace or machine (default: the best that works here)"),
    "record": Option(("--record",), "FILE", "keep what the probes see in a recording"),
    "replay": Option(("--replay",), "FILE", "run the recorded script, or another one, over a recording"),
    "info": Option(("--info",), "", "print what this system offers"),
    "version": Option(("-V", "--version"), "", "print the version"),
    "help": Option(("-h", "--help"), "", "print this help"),
    "mode": Option(("--mode",), "MODE", "test, bench, format, compiler-bench or codegen"),
    "verify_llvm_ir": Option(("--verify-llvm-ir",), "", "accepted for bpftrace's drivers", True),
    "aot": Option(("--aot",), "FILE", "not supported; see --emit", True),
    "traceable_functions": Option(("--traceable-functions",), "FILE", "the kernel functions that can be traced"),
    "dwarf_pid": Option(("--dwarf-pid",), "PID", "accepted for bpftrace's drivers", True),
    "usdt_file_activation": Option(("--usdt-file-activation",), "", "accepted for bpftrace's drivers", True),
    "debuginfo": Option(("--debuginfo",), "DIR[:DIR]", "look here for separate debug files of programs"),
    "no_feature": Option(("--no-feature",), "FEATURES", "do without these kernel features"),
    "probe_filter": Option(("--probe-filter",), "REGEX", "only probes whose name matches"),
    "emit_elf": Option(("--emit-elf",), "FILE", "not supported; see --emit", True),
    "emit_llvm": Option(("--emit-llvm",), "FILE", "not supported; see --emit", True),
}
_BY_NAME = {name: key for key, option in OPTIONS.items() for name in option.names}
USAGE = "USAGE:\n    kloupe [options] FILE\n    kloupe [options] -e PROGRAM\n    kloupe --help"
REPEATED = {"include_dir", "include", "debuginfo", "debug"}


@record
class CommandLine:
    """What was given. `file` is the script; `params` and `named` are the script's own arguments."""

    values: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    file: str | None = None
    params: list[str] = field(default_factory=list)
    named: list[tuple[str, str | None]] = field(default_factory=list)

    def has(self, key: str) -> bool:
        """Whether the option was given."""
        return key in self.values

    def get(self, key: str, default: str = "") -> str:
        """The option's argument."""
        return self.values.get(key, default)


def parse_command_line(arguments: Sequence[str]) -> CommandLine:
    """Read the arguments. Raises UsageError for an unknown option or a missing argument."""
    line = CommandLine()
    rest = list(arguments)
    positional: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            _read_script_arguments(line, rest, positional)
            break
        if word == "-" or not word.startswith("-"):
            positional.append(word)
        elif word.startswith("--"):
            _long(line, word, rest)
        else:
            _short(line, word, rest)
    if positional and not line.has("program"):
        line.file = positional.pop(0)
    line.params = positional + line.params
    return line


def _read_script_arguments(line: CommandLine, words: list[str], positional: list[str]) -> None:
    for word in words:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            line.named.append((name, value if equals else None))
        else:
            positional.append(word)


def _set(line: CommandLine, key: str, value: str) -> None:
    if key in REPEATED:
        line.lists.setdefault(key, []).append(value)
    line.values[key] = value


def _long(line: CommandLine, word: str, rest: list[str]) -> None:
    name, equals, value = word.partition("=")
    key = _BY_NAME.get(name)
    if key is None:
        near = did_you_mean(name, _BY_NAME)
        raise UsageError(f"unknown option {name}\n{USAGE}", hint=near[0] if near else "")
    if OPTIONS[key].argument:
        if not equals:
            if not rest:
                raise UsageError(f"{name} needs an argument: {OPTIONS[key].argument}")
            value = rest.pop(0)
        _set(line, key, value)
    elif equals:
        raise UsageError(f"{name} takes no argument")
    else:
        _set(line, key, "1")


def _short(line: CommandLine, word: str, rest: list[str]) -> None:
    letters = word[1:]
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        key = _BY_NAME.get(name)
        if key is None:
            raise UsageError(f"unknown option {name}\n{USAGE}")
        if not OPTIONS[key].argument:
            _set(line, key, line.get(key) + "1")
            continue
        if not letters and not rest:
            raise UsageError(f"{name} needs an argument: {OPTIONS[key].argument}")
        _set(line, key, letters or rest.pop(0))
        return


def help_text() -> str:
    """The text of --help."""
    lines = [
        "USAGE:",
        "    kloupe [options] FILE [arguments of the script]",
        "    kloupe [options] -e 'PROGRAM' [arguments of the script]",
        "    kloupe -l [PATTERN]",
        "    kloupe demo | doctor",
        "",
        "OPTIONS:",
    ]
    for option in OPTIONS.values():
        if not option.ignored:
            names = ", ".join(option.names) + (f" {option.argument}" if option.argument else "")
            lines.append(f"    {names:<24} {option.doc}")
    lines += [
        "",
        "EXAMPLES:",
        "    kloupe -e 'begin { printf(\"hello, World!\\n\"); }'",
        "    kloupe -c ./foo -e 'tracepoint:syscalls:sys_enter_read /pid == cpid/ { @[args.fd] = count(); }'",
        "    kloupe -lv 'tracepoint:syscalls:sys_enter_read'",
    ]
    return "\n".join(lines) + "\n"
