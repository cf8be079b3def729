"""What the analysis finds out: variables, maps, units, and the tables that codegen reads."""

from __future__ import annotations

from collections.abc import Mapping

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.record import field, record
from ..base.source import Span
from ..image import Scalar
from ..lang import nodes as n
from ..probes.model import Context, ProbePoint

Const = int | bool | str


class Growing:
    """A type that grows with every value assigned to it: a variable, a map's key or its value.

    Literals are flexible: they adapt to the other values' type when they fit (`$a = 1; $a = (uint64)2` is uint64).
    """

    __slots__ = ("declared", "first", "known", "literals")

    def __init__(self) -> None:
        self.known: CType = ct.NONE
        self.literals: set[int] = set()
        self.declared: CType | None = None
        self.first: Span | None = None

    @property
    def type(self) -> CType:
        """The type so far; NONE when nothing was assigned yet."""
        from .joins import fits, join_integers

        if self.declared is not None:
            return self.declared
        result = self.known
        for value in self.literals:
            if isinstance(result, (ct.Bool, ct.Pointer)):
                continue
            if not isinstance(result, ct.Int):
                result = ct.smallest_signed(value)
            elif not fits(value, result):
                result = join_integers(result, ct.smallest_signed(value))
        return result


@record(eq=False)
class VariableInfo:
    """A scratch variable: one per declaration. `captured`: a callback of a loop sees it too; `addressed`: & is applied."""

    name: str
    span: Span
    depth: int
    grows: Growing = field(default_factory=Growing)
    captured: bool = False
    addressed: bool = False
    assigned: bool = False
    used: bool = False

    @property
    def type(self) -> CType:
        """The type over all assignments."""
        return self.grows.type


@record(eq=False)
class MapInfo:
    """A map over all probes: key and value types, declared kind and size."""

    name: str
    span: Span
    key: Growing = field(default_factory=Growing)
    value: Growing = field(default_factory=Growing)
    scalar: bool | None = None
    kind: str = ""
    max_entries: int = 0
    declared: bool = False
    used: bool = False
    written: bool = False
    read_in_kernel: bool = False
    looked_into: bool = False  # by programs, other than to update an entry

    @property
    def key_type(self) -> CType | None:
        """The key's type; None for a scalar map."""
        return None if self.scalar else self.key.type

    @property
    def value_type(self) -> CType:
        """The value's type."""
        return self.value.type


@record(eq=False)
class Unit:
    """One program: a probe's body with the points it serves, and everything found out about its nodes.

    `types` has every expression; `consts` those known at compile time; `expansions` what a macro call stands for;
    `variables` the declaration of each use. A `dispatched` unit attaches once and picks its points by a number.
    """

    probe: n.Probe
    points: tuple[ProbePoint, ...]
    types: dict[n.Node, CType] = field(default_factory=dict)
    consts: dict[n.Node, Const] = field(default_factory=dict)
    expansions: dict[n.Node, n.Expr] = field(default_factory=dict)
    variables: dict[n.Node, VariableInfo] = field(default_factory=dict)
    declarations: dict[n.Node, VariableInfo] = field(default_factory=dict)
    dead: set[n.Node] = field(default_factory=set)
    stray_updates: dict[n.Call, None] = field(default_factory=dict)
    needs_cookie: bool = False
    dispatched: bool = False

    @property
    def context(self) -> Context:
        """The context all points share."""
        point = self.points[0]
        return point.dispatch.context if self.dispatched and point.dispatch is not None else point.context

    @property
    def kind(self) -> str:
        """The probe kind all points share."""
        return self.points[0].kind


@record(eq=False)
class Analysis:
    """A whole script, understood."""

    program: n.Program
    units: list[Unit]
    maps: dict[str, MapInfo]
    config: Mapping[str, Scalar]
    strings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    named: dict[str, str] = field(
        default_factory=dict
    )  # the script's named parameters (getopt) with their descriptions

    def string_index(self, text: str) -> int:
        """The index of `text` in the image's string table, added when new."""
        if text not in self.strings:
            self.strings.append(text)
        return self.strings.index(text)
