"""The running machine as a Target."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from .arch import arch_table
from .facts import KernelFacts
from .features import Asker, Prober
from .kallsyms import Kallsyms
from .kernel_types import KernelTypes
from .target import BpfFunction
from .tracing_dir import PLACES, TracingDir

# The inode of the initial pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h).
_FIRST_PID_NAMESPACE = 0xEFFFFFFC


class LiveTarget(KernelFacts):
    """Facts of this machine's kernel, read when asked for.

    `probers` and `askers` try out features that the kernel's types cannot tell (by the name of a feature or a family); `btf` replaces the path of the kernel's
    own BTF; `tracing_places` are the folders where tracefs may be mounted.
    """

    def __init__(
        self,
        probers: Mapping[str, Prober] | None = None,
        btf: str = "",
        tracing_places: Sequence[str] = PLACES,
        locate_tracefs: Callable[[], str] | None = None,
        askers: Mapping[str, Asker] | None = None,
    ) -> None:
        """Raises NotSupported on an architecture that kloupe does not know."""
        names = os.uname()
        super().__init__(
            arch_table(names.machine),
            names.release,
            possible_cpus(),
            KernelTypes(vmlinux=btf),
            TracingDir(tracing_places, locate_tracefs),
            Kallsyms(),
            pid_namespace=_pid_namespace(),
            probers=probers,
            askers=askers,
        )

    def bpf_functions(self) -> list[BpfFunction]:
        """The functions of all loaded BPF programs that have type information. Raises PermissionNeeded."""
        from .bpf_programs import loaded_functions

        return loaded_functions()


def possible_cpus(path: str = "/sys/devices/system/cpu/possible") -> int:
    """The number of possible CPUs (one more than the highest; per-CPU map values have as many parts)."""
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read().strip().replace(",", "-").rsplit("-", 1)[-1]) + 1
    except (OSError, ValueError):
        return os.cpu_count() or 1


def _pid_namespace() -> tuple[int, int] | None:
    try:
        found = os.stat("/proc/self/ns/pid")
    except OSError:
        return None
    return None if found.st_ino == _FIRST_PID_NAMESPACE else (found.st_dev, found.st_ino)
