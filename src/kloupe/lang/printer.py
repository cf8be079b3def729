"""`--fmt`: a script laid out anew, its comments and blank lines kept. The form is bpftrace 0.27's."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from ..base.diag import Diagnostics
from ..base.source import Source
from . import nodes as n
from .dump import dump_tree
from .parser import ProgramParser
from .print_expr import INDENT, ExprPrinter, quote
from .textbuffer import TextBuffer
from .trivia import Trivia, collect_trivia

__all__ = ["MAX_WIDTH", "dump_tree", "format_program", "format_source"]

MAX_WIDTH = 90
_COMPOUND = frozenset(("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"))
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_LITERALS = (n.IntLiteral, n.StringLiteral, n.BoolLiteral)


def format_source(source: Source, diagnostics: Diagnostics, width: int = MAX_WIDTH) -> str:
    """The script of `source` in its canonical layout. Raises ScriptError when it has syntax errors."""
    parser = ProgramParser(source, diagnostics, (), keep_form=True)
    parser.parse_all()
    diagnostics.require_no_errors()
    return _Printer(parser, width).program()


def format_program(program: n.Program, source: Source) -> str:
    """`format_source` for a program that was parsed from `source`."""
    return format_source(source, Diagnostics())


class _Printer(ExprPrinter):
    def __init__(self, parser: ProgramParser, width: int) -> None:
        super().__init__()
        self.parser = parser
        self.source = parser.source
        self.width = width
        self.block_starts = sorted(parser.blocks)
        raw = [(point.span.start, point.span.end) for probe in parser.probes for point in probe.attach_points]
        raw += [(span.start, span.end + (self.source.text[span.start] == "#")) for span in parser.c_spans]
        if parser.shebang:
            start = self.source.text.index(parser.shebang)
            raw.append((start, start + len(parser.shebang) + 1))
        self.all = collect_trivia(self.source.text, sorted(raw))

    # -- program --------------------------------------------------------------------------------------------------

    def program(self) -> str:
        """The whole text."""
        parser = self.parser
        entries: list[tuple[int, Callable[[], TextBuffer]]] = []
        for span in parser.c_spans:
            entries.append((span.start, lambda span=span: self._c_statement(span.text)))  # type: ignore[misc]
        if parser.config_span is not None:
            entries.append((parser.config_span.start, self._config))
        for kind, items in ((self._import, parser.imports), (self._map_decl, parser.map_decls)):
            entries += [(item.span.start, lambda item=item, kind=kind: kind(item)) for item in items]  # type: ignore
        entries += [(probe.span.start, lambda probe=probe: self._probe(probe)) for probe in parser.probes]  # type: ignore[misc]
        entries += [(macro.span.start, lambda macro=macro: self._macro(macro)) for macro in parser.macros]  # type: ignore[misc]
        out = TextBuffer()
        if parser.shebang:
            out.text(parser.shebang).line_break()
        for start, print_entry in sorted(entries, key=lambda entry: entry[0]):
            leading = self.all.take_before(start)
            out.trivia(leading).append(print_entry().line_break())
        return out.trivia(self.all).render()

    def _c_statement(self, text: str) -> TextBuffer:
        return TextBuffer(text if text.startswith("#") or text.endswith(";") else f"{text};")

    def _import(self, item: n.ImportStmt) -> TextBuffer:
        return TextBuffer(f"import {quote(item.path)};")

    def _map_decl(self, item: n.MapDecl) -> TextBuffer:
        return TextBuffer(f"let {item.map.name} = {item.kind}({item.max_entries});")

    def _config(self) -> TextBuffer:
        if not self.parser.config:
            return TextBuffer("config = {}")
        inner = TextBuffer()
        for entry in self.parser.config:
            if inner.lines:
                inner.line_break()
            key = entry.span.text.partition("=")[0].split("/")[0].strip()
            inner.text(f"{key} = {_config_value(entry.value)};")
        return TextBuffer("config = {").append(inner, INDENT).text("}")

    def _block_after(self, place: int) -> tuple[int, int, int]:
        """(end of the token before, place of the brace, end) of the first block at or behind `place`."""
        index = bisect_left(self.block_starts, place)
        start = self.block_starts[index]
        before, end = self.parser.blocks[start]
        return before, start, end

    def _probe(self, probe: n.Probe) -> TextBuffer:
        out = TextBuffer()
        for index, point in enumerate(probe.attach_points):
            out.text(point.span.text + ("," if index < len(probe.attach_points) - 1 else "")).line_break()
        begin = probe.span.end
        if probe.predicate is not None:
            leading = self.all.take_before(probe.predicate.span.start)
            predicate = self.expr(probe.predicate, self.all, self.width, True)
            out.comments(leading).text("/").append(predicate).text("/").line_break()
            begin = probe.predicate.span.end
        before, start, end = self._block_after(begin)
        leading = self.all.take_before(start if probe.predicate is None else before)
        body = self.body(probe.body, None, end, self.all, self.width - 2)
        return out.comments(leading).text("{").append(body, INDENT).text("}")

    def _macro(self, macro: n.MacroDef) -> TextBuffer:
        parameters = ", ".join(parameter.name for parameter in macro.parameters)
        before, _, end = self._block_after(macro.span.end)
        leading = self.all.take_before(before)
        body = self.body(macro.body, macro.value, end, self.all, self.width - INDENT)
        out = TextBuffer(f"macro {macro.name}({parameters})").trivia(leading, 1)
        return out.text("{").append(body, INDENT).text("}")

    # -- blocks ---------------------------------------------------------------------------------------------------

    def block(self, block: n.BlockExpr, trivia: Trivia, width: int) -> TextBuffer:
        value = None if isinstance(block.value, n.NoValue) else block.value
        self.lost += trivia.take_before(block.span.start).comments
        return self.body(block.body, value, block.span.end, trivia, width)

    def body(
        self, statements: Sequence[n.Stmt], value: n.Expr | None, end: int, trivia: Trivia, width: int
    ) -> TextBuffer:
        """Statements, and the value behind them; `end` is where the block ends in the source."""
        out = TextBuffer()
        for index, statement in enumerate(statements):
            part = self.statement(statement, trivia, width)
            if index and part.width:
                out.line_break()
            out.append(part)
        rest = trivia.take_before(end)
        if value is None:
            return out.comments(rest)
        leading = rest.take_before(value.span.start)
        shown = self.expr(value, rest, width, True)
        out.trivia(leading, 1 if out.lines else 0)
        return out.append(self._with_lost(shown)).comments(rest)

    def statement(self, statement: n.Stmt, trivia: Trivia, width: int) -> TextBuffer:
        """A statement with the comments before it; comments from inside its expressions come there too."""
        leading = trivia.take_before(statement.span.start)
        outer, self.lost = self.lost, []
        shown = self._with_lost(self._STATEMENTS[type(statement)](self, statement, trivia, width))
        self.lost = outer
        return TextBuffer().trivia(leading).append(shown)

    def _with_lost(self, shown: TextBuffer) -> TextBuffer:
        if not self.lost:
            return shown
        kept = TextBuffer().trivia(Trivia([(0, text.strip()) for text in self.lost]))
        self.lost = []
        return kept.append(shown)

    def if_chain(self, e: n.IfExpr | n.If, trivia: Trivia, width: int) -> TextBuffer:
        """All arms of an `if`; on one line when every arm is a short value."""
        arms: list[tuple[TextBuffer, TextBuffer]] = []
        final: TextBuffer | None = None
        step: Any = e
        gap = self._block_after(e.condition.span.end)[0]
        while True:
            own = trivia.take_before(gap)
            comptime = isinstance(step.condition, n.Comptime)
            condition = self.expr(step.condition, own, width - 5, comptime).comments(own)
            _, _, end = self._block_after(step.condition.span.end)
            arms.append((condition, self._arm(step.then, end, trivia, width)))
            following = step.otherwise
            chained = following[0] if isinstance(following, tuple) and len(following) == 1 else following
            if isinstance(chained, (n.IfExpr, n.If)) and self._is_else_if(end, chained):
                step = chained
                continue
            if following and not isinstance(following, n.NoValue):
                final = self._arm(following, self._block_after(end)[2], trivia, width)
            elif following == () and self._has_else(end):
                final = self._arm((), self._block_after(end)[2], trivia, width)
            break
        total = sum(c.width + 5 + body.width + 3 for c, body in arms)
        tall = any(c.lines > 1 or body.lines > 1 for c, body in arms) or (final is not None and final.lines > 1)
        if isinstance(e, n.If) or _gives_nothing(e) or tall or total > width or len(arms) > 1:
            return _tall_if(arms, final)
        out = TextBuffer("if ").append(arms[0][0]).text(" { ").append(arms[0][1]).text(" }")
        return out.text(" else { ").append(final).text(" }") if final is not None else out

    def _arm(self, arm: Any, end: int, trivia: Trivia, width: int) -> TextBuffer:
        if isinstance(arm, n.BlockExpr):
            return self.block(arm, trivia, width - INDENT)
        if isinstance(arm, tuple):
            return self.body(arm, None, end, trivia, width - INDENT)
        return self.expr(arm, trivia, width - INDENT, True)

    def _is_else_if(self, end: int, chained: n.Node) -> bool:
        return not self._starts_block(end, chained.span.start)

    def _has_else(self, end: int) -> bool:
        at = self.parser.after_layout(end)
        return self.source.text.startswith("else", at)

    def _starts_block(self, start: int, stop: int) -> bool:
        index = bisect_left(self.block_starts, start)
        return index < len(self.block_starts) and self.block_starts[index] < stop

    # -- one method per statement ---------------------------------------------------------------------------------

    def _expr_stmt(self, s: n.ExprStmt, trivia: Trivia, width: int) -> TextBuffer:
        if isinstance(s.value, n.NoValue):
            return TextBuffer()
        shown = self.expr(s.value, trivia, width, True)
        return shown if isinstance(s.value, (n.IfExpr, n.BlockExpr)) else shown.text(";")

    def _block_stmt(self, s: n.Block, trivia: Trivia, width: int) -> TextBuffer:
        inner = self.body(s.body, None, s.span.end, trivia, width - 2)
        if inner.lines > 1 or inner.width > width:
            return TextBuffer("{").append(inner, INDENT).text("}")
        return TextBuffer("{ ").append(inner).text(" }")

    def _discard(self, s: n.Discard, trivia: Trivia, width: int) -> TextBuffer:
        return TextBuffer("_ = ").append(self.expr(s.value, trivia, width, True)).text(";")

    def _assigned(self, target: TextBuffer, op: str, value: n.Expr, trivia: Trivia, width: int) -> TextBuffer:
        shown = self.expr(value, trivia, width - target.width - 2 - len(op), True)
        align = not isinstance(value, (n.BlockExpr, n.IfExpr, n.Ternary))
        return target.text(f" {op} ").append(shown, 0, align).text(";")

    def _let(self, s: n.Let, trivia: Trivia, width: int) -> TextBuffer:
        out = TextBuffer(f"let {s.variable.name}")
        if s.type is not None:
            out.text(" : ").append(self.shown_type(s.type, trivia, width))
        return out.text(";") if s.value is None else self._assigned(out, "=", s.value, trivia, width)

    def _assign(self, s: n.Assign, trivia: Trivia, width: int) -> TextBuffer:
        op, value = s.op, s.value
        if op == "=" and isinstance(value, n.Binary) and value.op in _COMPOUND and _same(s.target, value.left):
            op, value = f"{value.op}=", value.right
        return self._assigned(self.expr(s.target, trivia, width), op, value, trivia, width)

    def _inside(self, head: TextBuffer, place: int, body: Sequence[n.Stmt], trivia: Trivia, width: int) -> TextBuffer:
        end = self._block_after(place)[2]
        return head.text(" {").append(self.body(body, None, end, trivia, width - INDENT), INDENT).text("}")

    def _unroll(self, s: n.Unroll, trivia: Trivia, width: int) -> TextBuffer:
        head = TextBuffer("unroll (").append(self.expr(s.count, trivia, width - 11)).text(")")
        return self._inside(head, s.count.span.end, s.body, trivia, width)

    def _while(self, s: n.While, trivia: Trivia, width: int) -> TextBuffer:
        head = TextBuffer("while ").append(self.expr(s.condition, trivia, width - 8))
        return self._inside(head, s.condition.span.end, s.body, trivia, width)

    def _for(self, s: n.For, trivia: Trivia, width: int) -> TextBuffer:
        head = TextBuffer(f"for {s.variable.name} : ")
        if isinstance(s.iterable, n.Map):
            head.text(s.iterable.name)
        else:
            head.append(self._bound(s.iterable.start, trivia, width)).text("..")
            head.append(self._bound(s.iterable.end, trivia, width))
        return self._inside(head, s.iterable.span.end, s.body, trivia, width)

    def _bound(self, bound: n.Expr, trivia: Trivia, width: int) -> TextBuffer:
        shown = self.expr(bound, trivia, width - 4, True)
        return shown if isinstance(bound, _LITERALS) else TextBuffer("(").append(shown).text(")")

    def _jump(self, s: n.Jump, trivia: Trivia, width: int) -> TextBuffer:
        out = TextBuffer(s.kind)
        return (out if s.value is None else out.text(" ").append(self.expr(s.value, trivia, width - 8))).text(";")

    def _import_stmt(self, s: n.ImportStmt, trivia: Trivia, width: int) -> TextBuffer:
        return self._import(s)

    _STATEMENTS: dict[type[n.Node], Callable[..., TextBuffer]] = {
        n.ExprStmt: _expr_stmt,
        n.Block: _block_stmt,
        n.If: if_chain,
        n.Discard: _discard,
        n.Let: _let,
        n.Assign: _assign,
        n.Unroll: _unroll,
        n.While: _while,
        n.For: _for,
        n.Jump: _jump,
        n.ImportStmt: _import_stmt,
    }


def _tall_if(arms: list[tuple[TextBuffer, TextBuffer]], final: TextBuffer | None) -> TextBuffer:
    out = TextBuffer()
    for index, (condition, body) in enumerate(arms):
        out.text(" else if " if index else "if ").append(condition).text(" {").append(body, INDENT).text("}")
    return out if final is None else out.text(" else {").append(final, INDENT).text("}")


def _gives_nothing(e: n.IfExpr) -> bool:
    empty = isinstance(e.then, n.BlockExpr) and isinstance(e.then.value, n.NoValue)
    return empty or isinstance(e.otherwise, n.NoValue)


def _same(left: n.Expr, right: n.Expr) -> bool:
    """Whether two places are written alike."""
    if type(left) is not type(right) or not isinstance(left, (n.Variable, n.Map, n.MapAccess)):
        return False
    return "".join(left.span.text.split()) == "".join(right.span.text.split())


def _config_value(value: int | bool | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) or _NAME.match(value) else quote(value)
