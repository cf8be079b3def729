"""Writes the man page and the shell completions from the command's option table: docs/kloupe.1 and completions/."""

from __future__ import annotations

from pathlib import Path

from kloupe.cli.command import SUBCOMMANDS
from kloupe.cli.options import OPTIONS, Option
from kloupe.cli.source import VERBS

PROJECT = Path(__file__).parents[1]
CHOICES = {"format": ("text", "json"), "buffering": ("line", "full", "none"), "engine": ("kernel", "ptrace", "machine")}
COMMANDS = {
    "cscope": ("[OPTIONS]", "answers editors in cscope's stead"),
    "demo": ("", "shows a script at work"),
    "doctor": ("", "says what this kernel and this user can do"),
    "ftrace": ("VERB ...", "the kernel's own tracer"),
    "source": ("VERB ...", f"questions about a kernel tree: {', '.join(VERBS)}"),
    "syscall": ("NAME|NUMBER|PATTERN", "all about a system call"),
}
assert tuple(COMMANDS) == SUBCOMMANDS
SHOWN = {key: option for key, option in OPTIONS.items() if not option.ignored}


def man_page() -> str:
    """The man page, in man(7) macros."""
    lines = [
        '.TH KLOUPE 1 "" "kloupe" "User Commands"',
        ".SH NAME",
        "kloupe \\- trace the Linux kernel in the bpftrace language",
        ".SH SYNOPSIS",
        ".B kloupe",
        "[options] FILE [arguments of the script]",
        ".br",
        ".B kloupe",
        "[options] \\-e PROGRAM [arguments of the script]",
        ".br",
        ".B kloupe \\-l",
        "[PATTERN]",
        ".br",
        ".B kloupe",
        "COMMAND [arguments]",
        ".SH DESCRIPTION",
        "kloupe compiles a script to eBPF by itself, loads it into the kernel, and prints what it reports.",
        "Without the privilege for that it runs scripts that need no kernel in a user-space machine.",
        ".SH COMMANDS",
        "Each has a help of its own: kloupe COMMAND \\-\\-help.",
    ]
    for name, (argument, doc) in COMMANDS.items():
        lines += [
            ".TP",
            f"\\fB{name}\\fR" + (f" \\fI{argument}\\fR" if argument else ""),
            doc[0].upper() + doc[1:] + ".",
        ]
    lines += [".SH OPTIONS"]
    for option in SHOWN.values():
        names = ", ".join(f"\\fB{_escaped(name)}\\fR" for name in option.names)
        lines += [
            ".TP",
            names + (f" \\fI{option.argument}\\fR" if option.argument else ""),
            option.doc[0].upper() + option.doc[1:] + ".",
        ]
    lines += [
        ".SH ENVIRONMENT",
        "Config variables can be set as \\fBBPFTRACE_\\fINAME\\fR or \\fBKLOUPE_\\fINAME\\fR; they win over the script's config block.",
        ".PP",
        "KLOUPE_TREE names a kernel tree for source and syscall; with one, listings, messages about missing probes, kernel stacks and the trees and tables of ftrace name places in it.",
        ".SH EXIT STATUS",
        "What the script's exit() says; 1 for mistakes in the script or on the command line, 2 for bad environment values, "
        "255 when the kernel refuses a program or a probe.",
        ".SH SEE ALSO",
        "docs/language.md, docs/ftrace.md and docs/source.md in the project.",
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("-", "\\-")


def bash_completion() -> str:
    """Completion for bash."""
    words = " ".join(name for option in SHOWN.values() for name in option.names)
    cases = "".join(
        f'        {"|".join(OPTIONS[key].names)}) COMPREPLY=($(compgen -W "{" ".join(values)}" -- "$word")); return ;;\n'
        for key, values in CHOICES.items()
    )
    return (
        "# bash completion for kloupe\n_kloupe() {\n"
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"\n'
        f'    case "$before" in\n{cases}    esac\n'
        "    if [[ $COMP_CWORD == 2 && $before == source ]]; then\n"
        f'        COMPREPLY=($(compgen -W "{" ".join(VERBS)}" -- "$word")); return\n'
        "    fi\n"
        "    if [[ $word == -* ]]; then\n"
        f'        COMPREPLY=($(compgen -W "{words}" -- "$word"))\n'
        "    else\n"
        f'        COMPREPLY=($(compgen -W "{" ".join(SUBCOMMANDS)}" -- "$word") $(compgen -f -- "$word"))\n'
        "    fi\n}\ncomplete -F _kloupe kloupe\n"
    )


def zsh_completion() -> str:
    """Completion for zsh."""
    rows = "".join(_zsh_row(key, name, option) for key, option in SHOWN.items() for name in option.names)
    return f"#compdef kloupe\n_arguments \\\n{rows}    '*:script:_files'\n"


def _zsh_row(key: str, name: str, option: Option) -> str:
    doc = option.doc.replace("'", "").replace(":", ",").replace("[", "(").replace("]", ")")
    argument = ""
    if option.argument:
        values = f"({' '.join(CHOICES[key])})" if key in CHOICES else "_files"
        argument = f":{option.argument}:{values}"
    return f"    '{name}[{doc}]{argument}' \\\n"


def fish_completion() -> str:
    """Completion for fish."""
    lines = [
        f"complete -c kloupe -n __fish_use_subcommand -a '{' '.join(SUBCOMMANDS)}'",
        f"complete -c kloupe -n '__fish_seen_subcommand_from source' -a '{' '.join(VERBS)}'",
    ]
    for key, option in SHOWN.items():
        names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
        values = f" -x -a '{' '.join(CHOICES[key])}'" if key in CHOICES else " -r" if option.argument else ""
        lines.append(f"complete -c kloupe {names}{values} -d '{option.doc.replace(chr(39), '')}'")
    return "\n".join(lines) + "\n"


FILES = {
    "docs/kloupe.1": man_page,
    "completions/kloupe.bash": bash_completion,
    "completions/_kloupe": zsh_completion,
    "completions/kloupe.fish": fish_completion,
}

if __name__ == "__main__":
    for path, make in FILES.items():
        (PROJECT / path).parent.mkdir(exist_ok=True)
        (PROJECT / path).write_text(make())
