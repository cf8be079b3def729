"""Statements and blocks. An `if` or a block is parsed as an expression and becomes a statement where its value is not taken."""

from __future__ import annotations

from collections.abc import Callable

from ..base.diag import Diagnostics
from ..base.source import Source
from . import nodes as n
from .parse_expr import ExprParser

_COMPOUND = frozenset(("<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="))
_TARGETS = (n.Variable, n.Map, n.MapAccess)
_IMMUTABLE = "Tuples and records are immutable once created. Consider creating a new value and assigning it instead."


def has_value(expr: n.Expr) -> bool:
    """True unless `expr` is a block or an `if` in which some way through gives no value."""
    if isinstance(expr, n.BlockExpr):
        return has_value(expr.value)
    while isinstance(expr, n.IfExpr):
        if not has_value(expr.then):
            return False
        expr = expr.otherwise
        if isinstance(expr, n.BlockExpr):
            return has_value(expr.value)
    return not isinstance(expr, n.NoValue)


def statements_of(expr: n.Expr) -> tuple[n.Stmt, ...]:
    """A branch of an `if` as the statements of a block; the value becomes an expression statement."""
    if isinstance(expr, n.BlockExpr):
        return expr.body if isinstance(expr.value, n.NoValue) else (*expr.body, as_statement(expr.value))
    return () if isinstance(expr, n.NoValue) else (as_statement(expr),)


def as_statement(expr: n.Expr) -> n.Stmt:
    """`expr` where nobody takes its value: If and Block statements instead of IfExpr and BlockExpr."""
    if isinstance(expr, n.BlockExpr):
        return n.Block(expr.span, statements_of(expr))
    inner = expr.operand if isinstance(expr, n.Comptime) else expr
    if not isinstance(inner, n.IfExpr):
        return n.ExprStmt(expr.span, expr)
    arms = []
    last: n.Expr = inner
    while isinstance(last, n.IfExpr):
        arms.append(last)
        last = last.otherwise
    otherwise = statements_of(last)
    for arm in reversed(arms):
        condition = arm.condition
        if inner is not expr and not isinstance(condition, n.Comptime):
            condition = n.Comptime(condition.span, condition)
        otherwise = (n.If(arm.span, condition, statements_of(arm.then), otherwise),)
    return otherwise[0]


class StmtParser(ExprParser):
    """Parses statements from the current token on.

    `blocks` has for each block, by the place of its brace, the end of the token before it and its own end.
    """

    def __init__(self, source: Source, diagnostics: Diagnostics) -> None:
        self.blocks: dict[int, tuple[int, int]] = {}
        self.keep_form = False
        super().__init__(source, diagnostics)

    def parse_block(self, allow_value: bool = True) -> n.BlockExpr | None:
        """`{ ... }`; without `allow_value` a trailing expression becomes a statement. None after an error."""
        start, before_brace = self.start, self.last_end
        if not self.expect("{"):
            return None
        saved = self.enter()
        body: list[n.Stmt] = []
        value: n.Expr | None = None
        while self.text != "}" and self.kind != "eof" and not self.failed:
            before = self.start
            value = self._parse_statement(body)
            if self.start == before:
                self.error("unexpected input in block")
                self.advance()
        self.leave(saved)
        if self.failed or not self.expect("}"):
            return None
        span = self.span_from(start)
        self.blocks[start] = before_brace, span.end
        if value is not None and not (allow_value and (self.keep_form or has_value(value))):
            body.append(as_statement(value))
            value = None
        return n.BlockExpr(span, tuple(body), n.NoValue(span) if value is None else value)

    def parse_body(self) -> tuple[n.Stmt, ...]:
        """The statements of a block that has no value."""
        block = self.parse_block(allow_value=False)
        return () if block is None else block.body

    def _parse_statement(self, body: list[n.Stmt]) -> n.Expr | None:
        """Append one statement to `body`, or give the expression that ends the block."""
        if self.kind == "name":
            keyword = self._STATEMENTS.get(self.text)
            if keyword is not None:
                body.append(keyword(self, self.start))
                return None
            if self.text == "_":
                after = self.after_layout(self.end)
                if self.input[after : after + 1] == "=" and self.input[after + 1 : after + 2] != "=":
                    body.append(self._parse_discard(self.start))
                    return None
            expr = self.parse_expression()
        elif self.kind == "var" or self.kind == "map":
            parsed = self._parse_assignment(body)
            if parsed is None:
                return None
            expr = parsed
        else:
            expr = self.parse_expression()
        if self.text == "}":
            return expr
        if self.text == ";":
            self.advance()
        elif not isinstance(expr, (n.IfExpr, n.BlockExpr)):
            self.error("expected ';'")
        statement = as_statement(expr)
        if self.keep_form:
            statement = n.ExprStmt(expr.span, expr)
        elif isinstance(statement, n.ExprStmt):
            statement = n.ExprStmt(self.span_from(expr.span.start), expr)
        body.append(statement)
        return None

    def _parse_assignment(self, body: list[n.Stmt]) -> n.Expr | None:
        """A statement that starts with a variable or map: an assignment goes to `body`, an expression is given back."""
        start = self.start
        saved = self.enter()
        target: n.Expr = self.parse_primary()
        if self.text != "=" and self.text not in _COMPOUND:
            target = self.parse_postfix(target)
            if self.text != "=":
                expr = self.parse_binary(1, target)
                if self.text == "?":
                    expr = self.parse_conditional(expr)
                self.leave(saved)
                return expr
        op, op_start = self.text, self.start
        self.advance()
        value = self.parse_expression()
        self.leave(saved)
        span = self.span_from(start)
        if isinstance(target, _TARGETS):
            self.end_statement()
            body.append(n.Assign(span, op, target, value, None if op == "=" else self.span_from(op_start)))
        else:
            message = _IMMUTABLE if isinstance(target, n.FieldAccess) else "invalid assignment target"
            self.error(message, start, span.end)
            self.match(";")
        return None

    def end_statement(self) -> None:
        """A `;`, or the end of the block."""
        if self.text != "}":
            self.expect(";")

    # -- by keyword -----------------------------------------------------------------------------------------------

    def _parse_let(self, start: int) -> n.Stmt:
        self.advance()
        if self.kind != "var":
            self.error("expected variable after 'let'")
            return n.ExprStmt(self.here(), n.NoValue(self.here()))
        name, at = self.text, self.start
        self.advance()
        variable = n.Variable(self.span_from(at), name)
        kind = self.parse_annotation() if self.match(":") else None
        value = self.parse_expression() if self.match("=") else None
        span = self.span_from(start)
        self.end_statement()
        return n.Let(span, variable, kind, value)

    def _parse_discard(self, start: int) -> n.Stmt:
        self.advance()
        self.advance()
        value = self.parse_expression()
        span = self.span_from(start)
        self.end_statement()
        return n.Discard(span, value)

    def _parse_jump(self, start: int) -> n.Stmt:
        kind = self.text
        self.advance()
        value = None
        if kind == "return" and self.text not in (";", "}"):
            value = self.parse_expression()
        self.end_statement()
        return n.Jump(self.span_from(start), kind, value)

    def _parse_while(self, start: int) -> n.Stmt:
        self.advance()
        condition = self.parse_condition()
        body = self.parse_body()
        return n.While(self.span_from(start), condition, body)

    def _parse_unroll(self, start: int) -> n.Stmt:
        self.advance()
        count = self.parse_condition()
        body = self.parse_body()
        return n.Unroll(self.span_from(start), count, body)

    def _parse_for(self, start: int) -> n.Stmt:
        self.advance()
        bracket = self.match("(")
        if self.kind != "var":
            return self._skip_loop("expected variable in for loop")
        name, at = self.text, self.start
        self.advance()
        variable = n.Variable(self.span_from(at), name)
        if not self.expect(":"):
            return self._skip_loop()
        first = self.parse_primary()
        iterable: n.Map | n.RangeExpr
        if self.match(".."):
            last = self.parse_primary()
            iterable = n.RangeExpr(self.span_from(first.span.start), first, last)
        elif isinstance(first, n.Map):
            iterable = first
        else:
            if bracket and not self.expect(")"):
                return self._skip_loop()
            return self._skip_loop("expected map or range in for loop")
        if bracket and not self.expect(")"):
            return self._skip_loop()
        body = self.parse_body()
        return n.For(self.span_from(start), variable, iterable, body)

    def _skip_loop(self, message: str = "") -> n.Stmt:
        if message:
            self.error(message)
        while self.text not in ("{", "}") and self.kind != "eof":
            self.advance()
        depth = 0
        while self.kind != "eof":
            depth += (self.text == "{") - (self.text == "}")
            if depth <= 0:
                break
            self.advance()
        if depth == 0:
            self.match("}")
        return n.ExprStmt(self.here(), n.NoValue(self.here()))

    def parse_import(self, start: int) -> n.ImportStmt:
        """`import "path";` (the path is empty after an error)."""
        self.advance()
        if self.kind != "str":
            self.error("expected string after 'import'")
            return n.ImportStmt(self.here(), "")
        path = self.parse_string()
        span = self.span_from(start)
        if not self.match(";"):
            self.error("expected ';' after import")
        return n.ImportStmt(span, path)

    _STATEMENTS: dict[str, Callable[[StmtParser, int], n.Stmt]] = {
        "import": parse_import,
        "while": _parse_while,
        "unroll": _parse_unroll,
        "for": _parse_for,
        "break": _parse_jump,
        "continue": _parse_jump,
        "return": _parse_jump,
        "let": _parse_let,
    }
