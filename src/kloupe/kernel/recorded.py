"""The Target of a replay: tracepoints are those of the recording; types and symbols come from this machine as far as it tells."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Protocol

from ..base.ctype import Function, Struct
from ..base.errors import FormatError, TargetError
from ..cfront import parse_tracepoint_format
from .arch import arch_table
from .facts import KernelFacts
from .kallsyms import Kallsyms
from .kernel_types import KernelTypes
from .libraries import is_library
from .patterns import matcher
from .target import Binary, Symbol, TracepointFormat, UsdtProbe
from .tracing_dir import TracingDir

_USER_KINDS = ("uprobe", "uretprobe")
_ALWAYS_ASKED = ("pt_regs", "task_struct")  # for system-call tracepoints, whatever the script does
_FUNCTION_KINDS = ("kprobe", "kretprobe", "fentry", "fexit")
# What the user-space machine can do and what recorded points do not need; other questions go to this machine's types.
_FEATURES = {
    **dict.fromkeys(
        ("kprobe", "uprobe", "fentry", "fexit", "iter", "bpf_cookie", "bpf_loop", "for_each_map_elem"), True
    ),
    **dict.fromkeys(
        ("atomic_fetch", "ktime_get_boot_ns", "ktime_get_tai_ns", "get_func_ip", "d_path", "jiffies64"), True
    ),
    **dict.fromkeys(("kprobe_multi", "kprobe_session", "uprobe_multi", "map_mmap"), False),
}


class Described(Protocol):
    """What a recording tells about its machine."""

    arch: str
    release: str
    cpus: int
    formats: Mapping[str, str]
    points: list[list[str]]


class RecordedTracing(TracingDir):
    """The formats in a recording."""

    def __init__(self, formats: Mapping[str, str]) -> None:
        super().__init__([])
        self._texts = {(c, e): text for (c, _, e), text in ((name.partition(":"), t) for name, t in formats.items())}

    @property
    def path(self) -> str | None:
        """There is no folder."""
        return None

    def tracepoint(self, category: str, event: str, known: object = None) -> TracepointFormat | None:
        """See TracingDir."""
        text = self._texts.get((category, event))
        if text is None:
            return None
        found = parse_tracepoint_format(text, known, f"{category}:{event} in the recording")  # type: ignore[arg-type]
        return TracepointFormat(category, event, found.id, found.fields, found.print_fmt)

    def tracepoints(self, category: str, event: str) -> list[tuple[str, str]]:
        """See TracingDir."""
        wants_category, wants_event = matcher(category), matcher(event)
        return sorted(pair for pair in self._texts if wants_category(pair[0]) and wants_event(pair[1]))


class RecordedBinary:
    """A Binary of which a recording has functions: where the file itself is not here, or is another one, they are all that is known of it."""

    def __init__(self, path: str, names: set[str], file: Binary | None) -> None:
        self.path = path
        self._symbols = {name: Symbol(name, 0, 0, 1) for name in names}
        self._file = file

    def symbol(self, name: str) -> Symbol | None:
        """See Binary."""
        return (self._file.symbol(name) if self._file else None) or self._symbols.get(name)

    def symbols(self, pattern: str) -> list[Symbol]:
        """See Binary: the recorded ones, since no others have runs."""
        return [self._symbols[name] for name in sorted(filter(matcher(pattern), self._symbols))]

    def symbol_at(self, file_offset: int) -> Symbol | None:
        """See Binary."""
        return self._file.symbol_at(file_offset) if self._file else None

    def offset_of_address(self, address: int) -> int | None:
        """See Binary."""
        return self._file.offset_of_address(address) if self._file else None

    def usdt(self) -> list[UsdtProbe]:
        """See Binary."""
        return self._file.usdt() if self._file else []

    def function_arguments(self, name: str) -> Function | None:
        """See Binary."""
        return self._file.function_arguments(name) if self._file else None

    def line_offsets(self, file: str, line: int, column: int = 0) -> list[int]:
        """See Binary."""
        return self._file.line_offsets(file, line, column) if self._file else []

    def struct(self, kind: str, name: str) -> Struct | None:
        """See Binary."""
        return self._file.struct(kind, name) if self._file else None


class RecordedTarget(KernelFacts):
    """See Target. `base_release` is the kernel that types come from, `uses_types` whether a script needed any."""

    def __init__(self, described: Described) -> None:
        super().__init__(
            arch_table(described.arch),
            described.release,
            described.cpus,
            KernelTypes("/sys/kernel/btf"),
            RecordedTracing(described.formats),
            Kallsyms(),
            known_features=_FEATURES,
        )
        self.uses_types = False
        self.base_release = os.uname().release
        self._functions = sorted(
            {name.rpartition(":")[2] for names in described.points for name in names if _is_function(name)}
        )
        self._user_functions: dict[str, set[str]] = {}  # by the path of their file
        for kind, _, place in (name.partition(":") for names in described.points for name in names):
            path, _, function = place.rpartition(":")
            if kind in _USER_KINDS and path:
                self._user_functions.setdefault(path, set()).add(function.partition("+")[0])

    def resolve_library(self, name: str, pid: int | None = None) -> list[str]:
        """See Target: what the recorded probes named, by the path that they found it under."""
        wanted = matcher(name)
        found = [
            path
            for path in self._user_functions
            if wanted(path) or ("/" not in name and is_library(os.path.basename(path), name))
        ]
        return found or super().resolve_library(name, pid)

    def binary(self, path: str) -> Binary:
        """See Target."""
        names = self._user_functions.get(path)
        if names is None:
            return super().binary(path)
        try:
            return RecordedBinary(path, names, super().binary(path))
        except (FormatError, TargetError):
            return RecordedBinary(path, names, None)

    def struct(self, kind: str, name: str) -> Struct | None:
        """See Target."""
        found = super().struct(kind, name)
        self.uses_types = self.uses_types or (found is not None and name not in _ALWAYS_ASKED)
        return found

    def function(self, name: str, module: str = "") -> Function | None:
        """See Target."""
        found = super().function(name, module)
        self.uses_types = self.uses_types or found is not None
        return found

    def functions(self, pattern: str, module: str = "") -> Iterable[str]:
        """The recorded functions that match."""
        return list(filter(matcher(pattern), self._functions))


def _is_function(name: str) -> bool:
    return name.partition(":")[0] in _FUNCTION_KINDS and "+" not in name
