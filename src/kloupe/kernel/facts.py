"""`KernelFacts`: the Target over files, wherever they are. The live machine and a snapshot differ only in the places."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..base.ctype import CType, Enum, Function, Pointer, Struct
from ..binfmt.btf import ENUM, ENUM64, FUNC, STRUCT, TYPEDEF, UNION, Btf
from ..binfmt.btf_text import parameter_declarations
from .features import Asker, Features, Prober
from .kallsyms import Kallsyms
from .kernel_types import KernelTypes
from .patterns import is_pattern, literal_prefix, matcher
from .target import ArchTable, Binary, TracepointFormat
from .tracing_dir import TracingDir, read_text

_RAW = "btf_trace_"
_ITERATOR = "bpf_iter__"
# Symbols of the text section that are no functions to trace: padding, CFI stubs, cold parts.
_NO_FUNCTION = ("__pfx_", "__cfi_", "__SCT__", "__SCK__", "bpf_prog_", "bpf_trampoline_")
_TYPE_WORDS = ((STRUCT, "struct"), (UNION, "union"), (ENUM, "enum"), (ENUM64, "enum"))
_NO_MODULES = {"bpf", "__builtin__kprobes", "__builtin__ftrace"}  # owners that kallsyms names but that are no modules
_FEW = 12  # so many names are looked up one by one in less time than the whole list takes


class Iterators(Mapping[str, Struct]):
    """The kernel's iterators by object name; each context struct is looked up when it is asked for."""

    def __init__(self, btf: Btf | None) -> None:
        self._btf = btf
        names = btf.strings_with_prefix(_ITERATOR) if btf is not None else []
        self._names = [name.removeprefix(_ITERATOR) for name in names]

    def __getitem__(self, name: str) -> Struct:
        found = self._btf.struct("struct", _ITERATOR + name) if self._btf is not None and name in self._names else None
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class KernelFacts:
    """Answers every question of the Target protocol from a BTF folder, a tracing folder and a symbol list."""

    def __init__(
        self,
        arch: ArchTable,
        release: str,
        cpu_count: int,
        types: KernelTypes,
        tracing: TracingDir,
        symbols: Kallsyms,
        *,
        pid_namespace: tuple[int, int] | None = None,
        modules_path: str = "/proc/modules",
        probers: Mapping[str, Prober] | None = None,
        askers: Mapping[str, Asker] | None = None,
        known_features: Mapping[str, bool] | None = None,
    ) -> None:
        self.arch = arch
        self.release = release
        self.cpu_count = cpu_count
        self.pid_namespace = pid_namespace
        self.types = types
        self.tracing = tracing
        self.symbols = symbols
        self._modules_path = modules_path
        self.features = Features(lambda: types.vmlinux, probers, known_features, askers)
        self._memory: dict[tuple[str, ...], object] = {}
        self._binaries: dict[str, Binary] = {}
        self.debug_folders: Sequence[str] = ()  # where separate debug files of user-space programs may be

    def has(self, feature: str) -> bool | None:
        """Whether the kernel has a feature (kernel/features.py); None: could not tell."""
        return self.features.has(feature)

    @property
    def has_btf(self) -> bool:
        """Whether kernel type information is at hand."""
        return self.types.vmlinux is not None

    # -- types ------------------------------------------------------------------------------------------------------

    def struct(self, kind: str, name: str) -> Struct | None:
        """A kernel struct or union, of vmlinux or the first module that has it."""
        key = (kind, name)
        if key not in self._memory:
            self._memory[key] = self.types.first(lambda btf: btf.struct(kind, name))
        found = self._memory[key]
        return found if isinstance(found, Struct) else None

    def enum(self, name: str) -> Enum | None:
        """A kernel enum."""
        return self.types.first(lambda btf: btf.enum(name))

    def enum_constant(self, name: str) -> tuple[Enum, int] | None:
        """The enum that has constant `name`, and its value."""
        return self.types.first(lambda btf: btf.enum_constant(name))

    def typedef(self, name: str) -> CType | None:
        """What a kernel typedef names, resolved."""
        return self.types.first(lambda btf: btf.typedef(name))

    def function(self, name: str, module: str = "") -> Function | None:
        """A kernel function's signature."""
        return self.types.first(lambda btf: btf.function(name), module)

    def function_declarations(self, name: str, module: str = "") -> tuple[str, ...]:
        """A function's parameters as text (`struct file * file`), with `RESULT retval` last; empty when unknown."""
        return self.types.first(lambda btf: parameter_declarations(btf, name), module) or ()

    def type_names(self, pattern: str) -> list[str]:
        """The kernel's named types that match the glob, as `struct x`, `union x`, `enum x`, sorted."""
        btf = self.types.vmlinux
        if btf is None:
            return []
        wanted = matcher(pattern)
        found = {f"{word} {name}" for kind, word in _TYPE_WORDS for name in btf.names(kind)}
        return sorted(name for name in found if wanted(name))

    def btf_id(self, kind: str, name: str, module: str = "") -> tuple[str, int] | None:
        """(module or "vmlinux", type number) of a "function", "typedef" or "struct": what bpf(2) takes to attach by BTF."""
        kinds = {"function": (FUNC,), "typedef": (TYPEDEF,), "struct": (STRUCT,)}[kind]
        for owner, blob in self.types.blobs(module):
            position = blob.find(name, kinds)
            number = blob.id_at(position) if position is not None else None
            if number is not None:
                return owner, number
        return None

    # -- functions --------------------------------------------------------------------------------------------------

    def functions(self, pattern: str, module: str = "") -> Iterable[str]:
        """Names of functions that can be probed and match, sorted. One plain name is looked up in the symbols only."""
        if not is_pattern(pattern):
            return [pattern] if self._is_function(pattern, module) else []
        wanted = matcher(pattern)
        return sorted({name for name, _ in self._function_pairs(pattern, module) if wanted(name)})

    def function_modules(self, name: str) -> list[str]:
        """The modules that have a function of this name, "vmlinux" first."""
        found = [owner for owner, btf in self.types.blobs() if btf.find(name, (FUNC,)) is not None]
        if not found:
            owners = {owner or "vmlinux" for n, owner in self._function_pairs(name) if n == name}
            found = sorted(owners, key=lambda module: (module != "vmlinux", module))
        return found

    def modules(self) -> list[str]:
        """Loaded modules, "vmlinux" first."""
        listed = read_text(self._modules_path)
        if listed is not None:
            found = {line.split(None, 1)[0] for line in listed.splitlines() if line.strip()}
        else:
            found = {owner for _, owner in self.symbols.text_names() if owner} if self.symbols_at_hand else set()
        return ["vmlinux", *sorted((found | set(self.types.modules())) - _NO_MODULES)]

    def _is_function(self, name: str, module: str) -> bool:
        if self.tracing.has_own_functions:
            return any(known == name for known, _ in self._function_pairs(name, module))
        btf = self.types.module(module)
        if btf is not None and btf.find(name, (FUNC,)) is not None and not module:
            return True
        return self.symbols_at_hand and self.symbols.has(name, module)

    @property
    def symbols_at_hand(self) -> bool:
        """Whether the symbol list can be read at all."""
        return os.access(self.symbols.path, os.R_OK)

    def _function_pairs(self, pattern: str, module: str = "") -> Iterable[tuple[str, str]]:
        pairs: Iterable[tuple[str, str]] | None = self.tracing.functions()
        if pairs is None:
            pairs = self._probable_functions(literal_prefix(pattern))
        if module:
            owner = "" if module == "vmlinux" else module
            return [pair for pair in pairs if pair[1] == owner]
        return pairs

    def _probable_functions(self, prefix: str) -> list[tuple[str, str]]:
        """Without ftrace's list: functions of the symbol list, those of the kernel only if its types know them."""
        btf = self.types.vmlinux
        if not self.symbols_at_hand:
            return [(name, "") for name in btf.names(FUNC)] if btf is not None else []
        found = [
            (name, owner)
            for name, owner in self.symbols.text_names(prefix)
            if "." not in name and not name.startswith(_NO_FUNCTION)
        ]
        if btf is None:
            return found
        typed = set(btf.names(FUNC)) if len(found) > _FEW else {n for n, _ in found if btf.find(n, (FUNC,)) is not None}
        return [(name, owner) for name, owner in found if owner or name in typed]

    def ksym(self, name: str) -> int | None:
        """A kernel symbol's address; None when there is none or addresses are hidden."""
        return self.symbols.address(name)

    # -- tracepoints and iterators ----------------------------------------------------------------------------------

    def tracepoint(self, category: str, event: str) -> TracepointFormat | None:
        """A tracepoint's format. Raises MissingFacts without tracefs."""
        return self.tracing.tracepoint(category, event, self)

    def tracepoints(self, category: str, event: str) -> list[tuple[str, str]]:
        """(category, event) of all tracepoints that match both patterns, sorted. Raises MissingFacts without tracefs."""
        return self.tracing.tracepoints(category, event)

    def raw_tracepoint(self, event: str) -> Function | None:
        """A raw tracepoint's arguments, named as in the kernel's `__traceiter_EVENT`, else arg0, arg1, ..."""
        return self.types.first(lambda btf: _raw_signature(btf, event))

    def raw_tracepoint_declarations(self, event: str) -> tuple[str, ...]:
        """A raw tracepoint's arguments as text; empty when unknown."""
        found = self.types.first(lambda btf: parameter_declarations(btf, f"__traceiter_{event}"))
        return found[1:-1] if found else ()

    def raw_tracepoints(self, pattern: str) -> list[str]:
        """Names of raw tracepoints that match, of the kernel and its modules, sorted."""
        if not is_pattern(pattern):
            return [pattern] if self.raw_tracepoint(pattern) is not None else []
        wanted, cut = matcher(pattern), len(_RAW)
        found = (text[cut:] for _, btf in self.types.blobs() for text in btf.strings_with_prefix(_RAW))
        return sorted({name for name in found if wanted(name)})

    def iterators(self) -> Mapping[str, Struct]:
        """The kernel's BPF iterators by object name ("task")."""
        return Iterators(self.types.vmlinux)

    # -- user space -------------------------------------------------------------------------------------------------

    def binary(self, path: str) -> Binary:
        """The ELF file at `path`. Raises FormatError, MissingFacts, PermissionNeeded."""
        found = self._binaries.get(path)
        if found is None:
            from .binary import open_binary

            found = self._binaries[path] = open_binary(path, self.debug_folders)
        return found

    def resolve_library(self, name: str, pid: int | None = None) -> list[str]:
        """Paths that a probe's binary part names: a path, a program on PATH, a library ("libc", "libssl.so.3"), a pattern."""
        from .libraries import resolve

        return resolve(name, self.arch.name, pid)

    def mapped_files(self, pid: int | None) -> list[str]:
        """Paths of the files that a process (None: any process that we may look at) has mapped executable, sorted."""
        from .libraries import mapped_files

        return mapped_files(pid)

    def cgroup_id(self, path: str) -> int | None:
        """The id of a cgroup v2 folder: its inode number (kernfs uses one number for both on 64-bit kernels)."""
        try:
            return os.stat(path).st_ino if os.path.isdir(path) else None
        except OSError:
            return None


def _raw_signature(btf: Btf, event: str) -> Function | None:
    found = btf.typedef(_RAW + event)
    target = found.target if isinstance(found, Pointer) else None
    if not isinstance(target, Function):
        return None
    named = btf.function(f"__traceiter_{event}")
    source = named if named is not None and len(named.parameters) == len(target.parameters) else target
    parameters = tuple((name or f"arg{i}", t) for i, (name, t) in enumerate(source.parameters[1:]))
    return Function(target.result, parameters, target.variadic)
