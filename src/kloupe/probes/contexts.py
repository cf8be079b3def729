"""Contexts that several probe kinds share, and the argument registers of the architectures."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from ..base.ctype import UINT64, VOID, CType, Field, Pointer, Space, Struct
from ..base.place import BtfArgument, NamedValue, Register
from ..kernel.target import ArchTable, Target
from .model import Context

ArgumentOf = Callable[[int], NamedValue | None]


def no_arguments(kind: str) -> str:
    """The error of the `args` builtin in a kind that has none; `kind` as bpftrace groups them ("special" for begin)."""
    kinds = "tracepoint, rawtracepoint, fentry/fexit, and uprobe probes"
    return f"The args builtin can only be used with {kinds} ({kind} used here)"


def lazy_struct(target: Target, name: str, kind: str = "struct", size: int = 0) -> Struct:
    """A kernel struct whose members are looked up when they are first asked for; empty when the kernel lacks it."""

    def fields() -> tuple[Field, ...]:
        found = target.struct(kind, name)
        return found.fields if found is not None else ()

    return Struct(kind, name, size, fields)


def plain_context(kind: str) -> Context:
    """The context of a program that user space runs: nothing in it."""
    return Context((kind,), Space.KERNEL, args_error=no_arguments(kind), type=Pointer(VOID))


def perf_context(kind: str, target: Target, *, registers: bool) -> Context:
    """The context of perf event programs: `struct bpf_perf_event_data`, which begins with the registers."""
    data = Pointer(lazy_struct(target, "bpf_perf_event_data"), Space.BPF)
    return Context((kind,), Space.KERNEL, args_error=no_arguments(kind), registers=registers, type=data)


def register_arguments(arch: ArchTable) -> ArgumentOf:
    """argN of a function's entry: the raw argument registers, without type; None beyond them."""
    offsets = [arch.registers[name] for name in arch.arguments]

    def argument(index: int) -> NamedValue | None:
        if not 0 <= index < len(offsets):
            return None
        return NamedValue(f"arg{index}", UINT64, Register(offsets[index]))

    return argument


def array_arguments(count: int) -> ArgumentOf:
    """argN where the context is an array of u64 arguments."""

    def argument(index: int) -> NamedValue | None:
        return NamedValue(f"arg{index}", UINT64, BtfArgument(index)) if 0 <= index < count else None

    return argument


def register_result(arch: ArchTable) -> NamedValue:
    """retval at a function's return: the raw result register."""
    return NamedValue("retval", UINT64, Register(arch.registers[arch.result]))


def registers_type(target: Target) -> CType:
    """`ctx` of kprobes and uprobes: the interrupted code's registers."""
    return Pointer(lazy_struct(target, "pt_regs"), Space.BPF)


def values_signature(kind: str, values: Iterable[NamedValue]) -> Hashable:
    """A signature that is equal for equal names, types and places."""
    return (kind, tuple((value.name, value.type, value.place) for value in values))
