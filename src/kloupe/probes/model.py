"""What every probe kind gives to the compiler: points to attach to, and a context of named values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from ..base.ctype import CType, Space
from ..base.diag import Diagnostics
from ..base.place import NamedValue
from ..image import AttachSpec
from ..kernel.target import Target
from ..lang.nodes import AttachPoint


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The values a program finds when it runs.

    `args` are the fields of `args` (empty and `has_args` false: the builtin is an error here, with `args_error` as the reason);
    `numbered` gives argN (None: no such argument); `retval` is None where the kind has none. `registers` says the
    context is a pt_regs (reg() works). `space` is where plain pointers of this kind point. `type` is the type of `ctx`.
    Points whose `signature` is equal can share one program.
    """

    signature: Hashable
    space: Space
    args: tuple[NamedValue, ...] = ()
    has_args: bool = False
    args_error: str = ""
    numbered: Callable[[int], NamedValue | None] = lambda index: None
    retval: NamedValue | None = None
    registers: bool = False
    type: CType | None = None

    def arg(self, name: str) -> NamedValue | None:
        """The field `name` of args."""
        return next((value for value in self.args if value.name == name), None)


@dataclass(frozen=True, slots=True, eq=False)
class ProbePoint:
    """One attach point, resolved: its kind's long name, the program it needs, where it attaches, what it finds there.

    `function` is what the `func` builtin prints, "" when unknown before it runs (then taken from the instruction pointer),
    None where the builtin is an error.
    """

    kind: str
    name: str
    program_type: str
    attach_type: str
    attach: AttachSpec
    context: Context
    function: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What the command line says about probes: the process of -p or -c (0: none), and --unsafe."""

    pid: int = 0
    unsafe: bool = False
    child_path: str = ""  # the program of -c, for uprobes that name no path


Expand = Callable[[AttachPoint, Target, ProbeOptions, Diagnostics], Sequence[ProbePoint]]
Listing = Callable[[str, Target, ProbeOptions], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Kind:
    """The row of one probe kind.

    `names` are the spellings, canonical first, short ones and old ones after. `expand` turns a written attach point into points; it
    reports mistakes to the diagnostics, and gives [] for a well-formed one that matches nothing. `listing` gives what `-l`
    prints for the pattern after `kind:`.
    """

    names: tuple[str, ...]
    doc: str
    expand: Expand
    listing: Listing
