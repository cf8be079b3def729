"""`kloupe demo`: a first look in one minute, without arguments, privileges or preparation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

from ..base.errors import UsageError

_SCRIPT = r"""tracepoint:syscalls:sys_enter_read /pid == cpid/
{
    printf("hello read(%d, %zu) from %s/%d%s", args.fd, args.count, comm, pid, ustack);
}

tracepoint:syscalls:sys_exit_read /pid == cpid/
{
    @bytes = hist(args.ret);
}
"""
_TEXT = "kloupe: a loupe for the kernel\n" * 40
_CHILD = ("wc", "-l")

_INTRO = """This script tells of every read(2) of a process, with the functions that led to it:

{script}
It runs here on `{command}`{how}:

"""
_NEXT = """
Lines of "hello read" came while the process ran; @bytes is the map that the script filled, printed at the end.

Next:
  kloupe -c 'ls -l' -e 'tracepoint:syscalls:sys_enter_openat {{ printf("%s\\n", str(args.filename)); }}'
  kloupe -c 'python3 -c 1' -e 'tracepoint:raw_syscalls:sys_enter {{ @calls[args.id] = count(); }}'
  kloupe -c 'ls' -e 'uprobe:libc:malloc {{ @sizes = hist(arg0); }}'
  kloupe -p PID -e 'profile:hz:99 {{ @[ustack] = count(); }}'
{more}
"""
_MORE_KERNEL = "  kloupe -l 'tracepoint:sched:*'       lists what can be traced; kloupe doctor tells what works here"
_MORE_USER = "  sudo kloupe demo                    the same through the kernel; kloupe doctor tells what works here"


def run(arguments: list[str]) -> int:
    """Show the script, run it on a small process, say what to try next; gives the exit status."""
    if arguments:
        raise UsageError("kloupe demo takes no arguments")
    program = shutil.which(_CHILD[0])
    if program is None:
        raise UsageError(f"the demo needs the program {_CHILD[0]}")
    with tempfile.TemporaryDirectory(prefix="kloupe-demo-") as folder:
        path = os.path.join(folder, "text")
        with open(path, "w", encoding="ascii") as file:
            file.write(_TEXT)
        command = f"{program} -l {path}"
        kernel = _kernel_allowed()
        how = ", in the kernel" if kernel else ", followed with ptrace: no privileges needed"
        _say(_INTRO.format(script=_SCRIPT, command=command, how=how))
        status = _run("kernel" if kernel else "ptrace", command)
        if status and kernel:
            _say("That did not work in the kernel; the same followed with ptrace:\n\n")
            kernel = False
            status = _run("ptrace", command)
    if not status:
        _say(_NEXT.format(more=_MORE_KERNEL if kernel else _MORE_USER))
    return status


def _kernel_allowed() -> bool:
    from .run import missing_privilege

    return not missing_privilege()


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _run(engine: str, command: str) -> int:
    """As a user would, in a process of its own."""
    words = [sys.executable, "-m", "kloupe", "-q", "--engine", engine, "-c", command, "-e", _SCRIPT]
    return subprocess.run(words, check=False).returncode
