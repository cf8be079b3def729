"""The analysis of one unit: walks its tree, finds every expression's type, and reports mistakes.

Rules live in tables: one function per node class (see `rules_*`). The driver (sema/analyze.py) walks all units again until no type
changes, and reports only in the last walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.diag import Diagnostics, Note, did_you_mean
from ..base.record import field, record
from ..base.source import Span
from ..kernel.target import Target
from ..lang import nodes as n
from ..probes.model import ProbeOptions
from .model import Analysis, Const, MapInfo, Unit, VariableInfo

if TYPE_CHECKING:
    from ..lang.macros import Macros

ExprRule = Callable[["Analyzer", Any], CType]
StmtRule = Callable[["Analyzer", Any], None]
EXPR_RULES: dict[type[n.Expr], ExprRule] = {}
STMT_RULES: dict[type[n.Stmt], StmtRule] = {}


def expr_rule(kind: type[n.Expr]) -> Callable[[ExprRule], ExprRule]:
    """Registers the rule that gives the type of expressions of class `kind`."""

    def register(rule: ExprRule) -> ExprRule:
        EXPR_RULES[kind] = rule
        return rule

    return register


def stmt_rule(kind: type[n.Stmt]) -> Callable[[StmtRule], StmtRule]:
    """Registers the rule that checks statements of class `kind`."""

    def register(rule: StmtRule) -> StmtRule:
        STMT_RULES[kind] = rule
        return rule

    return register


# What an `#include` names (and whether in quotes): a name for messages, and the text.
ReadInclude = Callable[[str, bool], tuple[str, str] | None]


@record(frozen=True)
class CompileOptions:
    """What a script is compiled with, besides its text and the target.

    `params` are the positional parameters, `named` those after `--name=`; `child_pid` is the process of -c (0: none).
    """

    params: tuple[str, ...] = ()
    named: tuple[tuple[str, str | None], ...] = ()
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    child_pid: int = 0
    only_pid: int = 0  # the process of -p: other processes' events are left out by the programs
    unsafe: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    report_failed_reads: bool = False
    mode: str = "run"  # run, test or bench: which of those probes are kept
    includes: tuple[tuple[str, str], ...] = ()  # (name, text) of C headers that are read first
    read_include: ReadInclude | None = None
    record: bool = False  # programs send a journal of each run
    whole_contexts: bool = False  # probes know all that they offer, also where the script does not ask for it
    dispatch: bool = True  # one program may stand for many system-call tracepoints
    probe_filter: str = ""  # a regular expression; only probes whose name it finds are kept


@record
class CTypes:
    """What the C part of the script defines, in front of the kernel's own types."""

    structs: dict[tuple[str, str], ct.Struct] = field(default_factory=dict)
    enums: dict[str, ct.Enum] = field(default_factory=dict)
    typedefs: dict[str, CType] = field(default_factory=dict)
    constants: dict[str, tuple[ct.Enum, int]] = field(default_factory=dict)
    defines: dict[str, n.Expr] = field(default_factory=dict)


def _exits(statement: n.Stmt) -> bool:
    return isinstance(statement, n.ExprStmt) and isinstance(statement.value, n.Call) and statement.value.name == "exit"


class Analyzer:
    """Walks one unit. `analysis.maps` are shared by all units; everything else found goes to the unit's tables."""

    def __init__(
        self,
        analysis: Analysis,
        unit: Unit,
        target: Target,
        options: CompileOptions,
        c_types: CTypes,
        macros: Macros,
        diagnostics: Diagnostics,
    ) -> None:
        self.analysis = analysis
        self.unit = unit
        self.target = target
        self.options = options
        self.c_types = c_types
        self.macros = macros
        self.diagnostics = diagnostics
        self.scopes: list[dict[str, VariableInfo]] = [{}]
        self.depth = 0
        self.loops = 0
        self.is_last = False  # the statement at hand ends its block
        self.assignment_span: Span | None = None
        self.reporting = False

    # -- walking ------------------------------------------------------------------------------------------------

    def type_of(self, node: n.Expr) -> CType:
        """The type of `node`, found and recorded now."""
        result = EXPR_RULES[type(node)](self, node)
        self.unit.types[node] = result
        return result

    def statements(self, body: Iterable[n.Stmt]) -> None:
        """Check statements in order, in the current scope."""
        ended = False
        body = tuple(body)
        for statement in body:
            if ended:
                self.warning(statement.span, "Unreachable statement.")
                ended = False
            self.is_last = statement is body[-1]
            STMT_RULES[type(statement)](self, statement)
            ended = isinstance(statement, n.Jump) or _exits(statement)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """A new block scope."""
        self.scopes.append({})
        try:
            yield
        finally:
            self.scopes.pop()

    @contextmanager
    def callback(self) -> Iterator[None]:
        """The body of a loop: its own scope, and a function of its own in the program."""
        self.depth += 1
        self.loops += 1
        try:
            with self.scope():
                yield
        finally:
            self.depth -= 1
            self.loops -= 1

    # -- constants ----------------------------------------------------------------------------------------------

    def const(self, node: n.Node) -> Const | None:
        """The value of `node` when it is known at compile time (after `type_of`)."""
        return self.unit.consts.get(node)

    def set_const(self, node: n.Node, value: Const) -> None:
        """Record the value of `node`."""
        self.unit.consts[node] = value

    def int_const(self, node: n.Node) -> int | None:
        """The integer value of a constant, else None."""
        value = self.unit.consts.get(node)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def is_literal(self, node: n.Node) -> bool:
        """True for an integer constant whose type is still flexible."""
        value = self.int_const(node)
        return value is not None and self.unit.types.get(node) == ct.smallest_signed(value)

    # -- names --------------------------------------------------------------------------------------------------

    def find_variable(self, name: str) -> VariableInfo | None:
        """The variable visible under `name`."""
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def map_hints(self, name: str) -> tuple[str, ...]:
        """Maps that are assigned to somewhere and have a name like this."""
        return did_you_mean(name, [m.name for m in self.analysis.maps.values() if m.written and m.name != name])

    def declare(self, node: n.Node, name: str, span: Span) -> VariableInfo:
        """The variable that `node` declares in the current scope; the same one in every walk."""
        info = self.unit.declarations.get(node)
        if info is None:
            info = self.unit.declarations[node] = VariableInfo(name, span, self.depth)
        self.scopes[-1][name] = info
        return info

    def use(self, node: n.Node, info: VariableInfo) -> None:
        """Record that `node` is a use of `info`."""
        self.unit.variables[node] = info
        if self.depth > info.depth:
            info.captured = True

    def map(self, node: n.Map) -> MapInfo:
        """The map that `node` names; made on first sight."""
        info = self.analysis.maps.get(node.name)
        if info is None:
            info = self.analysis.maps[node.name] = MapInfo(node.name, node.span)
        info.used = True
        return info

    # -- reporting ----------------------------------------------------------------------------------------------

    def error(self, span: Span, message: str, *, notes: Iterable[Note] = (), hints: Iterable[str] = ()) -> CType:
        """Report an error; gives NONE, the type of what could not be understood."""
        self.diagnostics.error(span, message, notes=notes, hints=hints)
        return ct.NONE

    def warning(self, span: Span, message: str, *, hints: Iterable[str] = ()) -> None:
        """Report a warning."""
        self.diagnostics.warning(span, message, hints=hints)

    def config_int(self, key: str) -> int:
        """A numeric config value."""
        return int(self.analysis.config[key])

    @property
    def max_strlen(self) -> int:
        """Capacity of str(), buf() and path() values in bytes, terminator included."""
        return self.config_int("max_strlen")

    def spaced(self, t: CType, space: ct.Space | None = None) -> CType:
        """A pointer type with its space filled in when it has none."""
        if isinstance(t, ct.Array) and isinstance(t.element, ct.Pointer):
            return ct.Array(self.spaced(t.element, space), t.count)
        if isinstance(t, ct.Pointer) and t.space is ct.Space.NONE:
            return ct.Pointer(t.target, space or self.unit.context.space)
        return t
