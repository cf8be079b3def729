"""What questions about a tree are answered with. Paths are relative to the tree, lines count from 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar, overload

from ..base.record import record


@record(frozen=True)
class Definition:
    """A place that defines a name. For `kind` see `parse.definitions.Named`.

    `condition`: the `#if` conditions around it, outermost first. `macro`: the macro that makes it, or "". `scope`: the struct, union
    or enum that a member or enumerator is in. `text`: its line.
    """

    name: str
    kind: str
    file: str
    line: int
    end_line: int
    text: str
    condition: tuple[str, ...]
    macro: str
    scope: str


@record(frozen=True)
class Reference:
    """A line that mentions a name, and the function or macro that it is in ("" outside of them)."""

    file: str
    line: int
    function: str
    text: str


@record(frozen=True)
class Call:
    """A call: who calls whom, and where. `indirect`: through a member (`file->f_op->read(...)`), so `callee` is that member."""

    file: str
    line: int
    caller: str
    callee: str
    text: str
    indirect: bool = False


@record(frozen=True)
class Member:
    """A member of a struct or union: its declaration as one line of C. `scope`: the (inner) struct that it stands in."""

    name: str
    declaration: str
    file: str
    line: int
    scope: str


@record(frozen=True)
class Implementer:
    """A function that is put into a member of a struct: by an initialiser of `variable`, or by an assignment in `function`."""

    implementer: str
    file: str
    line: int
    variable: str
    function: str
    text: str


Item = TypeVar("Item")


class Answer(Sequence[Item], Generic[Item]):
    """A list of results. `partial` names files that could not be read: with any, something may be missing."""

    def __init__(self, items: Sequence[Item], partial: Sequence[str] = ()) -> None:
        self._items = tuple(items)
        self.partial = tuple(partial)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"Answer({list(self._items)!r}, partial={self.partial!r})"


# Where people look first: what everybody uses, then drivers and the like, other architectures, and what is not the kernel at all.
_FIRST = (
    "include/",
    "kernel/",
    "mm/",
    "fs/",
    "net/",
    "lib/",
    "block/",
    "init/",
    "ipc/",
    "io_uring/",
    "security/",
    "virt/",
)
_LAST = ("tools/", "samples/", "scripts/", "Documentation/", "usr/")
OUTSIDE = 3  # the rank of the last
_KINDS_ASIDE = {
    **{"syscall": -2, "compat_syscall": -1},
    **{"config": 1, "enumerator": 1, "label": 1, "asm_data": 1, "asm_macro": 1, "member": 2},
    **{"export": 3, "initcall": 3, "setup": 3, "module_param": 3, "declaration": 4},
}


def place_rank(path: str, machine: str) -> int:
    """0 for what everybody uses and `machine` (a folder of arch/), 1 for drivers, 2 for other architectures, OUTSIDE for the rest."""
    if path.startswith((*_FIRST, f"arch/{machine}/")):
        return 0
    if path.startswith(_LAST):
        return OUTSIDE
    return 2 if path.startswith("arch/") else 1


def definition_rank(item: Definition, machine: str) -> tuple[int, int, str, int]:
    """Sorts definitions: what people mean first."""
    return _KINDS_ASIDE.get(item.kind, 0), place_rank(item.file, machine), item.file, item.line
