"""Where a named value of a probe's context sits. N probe kinds and M places need N + M pieces of code."""

from __future__ import annotations

from .ctype import CType
from .record import record


@record(frozen=True)
class ContextField:
    """`size` bytes at `offset` of the program's context, loaded directly."""

    offset: int
    size: int
    signed: bool = False


@record(frozen=True)
class Register:
    """A register of the interrupted code: `size` bytes at `offset` of the pt_regs that is the context (kprobe, uprobe, perf).

    Programs of type perf_event must load all 8 bytes and narrow them. A `signed` value is extended with its sign.
    """

    offset: int
    size: int = 8
    signed: bool = False


@record(frozen=True)
class BtfArgument:
    """Element `index` (u64) of the argument array that is the context of raw tracepoints, fentry, fexit and iterators."""

    index: int


@record(frozen=True)
class StackArgument:
    """`size` bytes at stack pointer + `offset` of the traced code (`user` says whose stack); must be probe-read."""

    offset: int
    user: bool
    size: int = 8


@record(frozen=True)
class Memory:
    """`size` bytes at (base register + `offset`): USDT and DWARF locations; must be probe-read from user memory."""

    base: Register
    offset: int
    size: int
    signed: bool = False
    index: Register | None = None
    scale: int = 1


@record(frozen=True)
class Constant:
    """A value known at attach time."""

    value: int


@record(frozen=True)
class DataLoc:
    """A tracepoint `__data_loc` (or `__rel_loc`) field: the u32 at `offset` holds length << 16 | offset of the data in the context."""

    offset: int
    relative: bool = False


@record(frozen=True)
class PtRegsField:
    """`size` bytes at `offset` of the kernel's `struct pt_regs` that element `argument` of the argument array points to.

    What the raw tracepoints sys_enter and sys_exit give. A `trace_raw_tp` program may load it directly (the argument is a
    typed pointer); a plain `raw_tracepoint` program must probe-read it from kernel memory.
    """

    argument: int
    offset: int
    size: int = 8
    signed: bool = False


Place = ContextField | Register | BtfArgument | StackArgument | Memory | Constant | DataLoc | PtRegsField


@record(frozen=True)
class NamedValue:
    """A value that a probe offers: `args.NAME`, `argN`, `retval`, with its type and place."""

    name: str
    type: CType
    place: Place
    decl: str = ""
