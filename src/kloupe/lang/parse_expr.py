"""Expressions. Precedence climbing; casts, records and tuples are told apart by looking ahead."""

from __future__ import annotations

import re

from ..base.source import Span
from . import nodes as n
from .lexer import LAYOUT, is_builtin
from .parse_type import NAME, NOT_TYPES, TAGGED, TYPE_AHEAD, TypeParser

_PRECEDENCE = {
    op: level
    for level, ops in enumerate(
        (
            ("||",),
            ("&&",),
            ("|",),
            ("^",),
            ("&",),
            ("==", "!="),
            ("<", ">", "<=", ">="),
            ("<<", ">>"),
            ("+", "-"),
            ("*", "/", "%"),
        ),
        start=1,
    )
    for op in ops
}
_PREFIX = frozenset(("*", "!", "~", "-", "++", "--", "&"))
_STEPPED = (n.Variable, n.Map, n.MapAccess)

# What may stand behind `(type)` for it to be a cast. Unlike bpftrace, `!=` and `&&` do not count.
_CAST_AHEAD = re.compile(rf'{LAYOUT}(?:!(?!=)|&(?!&)|[A-Za-z_\d$@"(~*-])', re.ASCII)
_RECORD_AHEAD = re.compile(rf"({NAME}){LAYOUT}=(?!=)", re.ASCII)
_BLOCK_AHEAD = re.compile(LAYOUT + r"\{")


class ExprParser(TypeParser):
    """Parses expressions from the current token on."""

    # -- operators ------------------------------------------------------------------------------------------------

    def parse_expression(self) -> n.Expr:
        """Any expression; a conditional binds loosest."""
        saved = self.enter()
        expr = self.parse_unary()
        if self.text in _PRECEDENCE:
            expr = self.parse_binary(1, expr)
        if self.text == "?":
            expr = self.parse_conditional(expr)
        self.leave(saved)
        return expr

    def parse_conditional(self, condition: n.Expr) -> n.Expr:
        """`? then : otherwise` or `?: otherwise` behind a condition."""
        self.advance()
        if self.match(":"):
            then = condition
        else:
            then = self.parse_expression()
            self.expect(":")
        otherwise = self.parse_expression()
        return n.Ternary(self.span_from(condition.span.start), condition, then, otherwise)

    def parse_binary(self, floor: int, left: n.Expr) -> n.Expr:
        """All operators of at least precedence `floor` behind `left`, left to right."""
        while True:
            op = self.text
            level = _PRECEDENCE.get(op, 0)
            if level < floor or (op == "/" and _BLOCK_AHEAD.match(self.input, self.end)):
                return left  # `/` before `{` closes a predicate
            self.advance()
            right = self.parse_unary()
            if _PRECEDENCE.get(self.text, 0) > level:
                right = self.parse_binary(level + 1, right)
            left = n.Binary(Span(self.source, left.span.start, self.last_end), op, left, right)
            self.height += 1

    def parse_unary(self) -> n.Expr:
        """Prefix operators and what they stand before."""
        if self.kind != "op" or self.text not in _PREFIX:
            return self.parse_postfix(self.parse_primary())
        operators: list[tuple[str, int]] = []
        operand: n.Expr | None = None
        while self.text in _PREFIX and self.kind == "op":
            op, start = self.text, self.start
            self.advance()
            if op == "&":
                operand = self._parse_address(start)
                break
            operators.append((op, start))
        if operand is None:
            operand = self.parse_postfix(self.parse_primary())
        self.height += len(operators)
        for op, start in reversed(operators):
            if op in ("++", "--"):
                if not isinstance(operand, _STEPPED):
                    self.error("increment/decrement requires a variable or map", operand.span.start, operand.span.end)
                operand = n.IncDec(self.span_from(start), op, True, operand)
            else:
                operand = n.Unary(self.span_from(start), op, operand)
        return operand

    def _parse_address(self, start: int) -> n.Expr:
        kind, text, token = self.kind, self.text, self.start
        if kind not in ("var", "map"):
            self.error("address-of operator (&) can only be used on a map or variable")
            return n.Unary(self.span_from(start), "&", self.parse_postfix(self.parse_primary()))
        self.advance()
        span = self.span_from(token)
        return n.Unary(self.span_from(start), "&", n.Variable(span, text) if kind == "var" else n.Map(span, text))

    def parse_postfix(self, expr: n.Expr) -> n.Expr:
        """`.field`, `->field`, `.0`, `[index]`, `++` and `--` behind `expr`."""
        while self.kind == "op":
            text, start = self.text, expr.span.start
            if text == "." or text == "->":
                self.advance()
                field = self._parse_field(text)
                if field is None:
                    return expr
                expr = n.FieldAccess(self.span_from(start), expr, *field)
            elif text == "[":
                self.advance()
                index = self.parse_expression()
                self.expect("]")
                expr = n.Index(self.span_from(start), expr, index)
            elif text == "++" or text == "--":
                at, end = self.start, self.end
                self.advance()
                if not isinstance(expr, _STEPPED):
                    self.error("increment/decrement requires a variable or map", at, end)
                    return expr
                expr = n.IncDec(self.span_from(start), text, False, expr)
            else:
                return expr
            self.height += 1
        return expr

    def _parse_field(self, after: str) -> tuple[str, Span] | None:
        start = self.start
        if self.kind == "num" and after == ".":
            return str(self.parse_number()), self.span_from(start)
        name = self.expect_name(f"expected field name after '{after}'")
        return None if name is None else (name, self.span_from(start))

    # -- primaries ------------------------------------------------------------------------------------------------

    def parse_primary(self) -> n.Expr:
        """A literal, name, call, variable, map, block or anything in parentheses."""
        kind, text, start = self.kind, self.text, self.start
        if kind == "name":
            keyword = self._KEYWORDS.get(text)
            if keyword is not None:
                return keyword(self, start)
            return self.parse_name()
        if kind == "var":
            self.advance()
            return n.Variable(Span(self.source, start, self.last_end), text)
        if kind == "num":
            value = self.parse_number()
            return n.IntLiteral(Span(self.source, start, self.last_end), value, text)
        if kind == "str":
            return n.StringLiteral(Span(self.source, start, self.end), self.parse_string())
        if kind == "map":
            return self.parse_map()
        if text == "(":
            return self.parse_parentheses()
        if text == "{":
            block = self.parse_block()
            return n.NoValue(self.here()) if block is None else block
        return self._parse_parameter() if kind in ("param", "count") else self._parse_nothing()

    def _parse_parameter(self) -> n.Expr:
        text, start = self.text, self.start
        self.advance()
        if text == "$#":
            return n.PositionalCount(self.span_from(start))
        index = int(text[1:]) if len(text) < 20 else 0
        if not 0 < index < 2**63:
            self.error(f"param {text} is out of integer range [1, {2**63 - 1}]", start, self.last_end)
        return n.PositionalParam(self.span_from(start), index)

    def _parse_nothing(self) -> n.Expr:
        if self.text == "$":
            self.error("expected identifier after '$'")
            self.advance()
        else:
            self.error("expected expression")
        return n.NoValue(self.here())

    def parse_map(self) -> n.Map | n.MapAccess:
        """`@name` or `@name[keys]`; several keys are one tuple."""
        text, start = self.text, self.start
        self.advance()
        target = n.Map(Span(self.source, start, self.last_end), text)
        if self.text != "[":
            return target
        self.advance()
        keys = [self.parse_expression()]
        while self.match(","):
            keys.append(self.parse_expression())
        self.expect("]")
        span = self.span_from(start)
        self.height += 1
        return n.MapAccess(span, target, keys[0] if len(keys) == 1 else n.Tuple(span, tuple(keys)))

    def parse_name(self) -> n.Expr:
        """An identifier or a call."""
        name, start = self.text, self.start
        self.advance()
        span = Span(self.source, start, self.last_end)
        bang = self.text == "!" and self.input[self.end : self.end + 1] == "("
        if bang:
            self.advance()
        if self.text != "(":
            return n.Identifier(span, name)
        self.advance()
        arguments: list[n.Expr | n.TypeName | n.TypeOf] = []
        if self.text != ")":
            arguments.append(self._parse_argument())
            while self.match(","):
                arguments.append(self._parse_argument())
        self.expect(")")
        return n.Call(self.span_from(start), name, span, tuple(arguments), bang)

    def _parse_argument(self) -> n.Expr | n.TypeOf:
        return self.parse_typeof() if self.text == "typeof" else self.parse_expression()

    # -- parentheses ----------------------------------------------------------------------------------------------

    def parse_parentheses(self) -> n.Expr:
        """A tuple, record, cast or a grouped expression (which keeps its own span)."""
        start = self.start
        self.advance()
        if self.match(")"):
            return n.Tuple(self.span_from(start), ())
        if self.kind == "name":
            record = _RECORD_AHEAD.match(self.input, self.start)
            if record and not is_builtin(record[1]):
                return self._parse_record(start)
            cast = self._parse_cast(start)
            if cast is not None:
                return cast
        first = self.parse_expression()
        if self.text != ",":
            self.expect(")")
            return first
        elements = [first]
        while self.match(","):
            if self.text == ")":
                break
            elements.append(self.parse_expression())
        self.expect(")")
        return n.Tuple(self.span_from(start), tuple(elements))

    def _parse_record(self, start: int) -> n.Expr:
        members: list[n.NamedExpr] = []
        while True:
            at = self.start
            name = self.expect_name("expected identifier")
            if name is None:
                self._skip_to_parenthesis()
                break
            self.expect("=")
            value = self.parse_expression()
            span = self.span_from(at)
            if any(member.name == name for member in members):
                self.error(f"Named argument list already contains name: {name}", at, span.end)
            members.append(n.NamedExpr(span, name, value))
            if not self.match(","):
                break
        self.expect(")")
        return n.Record(self.span_from(start), tuple(members))

    def _skip_to_parenthesis(self) -> None:
        """To the `)` that closes the parentheses the parser is in."""
        depth = 1
        while self.kind != "eof":
            depth += (self.text == "(") - (self.text == ")")
            if depth == 0:
                return
            self.advance()

    def _parse_cast(self, start: int) -> n.Expr | None:
        if self.text == "typeof":
            kind: n.TypeName | n.TypeOf = self.parse_typeof()
            if not self.expect(")"):
                return n.NoValue(self.here())
        else:
            ahead = TYPE_AHEAD.match(self.input, self.start)
            if ahead is None or ahead[4] != ")" or ahead[1] in NOT_TYPES or is_builtin(ahead[1]):
                return None
            if (ahead[2] is not None) != (ahead[1] in TAGGED) or not _CAST_AHEAD.match(self.input, ahead.end()):
                return None
            kind = self.parse_type_name() or n.TypeName(self.here(), ahead[1])
            self.advance()
        span = self.span_from(start)  # bpftrace reports casts at their parentheses alone
        saved = self.enter()
        operand = self.parse_unary()
        self.leave(saved)
        return n.Cast(span, kind, operand)

    def _parse_type_operand(self) -> n.Expr | n.TypeName | n.TypeOf:
        self.advance()
        self.expect("(")
        return self.parse_typeof() if self.text == "typeof" else self.parse_type_or_expression(";,=){}")

    # -- keywords -------------------------------------------------------------------------------------------------

    def _parse_sizeof(self, start: int) -> n.Expr:
        operand = self._parse_type_operand()
        self.expect(")")
        return n.SizeOf(self.span_from(start), operand)

    def _parse_typeinfo(self, start: int) -> n.Expr:
        operand = self._parse_type_operand()
        self.expect(")")
        return n.TypeInfo(self.span_from(start), operand)

    def _parse_offsetof(self, start: int) -> n.Expr:
        operand = self._parse_type_operand()
        self.expect(",")
        path = [self.expect_name("expected identifier") or ""]
        while self.match("."):
            path.append(self.expect_name("expected identifier") or "")
        self.expect(")")
        return n.OffsetOf(self.span_from(start), operand, tuple(path))

    def _parse_boolean(self, start: int) -> n.Expr:
        value = self.text == "true"
        self.advance()
        return n.BoolLiteral(self.span_from(start), value)

    def _parse_comptime(self, start: int) -> n.Expr:
        saved = self.enter()
        self.advance()
        operand = self.parse_unary()
        self.leave(saved)
        return n.Comptime(self.span_from(start), operand)

    def _parse_if(self, start: int) -> n.Expr:
        arms: list[tuple[int, n.Expr, n.Expr]] = []
        otherwise: n.Expr | None = None
        while otherwise is None:
            at = self.start
            self.advance()
            condition = self.parse_condition()
            then: n.Expr | None = self.parse_block()
            arms.append((at, condition, n.NoValue(self.here()) if then is None else then))
            if self.failed or self.text != "else":
                otherwise = n.NoValue(self.here())
                break
            self.advance()
            if self.text == "{":
                otherwise = self.parse_block() or n.NoValue(self.here())
            elif self.text != "if":
                self.error("expected '{' or 'if' after 'else'")
                otherwise = n.NoValue(self.here())
        self.height += len(arms)
        for at, condition, then in reversed(arms):
            otherwise = n.IfExpr(self.span_from(at), condition, then, otherwise)
        return otherwise

    def parse_condition(self) -> n.Expr:
        """What stands behind `if`, `while` and `unroll`: any expression in parentheses, or a simple operand."""
        if not self.match("("):
            return self.parse_unary()
        condition = self.parse_expression()
        self.expect(")")
        return condition

    _KEYWORDS = {
        "if": _parse_if,
        "sizeof": _parse_sizeof,
        "offsetof": _parse_offsetof,
        "typeinfo": _parse_typeinfo,
        "comptime": _parse_comptime,
        "true": _parse_boolean,
        "false": _parse_boolean,
    }
