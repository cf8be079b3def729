"""Facts that need no kernel at hand: the tracepoints that the ptrace engine can feed, from a packaged snapshot of their formats.

The snapshot is written by scripts/make_syscall_formats.py. Layouts are those of the kernel (kernel/trace/trace_syscalls.c:
number at 8, arguments of 8 bytes from 16 on, the result of an exit at 16).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib import resources

from ..base.ctype import INT8, INT32, Array, Field, Pointer, Space, Struct
from .arch import arch_table
from .facts import KernelFacts
from .kallsyms import Kallsyms
from .kernel_types import KernelTypes
from .live import possible_cpus
from .patterns import is_pattern, matcher
from .syscall_names import CALLS_OF_TRACEPOINTS
from .target import ArchTable, TracepointFormat
from .tracing_dir import TracingDir

# Tracepoints besides those of the system calls.
OTHER_EVENTS = (
    ("raw_syscalls", "sys_enter"),
    ("raw_syscalls", "sys_exit"),
    ("sched", "sched_process_fork"),
    ("sched", "sched_process_exec"),
    ("sched", "sched_process_exit"),
    ("signal", "signal_deliver"),
)
# Calls whose tracepoints are not as on x86_64, by the names there: (name, arguments) on the other architecture.
OTHERWISE = {
    "aarch64": {
        # CONFIG_CLONE_BACKWARDS (arch/arm64/Kconfig, kernel/fork.c)
        "clone": (
            "clone",
            "unsigned long clone_flags;unsigned long newsp;int * parent_tidptr;unsigned long tls;int * child_tidptr",
        ),
        # include/uapi/asm-generic/unistd.h, mm/fadvise.c
        "fadvise64": ("fadvise64_64", "int fd;loff_t offset;loff_t len;int advice"),
        "personality": ("arm64_personality", "unsigned int personality"),  # arch/arm64/kernel/sys.c
    }
}
_HEAD = "name: {}\nID: {}\nformat:\n"
_NUMBER = "field:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n"
_ARGUMENT = "field:{};\toffset:{};\tsize:8;\tsigned:0;\n"
_RESULT = "field:long ret;\toffset:16;\tsize:8;\tsigned:1;\n"

# Made-up layout of what scripts follow from the current task; the engine answers reads of it (engine/machine/task_memory.py).
TASK_FIELDS = {"real_parent": 0, "parent": 8, "pid": 16, "tgid": 20, "comm": 24}
_TASK_BYTES = 64
# What the user-space machine can and cannot do; other questions are not answered.
_FEATURES = {
    **dict.fromkeys(
        ("btf", "kprobe_multi", "kprobe_session", "uprobe_multi", "fentry", "fexit", "iter", "d_path"), False
    ),
    **dict.fromkeys(("kprobe", "uprobe", "bpf_cookie", "bpf_loop", "for_each_map_elem", "atomic_fetch"), True),
    **dict.fromkeys(("ringbuf", "get_attach_cookie", "signal", "ktime_get_boot_ns", "map_lookup_percpu_elem"), True),
}


class PackagedTracing(TracingDir):
    """The tracefs folder that is not there: formats of the snapshot, for the calls that an architecture has."""

    def __init__(self, arch: ArchTable) -> None:
        super().__init__(())
        self._arch = arch

    @property
    def path(self) -> str | None:
        """There is no folder."""
        return None

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Tracepoint names without `sys_enter_`, `sys_exit_` -> system-call number, in the architecture's order."""
        known = self._arch.syscall_numbers
        renamed = {CALLS_OF_TRACEPOINTS[name] for name in self._calls if name in CALLS_OF_TRACEPOINTS}
        pairs = {
            name: known[CALLS_OF_TRACEPOINTS.get(name, name)]
            for name in self._calls
            if CALLS_OF_TRACEPOINTS.get(name, name) in known
            and not (name in renamed and name not in CALLS_OF_TRACEPOINTS)
        }
        return pairs

    @cached_property
    def _text(self) -> tuple[str, str]:
        data = (resources.files(__package__) / "data" / "tracepoints.z").read_bytes()
        calls, _, others = zlib.decompress(data).decode().partition("\n\n")
        return calls, others

    @cached_property
    def _calls(self) -> dict[str, str]:
        """name -> declarations of the arguments, separated by `;`."""
        pairs = (line.partition(" ") for line in self._text[0].splitlines())
        otherwise = OTHERWISE.get(self._arch.name, {})
        return dict(otherwise.get(name, (name, declarations)) for name, _, declarations in pairs)

    @cached_property
    def _others(self) -> dict[tuple[str, str], str]:
        found = {}
        for part in self._text[1].split("@")[1:]:
            name, _, lines = part.partition("\n")
            category, _, event = name.partition(":")
            found[category, event] = lines
        return found

    def require(self) -> str:
        """The name that messages use."""
        return "packaged formats"

    def _read_text(self, category: str, event: str) -> str | None:
        head = _HEAD.format(event, 1)
        if category != "syscalls":
            lines = self._others.get((category, event))
            return head + lines if lines is not None else None
        for side in ("sys_enter_", "sys_exit_"):
            name = event.removeprefix(side)
            if name != event and name in self.numbers:
                return head + _NUMBER + (self._arguments(name) if side == "sys_enter_" else _RESULT)
        return None

    def _arguments(self, name: str) -> str:
        declarations = filter(None, self._calls[name].split(";"))
        return "".join(_ARGUMENT.format(text, 16 + 8 * index) for index, text in enumerate(declarations))

    def tracepoint(self, category: str, event: str, known: object = None) -> TracepointFormat | None:
        """See `TracingDir`."""
        text = self._read_text(category, event)
        if text is None:
            return None
        from ..cfront import parse_tracepoint_format

        found = parse_tracepoint_format(text, known, f"{category}/{event}")  # type: ignore[arg-type]
        return TracepointFormat(category, event, found.id, found.fields, found.print_fmt)

    def tracepoints(self, category: str, event: str) -> list[tuple[str, str]]:
        """See `TracingDir`."""
        if not is_pattern(category) and not is_pattern(event):
            return [(category, event)] if self._read_text(category, event) is not None else []
        calls = [("syscalls", side + name) for name in self.numbers for side in ("sys_enter_", "sys_exit_")]
        wants_category, wants_event = matcher(category), matcher(event)
        return sorted(p for p in (*calls, *self._others) if wants_category(p[0]) and wants_event(p[1]))

    def functions(self) -> list[tuple[str, str]] | None:
        """The kernel's functions that serve system calls."""
        return [(self._arch.syscall_prefix + name, "") for name in self._calls if name in self.numbers]


class PackagedFormats(PackagedTracing):
    """The formats beside a kernel whose tracefs is out of reach: what its functions are is told by its symbols."""

    def functions(self) -> list[tuple[str, str]] | None:
        """See `TracingDir`."""
        return None


class PackagedTarget(KernelFacts):
    """What can be told of any kernel: for engines that feed events from outside. Binaries are this machine's.

    Types for casts come from the kernel's own type information where that can be read; `has_btf` stays False, so that nothing is
    compiled for a kernel that does not run it.
    """

    def __init__(self, machine: str = "", btf: str = "/sys/kernel/btf") -> None:
        """Raises NotSupported on an architecture that kloupe does not know."""
        names = os.uname()
        arch = arch_table(machine or names.machine)
        formats = PackagedTracing(arch)
        super().__init__(
            arch,
            names.release,
            possible_cpus(),
            KernelTypes(btf if os.access(f"{btf}/vmlinux", os.R_OK) else "/nonexistent"),
            formats,
            Kallsyms(),
            known_features=_FEATURES,
        )
        self.call_numbers = formats.numbers  # tracepoint name without `sys_enter_` -> system-call number
        self._task = _task_struct()

    @property
    def has_btf(self) -> bool:
        """False: see the class."""
        return False

    def struct(self, kind: str, name: str) -> Struct | None:
        """A struct: the current task's as the engine makes it up, else the kernel's."""
        return self._task if (kind, name) == ("struct", "task_struct") else super().struct(kind, name)

    def functions(self, pattern: str, module: str = "") -> Iterable[str]:
        """Functions that serve system calls: others cannot be followed from outside of the kernel."""
        wanted = matcher(pattern)
        return sorted(name for name, _ in self.tracing.functions() or () if wanted(name) and module in ("", "vmlinux"))

    def function_modules(self, name: str) -> list[str]:
        """See `ListingFacts`."""
        return ["vmlinux"] if any(self.functions(name)) else []

    def modules(self) -> list[str]:
        """Only the kernel itself."""
        return ["vmlinux"]


def _task_struct() -> Struct:
    task = Struct("struct", "task_struct", _TASK_BYTES, lambda: fields)
    pointer = Pointer(task, Space.KERNEL)
    types = {"real_parent": pointer, "parent": pointer, "pid": INT32, "tgid": INT32, "comm": Array(INT8, 16)}
    fields = tuple(Field(name, types[name], offset) for name, offset in TASK_FIELDS.items())
    return task
