"""Reading scripts: from a file, -e or stdin; what they import; the options they are compiled with."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable

from ..base.diag import Diagnostics
from ..base.errors import UsageError
from ..base.source import Source
from ..lang import nodes as n
from ..probes.model import ProbeOptions
from ..sema.analyzer import CompileOptions
from .options import CommandLine

SYSTEM_INCLUDES = ("/usr/local/include", "/usr/include")
PID_MAX = 1 << 22  # PID_MAX_LIMIT in include/linux/threads.h


def read_source(line: CommandLine) -> Source:
    """The script's text. Raises UsageError when it cannot be read."""
    if line.has("program"):
        return Source("stdin", line.get("program"))
    assert line.file is not None
    if line.file == "-":
        return Source("stdin", sys.stdin.buffer.read().decode("utf-8", "surrogateescape"))
    return Source(line.file, _read_file(line.file))


def _read_file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f"failed to open file '{path}': {error.strerror}") from None


class FileReader:
    """What imports may read: files and folders beside the script."""

    def read(self, path: str) -> str | None:
        """The file's text, or None."""
        try:
            return _read_file(path)
        except UsageError:
            return None

    def entries(self, path: str) -> list[str] | None:
        """The folder's entries, sorted, or None when it is no folder."""
        try:
            return sorted(os.listdir(path))
        except OSError:
            return None

    def is_world_writable(self, path: str) -> bool:
        """Whether everyone may write into the folder."""
        try:
            mode = os.stat(path).st_mode
        except OSError:
            return False
        return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def import_all(program: n.Program, diagnostics: Diagnostics, base_dir: str) -> n.Program:
    """The program with everything it imports merged in."""
    from ..lang.imports import resolve_imports

    return resolve_imports(program, base_dir, FileReader(), diagnostics)


def base_dir_of(line: CommandLine) -> str:
    """The folder that imports are relative to."""
    return os.path.dirname(os.path.abspath(line.file)) if line.file and line.file != "-" else os.getcwd()


def compile_options(line: CommandLine, *, child_pid: int = 0, mode: str = "run") -> CompileOptions:
    """The compiler's options from the command line and the environment."""
    pid = _pid(line)
    child = line.get("child").split()
    environment = tuple(
        (name, value) for name, value in os.environ.items() if name.startswith(("BPFTRACE_", "KLOUPE_"))
    )
    return CompileOptions(
        params=tuple(line.params),
        named=tuple(line.named),
        probe=ProbeOptions(
            pid=pid or child_pid,
            unsafe=line.has("unsafe"),
            child_path=child[0] if child else (f"/proc/{pid}/exe" if pid else ""),
        ),
        child_pid=child_pid,
        only_pid=0 if line.get("engine") == "ptrace" else pid,  # it sees nobody else but what the process starts
        unsafe=line.has("unsafe"),
        environment=environment,
        report_failed_reads=line.has("failed_reads"),
        mode=mode,
        includes=tuple(("--include", f'#include "{path}"\n') for path in line.lists.get("include", ())),
        read_include=_include_reader(base_dir_of(line), line.lists.get("include_dir", [])),
        probe_filter=_regex(line.get("probe_filter")),
    )


def _include_reader(base_dir: str, folders: list[str]) -> Callable[[str, bool], tuple[str, str] | None]:
    """Finds the files of `#include`: beside the script when in quotes, in the -I folders, and in those of the system."""

    def read(path: str, quoted: bool) -> tuple[str, str] | None:
        from ..cfront.headers import is_served

        places = [*([base_dir] if quoted else []), *folders, *([] if is_served(path) else SYSTEM_INCLUDES)]
        for folder in places:
            full = os.path.join(folder, path)
            if os.path.isfile(full):
                return path, _read_file(full)
        return None

    return read


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise UsageError(f"Invalid --probe-filter regex: {error}") from None
    return text


def _pid(line: CommandLine) -> int:
    text = line.get("pid")
    if not text:
        return 0
    if not text.isdecimal():
        why = "invalid trailing bytes" if text[:1].isdecimal() else "invalid integer"
        raise UsageError(f"Failed to parse pid: {why}: {text}")
    if not 0 < int(text) <= PID_MAX:
        raise UsageError(f"Pid out of range: {text}")
    if not os.path.exists(f"/proc/{text}"):
        raise UsageError(f"Failed to watch pid {text}: there is no such process")
    return int(text)
