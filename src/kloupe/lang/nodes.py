"""The syntax tree: frozen nodes, compared by identity, each with its span. Facts found later live in side tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from ..base.source import Span


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Root of all nodes."""

    span: Span

    def children(self) -> Iterator[Node]:
        """The direct child nodes, in source order."""
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Node):
                yield value
            elif isinstance(value, tuple):
                for item in value:
                    if isinstance(item, Node):
                        yield item


class Expr(Node):
    """Anything that has a value."""

    __slots__ = ()


class Stmt(Node):
    """Anything that stands in a block."""

    __slots__ = ()


# -- type expressions -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class TypeName(Node):
    """A type as written: `name` is the base ("uint8", "struct task_struct", "enum e", "size_t", "string", "void").

    `modifiers` apply left to right: "*" or an array size, -1 for `[]`. For string, buffer and inet the first
    array size is the type's own size.
    """

    name: str
    modifiers: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class TypeOf(Node):
    """`typeof(X)` where a type is expected."""

    operand: Expr | TypeName


# -- expressions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class IntLiteral(Expr):
    """An integer; a duration literal holds nanoseconds. `text` is as written."""

    value: int
    text: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class BoolLiteral(Expr):
    """`true` or `false`."""

    value: bool


@dataclass(frozen=True, slots=True, eq=False)
class StringLiteral(Expr):
    """A string with its escapes resolved; bytes that are no UTF-8 are kept as surrogate escapes."""

    value: str


@dataclass(frozen=True, slots=True, eq=False)
class Identifier(Expr):
    """A bare name: a builtin, a macro without arguments, an enum constant, a stack mode."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Variable(Expr):
    """A scratch variable; `name` includes the `$`."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class PositionalParam(Expr):
    """`$1`, `$2`, ... (`index` from 1)."""

    index: int


@dataclass(frozen=True, slots=True, eq=False)
class PositionalCount(Expr):
    """`$#`."""


@dataclass(frozen=True, slots=True, eq=False)
class Map(Expr):
    """A map by itself; `name` includes the `@`."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class MapAccess(Expr):
    """`@m[key]`; several keys in the brackets are one Tuple node."""

    map: Map
    key: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Unary(Expr):
    """A prefix operator: `!` `~` `-` `+` `*` `&`."""

    op: str
    operand: Expr


@dataclass(frozen=True, slots=True, eq=False)
class IncDec(Expr):
    """`++` or `--`, before (`prefix`) or after its operand (Variable, Map or MapAccess)."""

    op: str
    prefix: bool
    operand: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Binary(Expr):
    """A binary operator: `+ - * / % << >> & | ^ && || == != < <= > >=`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Ternary(Expr):
    """`condition ? then : otherwise`."""

    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True, eq=False)
class FieldAccess(Expr):
    """`operand.field` or `operand->field`; tuple elements have a decimal `field`."""

    operand: Expr
    field: str
    field_span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Index(Expr):
    """`operand[index]` on anything but a map."""

    operand: Expr
    index: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Cast(Expr):
    """`(type)operand`."""

    type: TypeName | TypeOf
    operand: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Tuple(Expr):
    """`(a, b)`, `(a,)` or `()`."""

    elements: tuple[Expr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NamedExpr(Node):
    """`name=value` inside a record."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Record(Expr):
    """`(a=1, b=2)`."""

    members: tuple[NamedExpr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expr):
    """`name(arguments)`: a function or a macro; `bang` when written `name!(...)`. An argument may be a type."""

    name: str
    name_span: Span
    arguments: tuple[Expr | TypeName | TypeOf, ...]
    bang: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SizeOf(Expr):
    """`sizeof(type)` or `sizeof(expr)`."""

    operand: Expr | TypeName | TypeOf


@dataclass(frozen=True, slots=True, eq=False)
class OffsetOf(Expr):
    """`offsetof(type-or-expr, a.b.c)`."""

    operand: Expr | TypeName | TypeOf
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TypeInfo(Expr):
    """`typeinfo(X)`: a compile-time record (kind, name, full name) used with `==`."""

    operand: Expr | TypeName | TypeOf


@dataclass(frozen=True, slots=True, eq=False)
class Comptime(Expr):
    """`comptime expr`: must be known at compile time."""

    operand: Expr


@dataclass(frozen=True, slots=True, eq=False)
class BlockExpr(Expr):
    """`{ statements; value }`."""

    body: tuple[Stmt, ...]
    value: Expr


# -- statements -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Block(Stmt):
    """A bare `{ ... }` block with a scope of its own."""

    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ExprStmt(Stmt):
    """An expression for its effect."""

    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Discard(Stmt):
    """`_ = expr`."""

    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Let(Stmt):
    """`let $x`, `let $x : type`, `let $x = v`, `let $x : type = v`."""

    variable: Variable
    type: TypeName | TypeOf | None
    value: Expr | None


@dataclass(frozen=True, slots=True, eq=False)
class Assign(Stmt):
    """`target op value` with op `=` or a compound operator; target is Variable, Map or MapAccess (others are errors in sema)."""

    op: str
    target: Expr
    value: Expr


@dataclass(frozen=True, slots=True, eq=False)
class If(Stmt):
    """`if cond {...} else {...}`; an `else if` is an If inside `otherwise`. `comptime` when so written."""

    condition: Expr
    then: tuple[Stmt, ...]
    otherwise: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class IfExpr(Expr):
    """An if whose branches end in values, used as an expression (branches are BlockExpr or plain Exprs)."""

    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Unroll(Stmt):
    """`unroll(count) {...}`."""

    count: Expr
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class While(Stmt):
    """`while (cond) {...}`."""

    condition: Expr
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RangeExpr(Node):
    """`start..end` in a for loop."""

    start: Expr
    end: Expr


@dataclass(frozen=True, slots=True, eq=False)
class For(Stmt):
    """`for $v : @map {...}` or `for $i : a..b {...}`."""

    variable: Variable
    iterable: Map | RangeExpr
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Jump(Stmt):
    """`break`, `continue` or `return [value]`."""

    kind: str
    value: Expr | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ImportStmt(Stmt):
    """`import "path";` inside a block or at the root."""

    path: str


# -- the program ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class AttachPoint(Node):
    """One attach point as written: provider (long or short name) and its colon-separated parts, quotes and parameters resolved."""

    provider: str
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        """`provider:part:part`."""
        return ":".join((self.provider, *self.parts))


@dataclass(frozen=True, slots=True, eq=False)
class Probe(Node):
    """`[name=]attach, attach /predicate/ { body }`."""

    attach_points: tuple[AttachPoint, ...]
    predicate: Expr | None
    body: tuple[Stmt, ...]
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MapDecl(Node):
    """`let @m = hash(100);`."""

    map: Map
    kind: str
    max_entries: int


@dataclass(frozen=True, slots=True, eq=False)
class ConfigEntry(Node):
    """`key = value` of the config block; key lower-cased and without its prefix, value int, bool or text."""

    key: str
    value: int | bool | str


@dataclass(frozen=True, slots=True, eq=False)
class MacroDef(Node):
    """`macro name(params) { body }`. A parameter is a Variable (`$x`), a Map (`@m`) or an Identifier (any expression)."""

    name: str
    parameters: tuple[Variable | Map | Identifier, ...]
    body: tuple[Stmt, ...]
    value: Expr | None


@dataclass(frozen=True, slots=True, eq=False)
class CText(Node):
    """The C part before the first probe, verbatim (`#include`, `#define`, struct, union, enum)."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Program(Node):
    """A whole script."""

    shebang: str
    c_text: CText | None
    config: tuple[ConfigEntry, ...]
    imports: tuple[ImportStmt, ...]
    map_decls: tuple[MapDecl, ...]
    macros: tuple[MacroDef, ...]
    probes: tuple[Probe, ...]
