"""The syntax tree: frozen nodes, compared by identity, each with its span. Facts found later live in side tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, dataclass_transform

from ..base.record import first_init
from ..base.source import Span


@dataclass_transform(frozen_default=True, eq_default=False)
class _NodeType(type):
    """Makes slotted classes like `base.record`, with identity for equality and the base's fields inherited."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _NodeType:
        own = [field for field in namespace.get("__annotations__", ()) if field != "FIELDS"]
        defaults = {field: namespace.pop(field) for field in own if field in namespace}
        inherited: tuple[str, ...] = getattr(bases[0], "FIELDS", ()) if bases else ()
        fields = (*inherited, *own)
        namespace["__slots__"] = tuple(own)
        namespace["DEFAULTS"] = {**(getattr(bases[0], "DEFAULTS", {}) if bases else {}), **defaults}
        namespace["__init__"] = first_init
        namespace["FIELDS"] = namespace["__match_args__"] = fields
        return super().__new__(mcs, name, bases, namespace)


class Node(metaclass=_NodeType):
    """Root of all nodes. `FIELDS` are the names of a class's fields in order."""

    FIELDS: ClassVar[tuple[str, ...]]
    span: Span

    def children(self) -> Iterator[Node]:
        """The direct child nodes, in source order."""
        for name in self.FIELDS:
            value = getattr(self, name)
            if isinstance(value, Node):
                yield value
            elif isinstance(value, tuple):
                for item in value:
                    if isinstance(item, Node):
                        yield item

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.FIELDS if name != "span")
        return f"{type(self).__name__}({inner})"


class Expr(Node):
    """Anything that has a value."""


class Stmt(Node):
    """Anything that stands in a block."""


# -- type expressions -------------------------------------------------------------------------------------------


class TypeName(Node):
    """A type as written: `name` is the base ("uint8", "struct task_struct", "enum e", "size_t", "string", "void").

    `modifiers` apply left to right: "*" or an array size, -1 for `[]`. For string, buffer and inet the first
    array size is the type's own size.
    """

    name: str
    modifiers: tuple[str | int, ...] = ()


class TypeOf(Node):
    """`typeof(X)` where a type is expected."""

    operand: Expr | TypeName


# -- expressions ------------------------------------------------------------------------------------------------


class IntLiteral(Expr):
    """An integer; a duration literal holds nanoseconds. `text` is as written."""

    value: int
    text: str = ""


class BoolLiteral(Expr):
    """`true` or `false`."""

    value: bool


class StringLiteral(Expr):
    """A string with its escapes resolved; bytes that are no UTF-8 are kept as surrogate escapes."""

    value: str


class Identifier(Expr):
    """A bare name: a builtin, a macro without arguments, an enum constant, a stack mode."""

    name: str


class Variable(Expr):
    """A scratch variable; `name` includes the `$`."""

    name: str


class PositionalParam(Expr):
    """`$1`, `$2`, ... (`index` from 1)."""

    index: int


class PositionalCount(Expr):
    """`$#`."""


class Map(Expr):
    """A map by itself; `name` includes the `@`."""

    name: str


class MapAccess(Expr):
    """`@m[key]`; several keys in the brackets are one Tuple node."""

    map: Map
    key: Expr


class Unary(Expr):
    """A prefix operator: `!` `~` `-` `+` `*` `&`."""

    op: str
    operand: Expr


class IncDec(Expr):
    """`++` or `--`, before (`prefix`) or after its operand (Variable, Map or MapAccess)."""

    op: str
    prefix: bool
    operand: Expr


class Binary(Expr):
    """A binary operator: `+ - * / % << >> & | ^ && || == != < <= > >=`."""

    op: str
    left: Expr
    right: Expr


class Ternary(Expr):
    """`condition ? then : otherwise`."""

    condition: Expr
    then: Expr
    otherwise: Expr


class FieldAccess(Expr):
    """`operand.field` or `operand->field`; tuple elements have a decimal `field`."""

    operand: Expr
    field: str
    field_span: Span


class Index(Expr):
    """`operand[index]` on anything but a map."""

    operand: Expr
    index: Expr


class Cast(Expr):
    """`(type)operand`."""

    type: TypeName | TypeOf
    operand: Expr


class Tuple(Expr):
    """`(a, b)`, `(a,)` or `()`."""

    elements: tuple[Expr, ...]


class NamedExpr(Node):
    """`name=value` inside a record."""

    name: str
    value: Expr


class Record(Expr):
    """`(a=1, b=2)`."""

    members: tuple[NamedExpr, ...]


class Call(Expr):
    """`name(arguments)`: a function or a macro; `bang` when written `name!(...)`. An argument may be a type."""

    name: str
    name_span: Span
    arguments: tuple[Expr | TypeName | TypeOf, ...]
    bang: bool = False


class SizeOf(Expr):
    """`sizeof(type)` or `sizeof(expr)`."""

    operand: Expr | TypeName | TypeOf


class OffsetOf(Expr):
    """`offsetof(type-or-expr, a.b.c)`."""

    operand: Expr | TypeName | TypeOf
    path: tuple[str, ...]


class TypeInfo(Expr):
    """`typeinfo(X)`: a compile-time record (kind, name, full name) used with `==`."""

    operand: Expr | TypeName | TypeOf


class Comptime(Expr):
    """`comptime expr`: must be known at compile time."""

    operand: Expr


class NoValue(Expr):
    """Stands where a value is missing: the value of a BlockExpr that ends in a statement, the absent `else` of an IfExpr."""


class BlockExpr(Expr):
    """`{ statements; value }`; `value` is NoValue when the block ends in a statement."""

    body: tuple[Stmt, ...]
    value: Expr


# -- statements -------------------------------------------------------------------------------------------------


class Block(Stmt):
    """A bare `{ ... }` block with a scope of its own."""

    body: tuple[Stmt, ...]


class ExprStmt(Stmt):
    """An expression for its effect."""

    value: Expr


class Discard(Stmt):
    """`_ = expr`."""

    value: Expr


class Let(Stmt):
    """`let $x`, `let $x : type`, `let $x = v`, `let $x : type = v`."""

    variable: Variable
    type: TypeName | TypeOf | None
    value: Expr | None


class Assign(Stmt):
    """`target op value` with op `=` or a compound operator; target is Variable, Map or MapAccess (others are errors in sema)."""

    op: str
    target: Expr
    value: Expr
    op_span: Span | None = None  # of a compound operator and its right side, where bpftrace reports its type errors


class If(Stmt):
    """`if cond {...} else {...}`; an `else if` is an If inside `otherwise`. `comptime` when so written."""

    condition: Expr
    then: tuple[Stmt, ...]
    otherwise: tuple[Stmt, ...]


class IfExpr(Expr):
    """An if whose branches end in values, used as an expression (branches are BlockExpr or plain Exprs)."""

    condition: Expr
    then: Expr
    otherwise: Expr


class Unroll(Stmt):
    """`unroll(count) {...}`."""

    count: Expr
    body: tuple[Stmt, ...]


class While(Stmt):
    """`while (cond) {...}`."""

    condition: Expr
    body: tuple[Stmt, ...]


class RangeExpr(Node):
    """`start..end` in a for loop."""

    start: Expr
    end: Expr


class For(Stmt):
    """`for $v : @map {...}` or `for $i : a..b {...}`."""

    variable: Variable
    iterable: Map | RangeExpr
    body: tuple[Stmt, ...]


class Jump(Stmt):
    """`break`, `continue` or `return [value]`."""

    kind: str
    value: Expr | None = None


class ImportStmt(Stmt):
    """`import "path";` inside a block or at the root."""

    path: str


# -- the program ------------------------------------------------------------------------------------------------


class AttachPoint(Node):
    """One attach point as written: provider (long or short name) and its colon-separated parts, quotes and parameters resolved."""

    provider: str
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        """`provider:part:part`."""
        return ":".join((self.provider, *self.parts))


class Probe(Node):
    """`[name=]attach, attach /predicate/ { body }`."""

    attach_points: tuple[AttachPoint, ...]
    predicate: Expr | None
    body: tuple[Stmt, ...]
    name: str = ""


class MapDecl(Node):
    """`let @m = hash(100);`."""

    map: Map
    kind: str
    max_entries: int


class ConfigEntry(Node):
    """`key = value` of the config block; key lower-cased and without its prefix, value int, bool or text."""

    key: str
    value: int | bool | str


class MacroDef(Node):
    """`macro name(params) { body }`. A parameter is a Variable (`$x`), a Map (`@m`) or an Identifier (any expression)."""

    name: str
    parameters: tuple[Variable | Map | Identifier, ...]
    body: tuple[Stmt, ...]
    value: Expr | None


class CText(Node):
    """The C part before the first probe, verbatim (`#include`, `#define`, struct, union, enum)."""

    text: str


class Program(Node):
    """A whole script."""

    shebang: str
    c_text: CText | None
    config: tuple[ConfigEntry, ...]
    imports: tuple[ImportStmt, ...]
    map_decls: tuple[MapDecl, ...]
    macros: tuple[MacroDef, ...]
    probes: tuple[Probe, ...]
    config_span: Span | None = None
    headers: tuple[CText, ...] = ()  # C text of imported files, to be read before c_text
