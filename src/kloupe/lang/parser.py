"""Text to syntax tree: the whole program. Errors go to the diagnostics in bpftrace's wording; the tree holds what was understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from ..base.diag import Diagnostics
from ..base.source import Source, Span
from . import nodes as n
from .attach import RAW, BadParameter, split_attach_point
from .lexer import LAYOUT, is_builtin
from .parse_stmt import StmtParser
from .parse_type import TooDeep

_C_WORDS = ("struct", "union", "enum")
_GROUP = r"\((?:[^(){};]|\((?:[^(){};]|\([^(){};]*\))*+\))*+\)|\[[^]{};]*\]"
_C_AHEAD = re.compile(rf"(?:struct|union|enum)\b(?:{LAYOUT}(?:[A-Za-z_]\w*+|{_GROUP}))*+{LAYOUT}\{{", re.ASCII)
_BRACES = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)|\{|\}", re.DOTALL)
_ATTRIBUTE = re.compile(rf"{LAYOUT}__attribute__{LAYOUT}")
_PARENS = re.compile(r"[()]")
_DIRECTIVE = re.compile(r"(?:[^\\\n]|\\(?s:.))*")
_TO_LINE_END = re.compile(r"[^;\n]*")


def parse_program(source: Source, diagnostics: Diagnostics, params: Sequence[str] = ()) -> n.Program:
    """The syntax tree of a script.

    `params` replace `$1`... in attach points; elsewhere they stay PositionalParam nodes. Never raises for bad text: the
    findings are in `diagnostics`, and the program holds what came before the first error.
    """
    parser = ProgramParser(source, diagnostics, params)
    parser.parse_all()
    return parser.program()


def parse_expression_text(source: Source, diagnostics: Diagnostics) -> n.Expr | None:
    """One expression that is all of `source` (the value of a `#define`), or None with the reason in `diagnostics`."""
    parser = ProgramParser(source, diagnostics, ())
    try:
        if parser.kind == "eof":
            return None
        expr = parser.parse_expression()
    except TooDeep:
        return None
    if parser.kind != "eof":
        parser.error("unexpected input")
    return None if parser.failed else expr


def parse_defines(defines: Mapping[str, str]) -> dict[str, n.Expr]:
    """The `#define`s whose value is an expression, parsed; spans point into a text named after the macro."""
    found = {}
    for name, text in defines.items():
        expr = parse_expression_text(Source(name, text), Diagnostics())
        if expr is not None:
            found[name] = expr
    return found


class ProgramParser(StmtParser):
    """Parses a whole script; what it found is in its attributes. With `keep_form` an `if` stays an expression where it was
    written as one, for the formatter."""

    def __init__(
        self, source: Source, diagnostics: Diagnostics, params: Sequence[str], keep_form: bool = False
    ) -> None:
        super().__init__(source, diagnostics)
        self.params = params
        self.keep_form = keep_form
        self.shebang = ""
        self.c_spans: list[Span] = []
        self.config: list[n.ConfigEntry] = []
        self.config_span: Span | None = None
        self.imports: list[n.ImportStmt] = []
        self.map_decls: list[n.MapDecl] = []
        self.macros: list[n.MacroDef] = []
        self.probes: list[n.Probe] = []

    def program(self) -> n.Program:
        """What was parsed so far."""
        c_text = None
        if self.c_spans:
            span = self.c_spans[0].to(self.c_spans[-1])
            c_text = n.CText(span, span.text)
        return n.Program(
            Span(self.source, 0, len(self.input)),
            self.shebang,
            c_text,
            tuple(self.config),
            tuple(self.imports),
            tuple(self.map_decls),
            tuple(self.macros),
            tuple(self.probes),
            self.config_span,
        )

    def parse_all(self) -> None:
        """Parse; nesting that is too deep is reported like any other error."""
        with suppress(TooDeep):
            self._parse()

    def _parse(self) -> None:
        """The whole script: C part, then config and imports, then probes, macros and map declarations."""
        self.parse_head()
        while self.kind == "name" and self.text in ("config", "import") and not self.failed:
            if self.text == "import":
                self.imports.append(self.parse_import(self.start))
            elif self.config_span is None:
                self._parse_config()
            else:
                self._skip_config("duplicate config block")
        while self.kind != "eof" and not self.failed:
            before = self.start
            self._parse_item()
            if self.start == before:
                self.error("unexpected input")
                self.advance()

    # -- head -----------------------------------------------------------------------------------------------------

    def parse_head(self) -> None:
        """The shebang line and the C statements."""
        if self.text == "#" and self.input[self.end : self.end + 1] == "!":
            newline = self.input.find("\n", self.start)
            end = len(self.input) if newline < 0 else newline
            self.shebang = self.input[self.start : end]
            self._jump(end)
        while not self.failed:
            if self.text == "#":
                self._parse_directive()
            elif self.text in _C_WORDS and _C_AHEAD.match(self.input, self.start):
                self._parse_definition()
            else:
                break

    def _jump(self, position: int) -> None:
        """Continue behind text that was read raw."""
        self.last_end = position
        self.scan(position)

    def _parse_directive(self) -> None:
        match = _DIRECTIVE.match(self.input, self.start)
        end = match.end() if match else self.end
        self.c_spans.append(Span(self.source, self.start, self.start + len(self.input[self.start : end].rstrip())))
        self._jump(end)

    def _parse_definition(self) -> None:
        start, depth, end = self.start, 0, len(self.input)
        for match in _BRACES.finditer(self.input, start):
            depth += (match[0] == "{") - (match[0] == "}")
            if match[0] == "}" and depth <= 0:
                end = match.end()
                break
        while (attribute := _ATTRIBUTE.match(self.input, end)) is not None:
            end = self._after_attribute(attribute.end())
            if self.failed:
                break
        self._jump(end)
        self.match(";")
        self.c_spans.append(self.span_from(start))

    def _after_attribute(self, at: int) -> int:
        """Where the parentheses of an `__attribute__` end."""
        if not self.input.startswith("((", at):
            self.error("__attribute__ syntax error, expected '(('", at, at + 1)
            return at
        depth = 0
        for match in _PARENS.finditer(self.input, at):
            depth += 1 if match[0] == "(" else -1
            if depth == 0:
                return match.end()
        self.error("__attribute__ syntax error, mismatched '(' and ')'", at, len(self.input))
        return len(self.input)

    def _parse_config(self) -> None:
        start = self.start
        self.advance()
        self.config_span = self.span_from(start)
        if not self.expect("=") or not self.expect("{"):
            return
        while self.text != "}" and self.kind != "eof":
            at = self.start
            key = self.expect_name("expected config key")
            if key is None or not self.expect("="):
                break
            value = self._parse_config_value()
            if value is not None:
                key = key.lower().removeprefix("bpftrace_")
                self.config.append(n.ConfigEntry(self.span_from(at), key, value))
            if self.text != "}" and not self.match(";"):
                self.error("expected ';'")
                while self.text != "}" and self.kind != "eof":
                    self.advance()
                break
        self.expect("}")
        self.config_span = self.span_from(start)

    def _parse_config_value(self) -> int | bool | str | None:
        if self.kind == "str":
            return self.parse_string()
        if self.kind == "num":
            return self.parse_number()
        word = self.expect_name("expected string, int, boolean, or ident")
        return word == "true" if word in ("true", "false") else word

    def _skip_config(self, message: str) -> None:
        start = self.start
        self.advance()
        self.error(message, start, self.last_end)
        if self.match("=") and self.match("{"):
            while self.text != "}" and self.kind != "eof":
                self.advance()
            self.match("}")

    # -- items ----------------------------------------------------------------------------------------------------

    def _parse_item(self) -> None:
        item = self._ITEMS.get(self.text)
        if item is not None:
            item(self, self.start)
        elif self.text in _C_WORDS and _C_AHEAD.match(self.input, self.start):
            self._late(self._parse_definition)
        elif self.text == "#" and self.input[self.end : self.end + 1] != "!":
            self._late(self._parse_directive)
        else:
            self._parse_probe()

    def _late(self, parse: Callable[[], None]) -> None:
        start = self.start
        parse()
        late = self.c_spans.pop()
        self.error("C definitions must appear before probes and functions", start, late.end)

    def _late_config(self, start: int) -> None:
        self._skip_config("config must appear before probes and functions")

    def _late_import(self, start: int) -> None:
        self.error("root imports must appear before probes and functions", start, self.end)
        match = _TO_LINE_END.match(self.input, self.end)
        self._jump(match.end() if match else self.end)
        self.match(";")

    def _refuse_function(self, start: int) -> None:
        self.error("functions (fn) are not supported", start, self.end, "Use a macro instead.")
        self.advance()

    def _parse_map_decl(self, start: int) -> None:
        ahead = self.after_layout(self.end)
        if self.input[ahead : ahead + 1] != "@":
            self.error("root-level let statements need to be map declarations, e.g. let @a = hash(2);")
            self.advance()
            return
        self.advance()
        name, at = self.text, self.start
        self.advance()
        target = n.Map(self.span_from(at), name)
        if not self.expect("="):
            return
        kind = self.expect_name("expected map type name")
        if kind is None or not self.expect("("):
            return
        if self.kind != "num":
            self.error("expected positive integer for map declaration max entries")
            return
        count = self.parse_number()
        if not self.expect(")"):
            return
        self.match(";")
        self.map_decls.append(n.MapDecl(self.span_from(start), target, kind, count))

    def _parse_macro(self, start: int) -> None:
        self.advance()
        name = self.expect_name("expected macro name")
        span = self.span_from(start)
        if name is None or not self.expect("("):
            return
        parameters: list[n.Variable | n.Map | n.Identifier] = []
        while self.text != ")" or parameters:
            parameter = self._parse_macro_parameter()
            if parameter is not None:
                parameters.append(parameter)
            if not self.match(","):
                break
        if not self.expect(")"):
            return
        block = self.parse_block()
        if block is not None:
            value = None if isinstance(block.value, n.NoValue) else block.value
            self.macros.append(n.MacroDef(span, name, tuple(parameters), block.body, value))

    def _parse_macro_parameter(self) -> n.Variable | n.Map | n.Identifier | None:
        kind, text, start = self.kind, self.text, self.start
        if kind not in ("var", "map", "name"):
            self.error("expected macro argument ($var, @map, or identifier)")
            return None
        self.advance()
        span = self.span_from(start)
        if kind == "var":
            return n.Variable(span, text)
        if kind == "map":
            return n.Map(span, text)
        if is_builtin(text):
            self.error(f"builtin '{text}' can't be used as a macro argument", start, span.end)
            return None
        return n.Identifier(span, text)

    def _parse_probe(self) -> None:
        start = self.start
        first = self._parse_attach_point()
        if first is None:
            return
        name, point = first
        points = [point]
        while self.match(","):
            if self.text in ("/", "{"):
                break
            following = self._parse_attach_point()
            if following is None:
                break
            points.append(following[1])
            name = name or following[0]
        span = Span(self.source, start, points[-1].span.end)
        predicate = None
        if self.match("/"):
            predicate = self.parse_expression()
            if not self.match("/"):
                self.error("expected '/' to close predicate")
        block = self.parse_block(allow_value=False)
        if block is not None:
            self.probes.append(n.Probe(span, tuple(points), predicate, block.body, name))

    def _parse_attach_point(self) -> tuple[str, n.AttachPoint] | None:
        match = RAW.match(self.input, self.start)
        raw = match[0] if match else ""
        if not raw:
            self.error("expected attach point")
            return None
        span = Span(self.source, self.start, self.start + len(raw))
        self._jump(span.end)
        try:
            name, parts = split_attach_point(raw, self.params)
        except BadParameter as bad:
            self.diagnostics.error(span, str(bad))
            return "", n.AttachPoint(span, raw, ())
        return name, n.AttachPoint(span, parts[0], parts[1:])

    _ITEMS = {
        "macro": _parse_macro,
        "let": _parse_map_decl,
        "fn": _refuse_function,
        "config": _late_config,
        "import": _late_import,
    }
