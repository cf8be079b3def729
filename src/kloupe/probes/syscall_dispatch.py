"""System-call tracepoints through one raw tracepoint: sys_enter or sys_exit, and a dispatch on the call's number.

`tracepoint:syscalls:sys_enter_*` are over 300 perf events, and each that is closed costs the kernel a grace period. The kernel
makes them from the raw tracepoints `sys_enter(struct pt_regs *regs, long id)` and `sys_exit(struct pt_regs *regs, long ret)`
(kernel/trace/trace_syscalls.c), and so can a program: arguments are 8-byte registers of `regs` (syscall_get_arguments),
the number of an exit is in `regs` too (syscall_get_nr). Like the kernel it must leave out calls of 32-bit compatibility
tasks (arch_trace_is_compat_syscall), whose numbers mean something else.
"""

from __future__ import annotations

from functools import cached_property

from ..base.ctype import INT32, VOID, Field, Pointer, Space, Struct
from ..base.place import BtfArgument, NamedValue, Place, PtRegsField
from ..base.record import record
from ..image import AttachSpec
from ..kernel.syscall_names import CALLS_OF_TRACEPOINTS
from ..kernel.target import Target
from .contexts import values_signature
from .model import Context, Dispatch, TaskFlags
from .rawtracepoint import raw_program

# Calls whose tracepoint of the same name serves another number on that architecture, so that names alone would mislead.
_NOT_BY_NAME = frozenset({"stat", "fstat", "lstat", "uname", "sendfile"})


@record(frozen=True)
class _Compat:
    """Where an architecture marks a task inside a 32-bit call: a member of thread_info and its bits."""

    member: str
    mask: int


@record(frozen=True)
class _Architecture:
    """The kernel's own pt_regs member with the call's number, its size, and the compatibility mark."""

    number: str
    number_size: int
    compat: _Compat


_ARCHITECTURES = {
    # arch/x86/include/asm/syscall.h, thread_info.h: TS_COMPAT in status
    "x86_64": _Architecture("orig_ax", 4, _Compat("status", 0x2)),
    # arch/arm64/include/asm/ptrace.h; thread_info.h: TIF_32BIT is flag 22
    "aarch64": _Architecture("syscallno", 4, _Compat("flags", 1 << 22)),
}


class SyscallDispatcher:
    """Makes the dispatch of one expansion's points; the kernel is asked once, and only when a point needs it."""

    def __init__(self, target: Target) -> None:
        self._target = target

    @cached_property
    def _facts(self) -> tuple[int, TaskFlags] | None:
        """(offset of the number in pt_regs, compatibility mark), or None where the kernel does not tell."""
        arch = _ARCHITECTURES.get(self._target.arch.name)
        if arch is None or not self._target.has_btf:
            return None
        registers, task = self._target.struct("struct", "pt_regs"), self._target.struct("struct", "task_struct")
        number = registers.field(arch.number) if registers is not None else None
        info = task.field("thread_info") if task is not None else None
        mark = info.type.field(arch.compat.member) if info is not None and isinstance(info.type, Struct) else None
        if number is None or info is None or mark is None:
            return None
        return number.offset, TaskFlags(info.offset + mark.offset, mark.type.size, arch.compat.mask)

    def _number(self, event: str) -> int | None:
        call = event.split("_", 2)[-1]
        if call in _NOT_BY_NAME:
            return None
        return self._target.arch.syscall_numbers.get(CALLS_OF_TRACEPOINTS.get(call, call))

    def dispatch(self, event: str, name: str, fields: tuple[Field, ...]) -> Dispatch | None:
        """The dispatch of `sys_enter_X` or `sys_exit_X`, or None when the number or the kernel's facts are not known."""
        side = event[: event.find("_", 4)] if event.startswith(("sys_enter_", "sys_exit_")) else ""
        number = self._number(event) if side else None
        if number is None or self._facts is None:
            return None
        number_offset, unless = self._facts
        selector: Place = BtfArgument(1) if side == "sys_enter" else PtRegsField(0, number_offset, 4, signed=True)
        program_type, attach_type, kind = raw_program(self._target)
        return Dispatch(
            group=(side, program_type, attach_type),
            value=number,
            selector=selector,
            selector_bytes=4,
            unless=unless,
            program_type=program_type,
            attach_type=attach_type,
            attach=AttachSpec(kind, name, {"event": side}),
            context=self._context(side, selector, fields),
        )

    def _context(self, side: str, selector: Place, fields: tuple[Field, ...]) -> Context:
        args: list[NamedValue] = []
        registers = iter(self._target.arch.syscall_arguments)
        for field in fields:
            place: Place | None = None
            if field.name == "__syscall_nr":
                args.append(NamedValue(field.name, INT32, selector, field.decl))
                continue
            if field.data_loc:
                continue
            if side == "sys_exit":
                place = BtfArgument(1) if field.name == "ret" else None
            else:
                register = next(registers, None)
                place = PtRegsField(0, self._target.arch.registers[register]) if register is not None else None
            if place is not None:
                args.append(NamedValue(field.name, field.type, place, field.decl))
        signature = values_signature(f"dispatched {side}", args)
        return Context(signature, Space.USER, tuple(args), has_args=True, type=Pointer(VOID))
