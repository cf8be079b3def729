"""Where a named value of a probe's context sits. N probe kinds and M places need N + M pieces of code."""

from __future__ import annotations

from dataclasses import dataclass

from .ctype import CType


@dataclass(frozen=True, slots=True)
class ContextField:
    """`size` bytes at `offset` of the program's context, loaded directly."""

    offset: int
    size: int
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Register:
    """A register of the interrupted code: `size` bytes at `offset` of the pt_regs that is the context (kprobe, uprobe, perf)."""

    offset: int
    size: int = 8


@dataclass(frozen=True, slots=True)
class BtfArgument:
    """Element `index` (u64) of the argument array that is the context of raw tracepoints, fentry, fexit and iterators."""

    index: int


@dataclass(frozen=True, slots=True)
class StackArgument:
    """`size` bytes at stack pointer + `offset` of the traced code (`user` says whose stack); must be probe-read."""

    offset: int
    user: bool
    size: int = 8


@dataclass(frozen=True, slots=True)
class Memory:
    """`size` bytes at (base register + `offset`): USDT and DWARF locations; must be probe-read from user memory."""

    base: Register
    offset: int
    size: int
    signed: bool = False
    index: Register | None = None
    scale: int = 1


@dataclass(frozen=True, slots=True)
class Constant:
    """A value known at attach time."""

    value: int


@dataclass(frozen=True, slots=True)
class DataLoc:
    """A tracepoint `__data_loc` (or `__rel_loc`) field: the u32 at `offset` holds length << 16 | offset of the data in the context."""

    offset: int
    relative: bool = False


Place = ContextField | Register | BtfArgument | StackArgument | Memory | Constant | DataLoc


@dataclass(frozen=True, slots=True)
class NamedValue:
    """A value that a probe offers: `args.NAME`, `argN`, `retval`, with its type and place."""

    name: str
    type: CType
    place: Place
    decl: str = ""
