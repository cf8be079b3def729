"""Lowering: one unit's typed tree to IR. This module holds the state and the dispatch; `lower_*` hold the rules.

Strings in BPF memory are kept clean: bytes behind the terminator are zero, so that equal strings are equal bytes (keys, `==`).
Only fields of events may hold garbage there, since user space stops at the terminator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.errors import InternalError
from ..base.layout import event_layout
from ..base.record import field, record
from ..base.source import Span
from ..image import EventSpec, MapSpec, SourcePlace
from ..image import Scalar as ImageScalar
from ..ir.builder import Builder
from ..ir.ops import Block, Reg, Slot, Value
from ..kernel.target import Target
from ..lang import nodes as n
from ..sema.analyzer import CompileOptions
from ..sema.model import Analysis, Const, Unit, VariableInfo
from .operand import Deferred, Mem, Nothing, Operand, Scalar

if TYPE_CHECKING:
    from .journal import JournalPlan

ExprLowering = Callable[["Lowerer", Any], Operand]
StmtLowering = Callable[["Lowerer", Any], None]
LOWER_EXPR: dict[type[n.Expr], ExprLowering] = {}
LOWER_STMT: dict[type[n.Stmt], StmtLowering] = {}


def lowers(kind: type[n.Expr]) -> Callable[[ExprLowering], ExprLowering]:
    """Registers how expressions of class `kind` are lowered."""

    def register(rule: ExprLowering) -> ExprLowering:
        LOWER_EXPR[kind] = rule
        return rule

    return register


def lowers_stmt(kind: type[n.Stmt]) -> Callable[[StmtLowering], StmtLowering]:
    """Registers how statements of class `kind` are lowered."""

    def register(rule: StmtLowering) -> StmtLowering:
        LOWER_STMT[kind] = rule
        return rule

    return register


@record
class Parts:
    """What the programs of one image share while it is made."""

    analysis: Analysis
    target: Target
    options: CompileOptions
    events: list[EventSpec] = field(default_factory=list)
    maps: dict[str, MapSpec] = field(default_factory=dict)
    zero_bytes: int = 0
    journal: JournalPlan | None = None  # set when programs record what they see
    can_end: bool = False  # somewhere the script calls exit()
    groups: dict[str, tuple[str, int]] = field(default_factory=dict)  # map -> (map of maps, index), see map_groups.py


@record
class Loop:
    """The innermost loop: where break and continue go, and whether it is a callback (then they return)."""

    continue_to: Block | None
    break_to: Block | None
    callback: bool


class Lowerer:
    """Lowers one unit. The builder `b` is where operations go."""

    def __init__(self, parts: Parts, unit: Unit, name: str, builder: Builder | None = None) -> None:
        self.parts = parts
        self.analysis = parts.analysis
        self.target = parts.target
        self.options = parts.options
        self.unit = unit
        self.b = builder or Builder(name)
        self.registers: dict[VariableInfo, Reg] = {}
        self.slots: dict[VariableInfo, Slot] = {}
        self.loops: list[Loop] = []
        self.return_flag: Slot | None = None
        self.dispatch_index: Reg | None = None
        self.dispatch_value: Reg | None = None
        self._task_facts: dict[str, Reg] = {}

    # -- dispatch -----------------------------------------------------------------------------------------------

    def lower(self, node: n.Expr) -> Operand:
        """The operand of `node`."""
        value = self.unit.consts.get(node)
        with self.b.at(node.span):
            if value is not None:
                return self.constant(value, self.type(node))
            expansion = self.unit.expansions.get(node)
            if expansion is not None:
                return self.lower(expansion)
            operand = LOWER_EXPR[type(node)](self, node)
        return self._placed(operand, node.span) if isinstance(operand, Deferred) else operand

    def _placed(self, operand: Deferred, span: Span) -> Deferred:
        """What is written later belongs to the place where it stands in the script."""

        def into(target: Mem, clean: bool) -> None:
            with self.b.at(span):
                operand.into(target, clean)

        return Deferred(operand.type, into)

    def statements(self, body: Iterable[n.Stmt]) -> None:
        """Lower statements in order."""
        for statement in body:
            with self.b.at(statement.span):
                LOWER_STMT[type(statement)](self, statement)

    def type(self, node: n.Expr) -> CType:
        """The type the analysis found for `node`."""
        return self.unit.types.get(node, ct.NONE)

    def const(self, node: n.Node) -> Const | None:
        """The value of `node` when it is known."""
        return self.unit.consts.get(node)

    def constant(self, value: Const, t: CType) -> Operand:
        """A constant as an operand."""
        if isinstance(value, str):
            from .lower_strings import literal

            return literal(self, value)
        return Scalar(int(value), t)

    # -- values -------------------------------------------------------------------------------------------------

    def scalar(self, node: n.Expr) -> Value:
        """The 64-bit value of a scalar expression."""
        return self.as_scalar(self.lower(node))

    def as_scalar(self, operand: Operand) -> Value:
        """The 64-bit value of an operand; loads it when it is in memory."""
        from .memory import load_scalar

        if isinstance(operand, Scalar):
            return operand.value
        if isinstance(operand, Mem):
            return load_scalar(self, operand)
        if isinstance(operand, Deferred):
            return load_scalar(self, self.in_memory(operand))
        raise InternalError("a value was expected where there is none")

    def reg(self, value: Value) -> Reg:
        """The value in a register."""
        return value if isinstance(value, Reg) else self.b.const(value)

    def in_memory(self, operand: Operand, t: CType | None = None) -> Mem:
        """The operand in BPF memory, as type `t` when given; may be the place where it already is."""
        from .memory import store

        wanted = t or operand.type
        if isinstance(operand, Mem) and operand.space is ct.Space.BPF and operand.type == wanted:
            return operand
        place = self.temporary(wanted)
        store(self, place, operand)
        return place

    def temporary(self, t: CType, name: str = "") -> Mem:
        """Fresh frame memory for a value of type `t`."""
        return Mem(self.b.slot(max(1, t.size), 8, name=name), 0, t, ct.Space.BPF)

    def pointer(self, place: Mem) -> Reg:
        """The address of a place."""
        if isinstance(place.base, Slot):
            return self.b.address(place.base, place.offset)
        return self.b.alu("add", place.base, place.offset) if place.offset else place.base

    # -- control ------------------------------------------------------------------------------------------------

    @contextmanager
    def when(self, op: str, left: Value, right: Value) -> Iterator[None]:
        """What is lowered inside runs only if `left op right`."""
        then, after = self.b.block(), self.b.block()
        self.b.branch(op, left, right, then, after)
        self.b.start(then)
        yield
        self.b.jump(after)
        self.b.start(after)

    def leave(self, value: Value = 0) -> None:
        """Leave the program from wherever we are: out of callbacks through the return flag."""
        if any(loop.callback for loop in self.loops):
            assert self.return_flag is not None
            self.b.store(self.return_flag, 0, 8, 1)
            self.b.exit(1)
        else:
            self.b.exit(value)

    def task_fact(self, helper: str) -> Reg:
        """What a helper tells of the current task, which stays the same while the program runs: what its first block asked is
        not asked again."""
        if self.b.in_root and helper in self._task_facts:
            return self._task_facts[helper]
        found = self.b.call(helper)
        if self.b.at_entry:
            self._task_facts[helper] = found
        return found

    # -- the image ----------------------------------------------------------------------------------------------

    def event(self, kind: str, types: list[CType], span: Span, **params: ImageScalar) -> EventSpec:
        """A new event of the image."""
        place, *calls = places_of(span)
        spec = EventSpec(len(self.parts.events), kind, event_layout(types), place, params, tuple(calls))
        self.parts.events.append(spec)
        return spec

    def need_map(self, spec: MapSpec) -> str:
        """Make sure that the image has the map; gives its name."""
        self.parts.maps.setdefault(spec.name, spec)
        return spec.name

    def string_index(self, text: str) -> int:
        """The index of `text` in the image's strings."""
        return self.analysis.string_index(text)

    def nothing(self) -> Nothing:
        """The operand of a call without a value."""
        return Nothing()


def place_of(span: Span) -> SourcePlace:
    """A span as image data. Of a macro's text, the place is the outermost call."""
    return places_of(span)[-1]


def places_of(span: Span) -> list[SourcePlace]:
    """A span as image data, and behind it the calls of the macros that it came out of, innermost first."""
    places = [_place(span)]
    while span.parent is not None:
        span = span.parent
        places.append(_place(span))
    return places


def _place(span: Span) -> SourcePlace:
    line = span.line
    text = span.source.line_text(line)
    same_line = span.source.line_number(max(span.start, span.end - 1)) == line
    end = span.source.column(span.end) if same_line else len(text.encode("utf-8", "surrogateescape")) + 1
    return SourcePlace(span.source.name, line, span.column, end, text)
