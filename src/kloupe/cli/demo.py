"""`kloupe demo`: a first look in one minute, without arguments, privileges or preparation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

from ..base.errors import UsageError

_FOO = """#!{shell}

echo x > x
cat x
"""
_SCRIPT = r"""tracepoint:syscalls:sys_enter_read /comm == "foo"/
{
    printf("hello read(%d, %s, %zu) %s/%d [%s]\n",
        args.fd, str(args.buf, 24), args.count, comm, pid, ustack(4));
}

tracepoint:syscalls:sys_exit_read /comm == "foo"/
{
    @bytes = hist(args.ret);
}
"""
_ALONE = r"""begin
{
    for ($i : 0..100) { @squares = hist($i * $i); }
    printf("hello from process %d\n", pid);
}
"""

_PROGRAM = """A small program to look at, ./foo:

{foo}
"""
_INTRO = """A script for it, read.bt: at each read(2) of foo its arguments, what is in the buffer so far, and
the functions that led to it; at each return it counts the bytes.

{script}
"""
_RUN = "$ kloupe {engine}-c ./foo read.bt"
_EXPLAINED = """
"x" is what foo prints. Each "hello read(...)" was printed while foo ran: the dynamic linker reads the heads of
libraries, the shell reads its script in a buffer that still holds what was there before. @bytes is a map that the
script filled; maps are printed at the end.
"""
_NEXT = """
  kloupe -c ls -e 'tracepoint:syscalls:sys_enter_openat /pid == cpid/ {{ printf("%s\\n", str(args.filename)); }}'
  kloupe -c ls -e 'tracepoint:syscalls:sys_enter_* /pid == cpid/ {{ @[probe] = count(); }}'
  kloupe -c ls -e 'uprobe:libc:malloc /pid == cpid/ {{ @sizes = hist(arg0); }}'
  kloupe --record ls.klr -c ls -e 'tracepoint:raw_syscalls:sys_enter /pid == cpid/ {{ @[args.id] = count(); }}'
  kloupe --replay ls.klr
{more}
"""
_MORE_KERNEL = "  kloupe -l 'tracepoint:sched:*'   lists what can be traced; kloupe doctor tells what works here"
_MORE_USER = "  sudo kloupe demo   the same through the kernel; kloupe doctor tells what works here, and why not more"
_NOT_HERE = "\nThat does not work here (see above). {then}\n\n"
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def run(arguments: list[str]) -> int:
    """Show the script, run it on a small process with the best engine that works, say what to try next; gives the exit status."""
    if arguments:
        raise UsageError("kloupe demo takes no arguments")
    with tempfile.TemporaryDirectory(prefix="kloupe-demo-") as folder:
        foo = _FOO.format(shell=shutil.which("bash") or shutil.which("sh") or "/bin/sh")
        _write(folder, "foo", foo)
        _write(folder, "read.bt", _SCRIPT)
        _say(_PROGRAM.format(foo=_indented(foo)) + _INTRO.format(script=_indented(_SCRIPT)))
        engine, status = _try_engines(folder)
    if status:
        return status
    if engine != "machine":
        _say(_EXPLAINED)
    _head("\nNext:\n")
    _say(_NEXT.format(more=_MORE_KERNEL if engine == "kernel" else _MORE_USER))
    return 0


def _try_engines(folder: str) -> tuple[str, int]:
    """The engine that did it, and the exit status."""
    from .run import missing_privilege

    follow = ("-c", "./foo", "read.bt")
    kernel = () if missing_privilege() else (("kernel", "", follow),)
    tries = (
        *kernel,
        ("ptrace", "The same by following the process with ptrace, which needs no privileges:", follow),
        ("machine", "Without following anybody, in the machine that runs scripts without a kernel:", ("-e", _ALONE)),
    )
    status = 0
    for index, (engine, then, words) in enumerate(tries):
        if index:
            _say(_NOT_HERE.format(then=then))
        _head(_RUN.format(engine="--engine ptrace " if engine == "ptrace" else "") if words is follow else _ALONE)
        _say("\n")
        status = _kloupe(folder, engine, words)
        if not status:
            return engine, status
    return "", status


def _kloupe(folder: str, engine: str, words: tuple[str, ...]) -> int:
    """As a user would, in a process of its own."""
    command = [sys.executable, "-m", "kloupe", "-q", "--engine", engine, *words]
    return subprocess.run(command, check=False, cwd=folder).returncode


def _write(folder: str, name: str, text: str) -> None:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, 0o755)


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())


def _head(text: str) -> None:
    """What leads the eye, in bold on a terminal."""
    _say(f"{_BOLD}{text}{_PLAIN}" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text)


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
