"""Expressions as `--fmt` writes them: nested operators in parentheses, long lists broken to the width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import nodes as n
from .textbuffer import TextBuffer
from .trivia import Trivia

INDENT = 2
_COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_PLAIN = (
    n.IntLiteral, n.StringLiteral, n.BoolLiteral, n.PositionalParam, n.PositionalCount, n.NoValue, n.Identifier, n.SizeOf,
    n.OffsetOf, n.TypeInfo, n.Variable, n.Index, n.MapAccess, n.Call, n.Map, n.FieldAccess,
)  # fmt: skip
_BASIC_TYPES = frozenset(
    ("void", "bool", "string", "buffer", "inet", *(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)))
)


def quote(text: str) -> str:
    """A string literal; bytes outside printable ASCII as `\\xNN`."""
    out = []
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif " " <= char <= "~":
            out.append(char)
        else:
            out += [f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape")]
    return '"' + "".join(out) + '"'


def is_plain(expr: n.Node) -> bool:
    """True for what never needs parentheses around it."""
    if isinstance(expr, n.Comptime):
        return is_plain(expr.operand)
    return isinstance(expr, _PLAIN)


def type_text(kind: n.TypeName) -> str:
    """A type as written."""
    return kind.name + "".join(m if isinstance(m, str) else f"[{m}]" if m > 0 else "[]" for m in kind.modifiers)


def break_list(widths: Sequence[int], limit: int) -> set[int]:
    """Before which items a line begins: from the end, as many per line as fit; none when one alone is too wide."""
    breaks: set[int] = set()
    if max(widths, default=0) > limit:
        return breaks
    used = 0
    for index in range(len(widths) - 1, -1, -1):
        if used + widths[index] > limit:
            breaks.add(index + 1)
            used = 0
        used += widths[index]
    return breaks


class ExprPrinter:
    """Prints expressions. `trivia` is what may be printed with one; comments that find no place go to `lost`."""

    def __init__(self) -> None:
        self.lost: list[str] = []

    def block(self, block: n.BlockExpr, trivia: Trivia, width: int) -> TextBuffer:
        """The inside of a block; given by the statement printer."""
        raise NotImplementedError

    def expr(self, expr: Any, trivia: Trivia, width: int, bare: bool = False) -> TextBuffer:
        """An expression; in parentheses unless `bare` or plain."""
        own = trivia.take_before(expr.span.end)
        bare = (bare and not isinstance(expr, n.Tuple)) or is_plain(expr)
        room = width - (0 if bare else 2)
        out = TextBuffer("" if bare else "(")
        if isinstance(expr, n.BlockExpr):
            inner = self.block(expr, own, width - 2)
            if inner.lines > 1 or inner.width > room:
                out.text("{").append(inner, INDENT).text("}")
            else:
                out.text("{ ").append(inner).text(" }")
        else:
            out.append(self._EXPRESSIONS[type(expr)](self, expr, own, room))
        self.lost += own.comments
        return out if bare else out.text(")")

    def listed(
        self, items: Sequence[Any], separator: str, trivia: Trivia, width: int, bare: bool = False
    ) -> TextBuffer:
        """Items on one line, or on several when they are too wide."""
        parts = []
        for index, item in enumerate(items):
            last = index == len(items) - 1
            compares = isinstance(item, n.Binary) and item.op in _COMPARISONS
            part = self.item(item, trivia, width if last else width - 1, bare or compares)
            parts.append(part if last else part.text(separator))
        widths = [part.width for part in parts]
        breaks = set() if sum(widths) < width else break_list(widths, width)
        out = TextBuffer()
        for index, part in enumerate(parts):
            if index in breaks:
                out.line_break()
            out.append(part)
        return out

    def item(self, item: n.Node, trivia: Trivia, width: int, bare: bool) -> TextBuffer:
        """An element of a list: an expression, a named one or a type."""
        if isinstance(item, n.NamedExpr):
            value = self.expr(item.value, trivia, width - len(item.name) - 1)
            return TextBuffer(f"{item.name}=").append(value)
        if isinstance(item, n.TypeName):
            return TextBuffer(type_text(item))
        if isinstance(item, n.TypeOf):
            return TextBuffer("typeof(").append(self._type_operand(item.operand, trivia, width - 8)).text(")")
        return self.expr(item, trivia, width, bare)

    # -- types ----------------------------------------------------------------------------------------------------

    def _type_operand(self, operand: Any, trivia: Trivia, width: int) -> TextBuffer:
        if isinstance(operand, n.TypeOf):
            operand = operand.operand
        if isinstance(operand, n.TypeName):
            return TextBuffer(type_text(operand))
        out = self.expr(operand, trivia, width, True)
        base = operand
        while isinstance(base, n.Index):
            base = base.operand
        # Without parentheses `name[0]` would be read as a type.
        ambiguous = base is not operand and isinstance(base, n.Identifier)
        return TextBuffer("(").append(out).text(")") if ambiguous else out

    def shown_type(self, kind: n.TypeName | n.TypeOf, trivia: Trivia, width: int) -> TextBuffer:
        """A type in a cast or declaration; the simple form where there is one."""
        if isinstance(kind, n.TypeName):
            return TextBuffer(type_text(kind))
        operand = kind.operand
        if isinstance(operand, n.TypeName):
            simple = operand.modifiers or " " in operand.name or operand.name in _BASIC_TYPES
            return TextBuffer(type_text(operand) if simple else f"typeof({operand.name})")
        return TextBuffer("typeof(").append(self._type_operand(operand, trivia, width - 8)).text(")")

    # -- one method per node --------------------------------------------------------------------------------------

    def _integer(self, e: n.IntLiteral, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer(e.text or str(e.value))

    def _boolean(self, e: n.BoolLiteral, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer("true" if e.value else "false")

    def _string(self, e: n.StringLiteral, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer(quote(e.value))

    def _named(self, e: Any, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer(e.name)

    def _parameter(self, e: n.PositionalParam, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer(f"${e.index}")

    def _count(self, e: n.PositionalCount, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer("$#")

    def _no_value(self, e: n.NoValue, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer()

    def _unary(self, e: n.Unary, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer(e.op).append(self.expr(e.operand, trivia, width - len(e.op)))

    def _step(self, e: n.IncDec, trivia: Trivia, width: int) -> TextBuffer:
        operand = self.expr(e.operand, trivia, width - 2)
        return TextBuffer(e.op).append(operand) if e.prefix else operand.text(e.op)

    def _binary(self, e: n.Binary, trivia: Trivia, width: int) -> TextBuffer:
        entries: list[n.Expr] = []
        work: list[n.Expr] = [e.right, e.left]
        while work:
            part = work.pop()
            if e.op in ("&&", "||") and isinstance(part, n.Binary) and part.op == e.op:
                work += (part.right, part.left)
            else:
                entries.append(part)
        return self.listed(entries, f" {e.op} ", trivia, width)

    def _ternary(self, e: n.Ternary, trivia: Trivia, width: int) -> TextBuffer:
        condition = self.expr(e.condition, trivia, width)
        then = self.expr(e.then, trivia, width - 2)
        otherwise = self.expr(e.otherwise, trivia, width - 2)
        if condition.width + then.width + otherwise.width + 8 > width:
            return condition.line_break().text("? ").append(then).line_break().text(": ").append(otherwise)
        return condition.text(" ? ").append(then).text(" : ").append(otherwise)

    def _field(self, e: n.FieldAccess, trivia: Trivia, width: int) -> TextBuffer:
        room = width - len(e.field) - 1
        return self.expr(e.operand, trivia, room, is_plain(e.operand)).text(f".{e.field}")

    def _index(self, e: n.Index, trivia: Trivia, width: int) -> TextBuffer:
        operand = self.expr(e.operand, trivia, width - 1)
        index = self.expr(e.index, trivia, width - INDENT)
        indent = INDENT if operand.width + index.width + 2 > width else 0
        return operand.text("[").append(index, indent).text("]")

    def _map_access(self, e: n.MapAccess, trivia: Trivia, width: int) -> TextBuffer:
        if isinstance(e.key, n.Tuple) and len(e.key.elements) > 1:
            key = self.listed(e.key.elements, ", ", trivia, width - 2 * INDENT, True)
        else:
            key = self.expr(e.key, trivia, width - INDENT, True)
        indent = INDENT if len(e.map.name) + key.width + 2 > width else 0
        return TextBuffer(f"{e.map.name}[").append(key, indent).text("]")

    def _cast(self, e: n.Cast, trivia: Trivia, width: int) -> TextBuffer:
        out = TextBuffer("(").append(self.shown_type(e.type, trivia, width)).text(")")
        return out.append(self.expr(e.operand, trivia, width - out.width, is_plain(e.operand)))

    def _tuple(self, e: n.Tuple, trivia: Trivia, width: int) -> TextBuffer:
        if len(e.elements) == 1:
            return self.expr(e.elements[0], trivia, width - 3, True).text(",")
        return self.listed(e.elements, ", ", trivia, width - INDENT, True)

    def _record(self, e: n.Record, trivia: Trivia, width: int) -> TextBuffer:
        members = self.listed(e.members, ", ", trivia, width - INDENT)
        return TextBuffer("(").append(members, INDENT if members.lines > 1 else 0).text(")")

    def _call(self, e: n.Call, trivia: Trivia, width: int) -> TextBuffer:
        name = e.name + ("!" if e.bang else "")
        arguments = self.listed(e.arguments, ", ", trivia, width - len(name) - 2, True)
        return TextBuffer(f"{name}(").append(arguments, INDENT if arguments.width > width else 0).text(")")

    def _size_of(self, e: n.SizeOf, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer("sizeof(").append(self._type_operand(e.operand, trivia, width - 8)).text(")")

    def _type_info(self, e: n.TypeInfo, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer("typeinfo(").append(self._type_operand(e.operand, trivia, width - 10)).text(")")

    def _offset_of(self, e: n.OffsetOf, trivia: Trivia, width: int) -> TextBuffer:
        operand = self._type_operand(e.operand, trivia, width)
        return TextBuffer("offsetof(").append(operand).text(f", {'.'.join(e.path)})")

    def _comptime(self, e: n.Comptime, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer("comptime ").append(self.expr(e.operand, trivia, width - 9))

    def if_chain(self, e: Any, trivia: Trivia, width: int) -> TextBuffer:
        """An `if` as statement or expression; given by the statement printer."""
        raise NotImplementedError

    def _if(self, e: n.IfExpr, trivia: Trivia, width: int) -> TextBuffer:
        return self.if_chain(e, trivia, width)

    _EXPRESSIONS: dict[type[n.Node], Callable[..., TextBuffer]] = {
        n.IntLiteral: _integer,
        n.BoolLiteral: _boolean,
        n.StringLiteral: _string,
        n.Identifier: _named,
        n.Variable: _named,
        n.Map: _named,
        n.PositionalParam: _parameter,
        n.PositionalCount: _count,
        n.NoValue: _no_value,
        n.Unary: _unary,
        n.IncDec: _step,
        n.Binary: _binary,
        n.Ternary: _ternary,
        n.FieldAccess: _field,
        n.Index: _index,
        n.MapAccess: _map_access,
        n.Cast: _cast,
        n.Tuple: _tuple,
        n.Record: _record,
        n.Call: _call,
        n.SizeOf: _size_of,
        n.TypeInfo: _type_info,
        n.OffsetOf: _offset_of,
        n.Comptime: _comptime,
        n.IfExpr: _if,
    }
