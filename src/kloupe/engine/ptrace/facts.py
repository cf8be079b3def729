"""What the ptrace engine must be told of the architecture and of the formats that the script was compiled against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ...base.ctype import Field
from ...base.record import field, record


class Arch(Protocol):
    """The part of `kernel.target.ArchTable` that is needed."""

    @property
    def name(self) -> str: ...
    @property
    def registers(self) -> Mapping[str, int]: ...
    @property
    def syscall_arguments(self) -> Sequence[str]: ...
    @property
    def syscall_numbers(self) -> Mapping[str, int]: ...
    @property
    def syscall_prefix(self) -> str: ...
    @property
    def arguments(self) -> Sequence[str]: ...
    @property
    def result(self) -> str: ...
    @property
    def stack_pointer(self) -> str: ...
    @property
    def instruction_pointer(self) -> str: ...
    @property
    def dwarf_registers(self) -> Sequence[str]: ...


@record(frozen=True)
class Facts:
    """`numbers`: tracepoint name without `sys_enter_` -> system-call number. `fields`: a tracepoint's own fields, None: unknown.

    `task_fields`: see MachineEngine.
    """

    arch: Arch
    numbers: Mapping[str, int]
    fields: Callable[[str, str], Sequence[Field] | None]
    task_fields: Mapping[str, int] = field(default_factory=dict)
