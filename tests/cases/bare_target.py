"""A machine without a kernel: what the compiler may ask for when a script needs no kernel facts."""

from collections.abc import Iterable, Mapping

from kloupe.base.ctype import CType, Enum, Function, Struct
from kloupe.base.errors import MissingFacts
from kloupe.kernel.arch import arch_table
from kloupe.kernel.target import Binary, TracepointFormat

LACKS = {"btf", "kprobe_multi", "uprobe_multi", "cpu_v4"}


class BareTarget:
    """See kernel.target.Target. Has every helper, no type information, no tracefs, two CPUs."""

    arch = arch_table("x86_64")
    release = "6.18.0"
    cpu_count = 2
    pid_namespace = None
    has_btf = False

    def has(self, feature: str) -> bool | None:
        return feature not in LACKS

    def struct(self, kind: str, name: str) -> Struct | None:
        return None

    def enum(self, name: str) -> Enum | None:
        return None

    def enum_constant(self, name: str) -> tuple[Enum, int] | None:
        return None

    def typedef(self, name: str) -> CType | None:
        return None

    def function(self, name: str, module: str = "") -> Function | None:
        return None

    def functions(self, pattern: str, module: str = "") -> Iterable[str]:
        return []

    def tracepoint(self, category: str, event: str) -> TracepointFormat | None:
        return None

    def tracepoints(self, category: str, event: str) -> list[tuple[str, str]]:
        return []

    def raw_tracepoint(self, event: str) -> Function | None:
        return None

    def raw_tracepoints(self, pattern: str) -> list[str]:
        return []

    def iterators(self) -> Mapping[str, Struct]:
        return {}

    def ksym(self, name: str) -> int | None:
        return None

    def binary(self, path: str) -> Binary:
        raise MissingFacts(f"no file {path}")

    def resolve_library(self, name: str, pid: int | None = None) -> list[str]:
        return []

    def cgroup_id(self, path: str) -> int | None:
        return None
