"""`Target`: what the compiler may ask about the machine a script is compiled for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from ..base.ctype import CType, Enum, Field, Function, Struct
from ..base.record import record


@record(frozen=True)
class ArchTable:
    """One architecture's calling convention and registers; each instance in kernel/arch/ cites its ABI document.

    Offsets are bytes into the kernel's `struct pt_regs` as eBPF programs see it (bpf_user_pt_regs_t).
    """

    name: str  # as uname -m: "x86_64", "aarch64"
    registers: Mapping[str, int]  # the names that reg() takes -> pt_regs offset
    arguments: tuple[str, ...]  # registers of the first integer arguments of a kernel or C function, in order
    syscall_arguments: tuple[str, ...]  # registers of the system-call arguments in the syscall's pt_regs
    result: str
    stack_pointer: str
    instruction_pointer: str
    stack_argument_offset: int  # of the first stack-passed argument from the stack pointer at function entry
    syscall_prefix: str  # "__x64_sys_", "__arm64_sys_"
    syscall_numbers: Mapping[str, int]  # name -> number
    dwarf_registers: tuple[str, ...]  # DWARF register number -> register name
    page_size: int = 4096


@record(frozen=True)
class TracepointFormat:
    """A tracepoint's `format` file: id, fields (common_* first) and the print fmt text."""

    category: str
    event: str
    id: int
    fields: tuple[Field, ...]
    print_fmt: str = ""


@record(frozen=True)
class Symbol:
    """An ELF symbol: file offset of its code, virtual address, size, and whether it is a function."""

    name: str
    file_offset: int
    address: int
    size: int
    is_function: bool = True


@record(frozen=True)
class UsdtArgument:
    """One argument of a USDT note: `size` bytes (signed or not) from a constant, a register or memory.

    `text` is as the note writes it. Exactly one of `constant`, `register` is set; for memory `register` is the base, `offset`
    the displacement and `is_memory` true.
    """

    text: str
    size: int
    signed: bool
    constant: int | None = None
    register: str = ""
    is_memory: bool = False
    offset: int = 0
    index_register: str = ""
    scale: int = 1


@record(frozen=True)
class UsdtProbe:
    """A USDT probe location in a file. Offsets are file offsets; `semaphore_offset` 0: none."""

    provider: str
    name: str
    file_offset: int
    address: int
    semaphore_offset: int
    arguments: tuple[UsdtArgument, ...]


class Binary(Protocol):
    """A user-space ELF file."""

    path: str

    def symbol(self, name: str) -> Symbol | None:
        """The symbol (symtab, then dynsym, then .gnu_debugdata), or None."""

    def symbols(self, pattern: str) -> list[Symbol]:
        """Function symbols whose name matches the glob, sorted by name."""

    def symbol_at(self, file_offset: int) -> Symbol | None:
        """The function symbol that covers this file offset."""

    def offset_of_address(self, address: int) -> int | None:
        """File offset of a virtual address, or None outside loaded segments."""

    def usdt(self) -> list[UsdtProbe]:
        """All USDT probes (.note.stapsdt)."""

    def function_arguments(self, name: str) -> Function | None:
        """The function's signature from DWARF, with struct types; None without debug information."""

    def line_offsets(self, file: str, line: int, column: int = 0) -> list[int]:
        """File offsets of the statements that DWARF lists for file:line[:col]."""

    def struct(self, kind: str, name: str) -> Struct | None:
        """A struct, union from DWARF."""


class Target(Protocol):
    """One kernel and machine. Lookups that find nothing give None or an empty list; they raise only when a fact cannot be read.

    `features` are names of kernel/features.py; the answer is True, False or None (could not tell).
    """

    arch: ArchTable
    release: str
    cpu_count: int  # possible CPUs
    pid_namespace: tuple[int, int] | None  # (device, inode) of the pid namespace when not the initial one

    def has(self, feature: str) -> bool | None:
        """Whether the kernel has `feature`."""

    @property
    def has_btf(self) -> bool:
        """Whether kernel type information is at hand."""

    def struct(self, kind: str, name: str) -> Struct | None:
        """A kernel struct or union by name (`kind` "struct" or "union")."""

    def enum(self, name: str) -> Enum | None:
        """A kernel enum by name."""

    def enum_constant(self, name: str) -> tuple[Enum, int] | None:
        """The enum that has constant `name`, and its value."""

    def typedef(self, name: str) -> CType | None:
        """What a kernel typedef names, with typedefs resolved."""

    def function(self, name: str, module: str = "") -> Function | None:
        """A kernel function's signature from BTF."""

    def functions(self, pattern: str, module: str = "") -> Iterable[str]:
        """Names of kernel functions that can be probed and match the glob, sorted."""

    def tracepoint(self, category: str, event: str) -> TracepointFormat | None:
        """A tracepoint's format."""

    def tracepoints(self, category: str, event: str) -> list[tuple[str, str]]:
        """(category, event) of all tracepoints matching both globs, sorted."""

    def raw_tracepoint(self, event: str) -> Function | None:
        """The typed arguments of a raw tracepoint (from BTF btf_trace_*), without the leading data pointer."""

    def raw_tracepoints(self, pattern: str) -> list[str]:
        """Raw tracepoint names matching the glob, sorted."""

    def iterators(self) -> Mapping[str, Struct]:
        """The kernel's BPF iterators: object name ("task") -> its context struct (`bpf_iter__task`)."""

    def ksym(self, name: str) -> int | None:
        """A kernel symbol's address."""

    def binary(self, path: str) -> Binary:
        """The ELF file at `path`. Raises FormatError or MissingFacts."""

    def resolve_library(self, name: str, pid: int | None = None) -> list[str]:
        """Paths that a probe's binary part names: a path, a program on PATH, a library ("libc", "libssl.so.3"), a glob."""

    def cgroup_id(self, path: str) -> int | None:
        """The cgroup v2 id of a directory."""


@runtime_checkable
class ListingFacts(Protocol):
    """What a Target may know besides, for `-l`, module names and hints. Probe kinds do with less when it is missing."""

    def modules(self) -> list[str]:
        """Loaded modules, "vmlinux" first."""

    def function_modules(self, name: str) -> list[str]:
        """The modules that have a probe-able function of this name, "vmlinux" first."""

    def function_declarations(self, name: str, module: str = "") -> tuple[str, ...] | None:
        """A kernel function's parameters as C text (`struct file * file`), and `TYPE retval` last unless it gives nothing."""

    def raw_tracepoint_declarations(self, event: str) -> tuple[str, ...] | None:
        """A raw tracepoint's arguments as C text."""

    def type_names(self, pattern: str) -> list[str]:
        """Kernel types that match the glob, as `struct x`, `union x`, `enum x`, sorted."""


@runtime_checkable
class ProcessFacts(Protocol):
    """What a Target may know about running processes, for `usdt:*` and `-p`."""

    def mapped_files(self, pid: int | None) -> list[str]:
        """Paths of the ELF files that a process (None: any process) has mapped executable, sorted."""


@record(frozen=True)
class BpfFunction:
    """A function of a loaded BPF program: the program's id, the function's name and its number in the program's BTF."""

    program: int
    name: str
    type_id: int


@runtime_checkable
class ProgramFacts(Protocol):
    """What a Target may know about the BPF programs that are loaded."""

    def bpf_functions(self) -> list[BpfFunction]:
        """The functions of all programs that have type information, by program."""


@runtime_checkable
class BinaryNames(Protocol):
    """What a Binary may know besides: C++ names, and parameters as text."""

    def demangled(self, pattern: str) -> list[Symbol]:
        """Functions whose C++ or Rust name matches the glob, with or without its parameter list."""

    def function_declarations(self, name: str) -> tuple[str, ...]:
        """The parameters as C text from DWARF (`const char* first`), with `TYPE retval` last; empty when unknown."""
