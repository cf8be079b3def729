"""What every probe kind gives to the compiler: points to attach to, and a context of named values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from ..base.ctype import CType, Space
from ..base.diag import Diagnostics
from ..base.place import NamedValue, Place
from ..base.record import record
from ..image import AttachSpec
from ..kernel.target import Target
from ..lang.nodes import AttachPoint


@record(frozen=True, eq=False)
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


@record(frozen=True)
class TaskFlags:
    """The bits `mask` of the `size` bytes at `offset` of the current `struct task_struct`."""

    offset: int
    size: int
    mask: int


@record(frozen=True, eq=False)
class Dispatch:
    """Another way to serve a point: one program attached once for all points of the same `group`.

    The program runs for every event of `attach`. It compares the integer at `selector` (its type's width is `selector_bytes`)
    with the `value` of each point it serves, and does nothing for other values or while the task has one of `unless`.
    `context` replaces the point's own: values of the same names and types at other places (a field that cannot be had
    this way is missing, then the plain way must be taken). Worth it from about 8 points on: each perf tracepoint that is
    closed costs the kernel a grace period.
    """

    group: Hashable
    value: int
    selector: Place
    selector_bytes: int
    unless: TaskFlags | None
    program_type: str
    attach_type: str
    attach: AttachSpec
    context: Context


@record(frozen=True, eq=False)
class ProbePoint:
    """One attach point, resolved: its kind's long name, the program it needs, where it attaches, what it finds there.

    `function` is what the `func` builtin prints, "" when unknown before it runs (then taken from the instruction pointer),
    None where the builtin is an error. Points with `attach_type` "*_multi" may share one link. `dispatch` is set where one
    program can serve many such points (system-call tracepoints).
    """

    kind: str
    name: str
    program_type: str
    attach_type: str
    attach: AttachSpec
    context: Context
    function: str | None = None
    dispatch: Dispatch | None = None


@record(frozen=True)
class ProbeOptions:
    """What the command line and the script say about probes: the process of -p or -c (0: none), --unsafe and the config.

    `missing_probes` ("error", "warn" or "ignore") says how an attach point without wildcards that matches nothing is reported.
    `typed_args` false: the script never mentions `args`, so facts that only serve it (DWARF, tracepoint formats) are
    not looked up; such contexts then have no `args` and points share programs more often.
    """

    pid: int = 0
    unsafe: bool = False
    child_path: str = ""  # the program of -c or -p, for uprobes that name no path
    missing_probes: str = "error"
    typed_args: bool = True


Expand = Callable[[AttachPoint, Target, ProbeOptions, Diagnostics], Sequence[ProbePoint]]
Listing = Callable[[str, Target, ProbeOptions], Sequence[str]]


def _no_details(entry: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    return ()


@record(frozen=True)
class Kind:
    """The row of one probe kind.

    `names` are the spellings, canonical first, short ones and old ones after. `expand` turns a written attach point into points; it
    reports mistakes to the diagnostics, and gives [] for a well-formed one that matches nothing. `listing` gives the entries
    (what follows `kind:`) that `-l` prints for the pattern after `kind:`, and `details` the lines `-lv` prints below one.
    `listed` says whether a wildcard provider includes it: "kernel", "user" (only with a path or -p) or "".
    """

    names: tuple[str, ...]
    doc: str
    expand: Expand
    listing: Listing
    details: Callable[[str, Target, ProbeOptions], Sequence[str]] = _no_details
    listed: str = ""
