"""The C preprocessor, as far as scripts use it: conditions, object-like and function-like macros, recorded includes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..base.diag import Diagnostics
from ..base.record import record
from ..base.source import Source
from .constant import ConstantError, Evaluator
from .headers import is_served, served_text
from .tokens import Token, tokenize

MAX_TOKENS = 200_000  # that macros expand to in one C part: bounds macros that multiply
MAX_INCLUDES = 64
MAX_NESTED_CALLS = 40

ReadInclude = Callable[[str, bool], "tuple[str, str] | None"]


@record
class Define:
    """A `#define`: `parameters` is None for an object-like one; `body` are the tokens of its value."""

    parameters: tuple[str, ...] | None
    body: list[Token]


class Preprocessor:
    """Turns text into the tokens that the compiler proper sees.

    `read_include` gives (name, text) for the path of an `#include` and whether it stands in quotes, or None; without it includes are
    only recorded. Of the kernel's headers and the C library's no file is needed (see `headers.py`).
    """

    def __init__(
        self, diagnostics: Diagnostics, predefined: Mapping[str, str], read_include: ReadInclude | None = None
    ) -> None:
        self.diagnostics = diagnostics
        self.defines: dict[str, Define] = {}
        self.predefined = frozenset(predefined)
        self.includes: list[str] = []
        self.tokens: list[Token] = []
        self._read_include = read_include
        self._included = 0
        self._nested = 0
        self._produced = 0
        for name, value in predefined.items():
            source = Source("<predefined>", value)
            self.defines[name] = Define(None, [t for line in tokenize(source, 0, len(value)) for t in line])

    def run(self, source: Source, start: int, end: int) -> None:
        """Append the tokens of a stretch of text."""
        open_conditions: list[list[bool]] = []  # [this branch is active, some branch was taken, outer is active]
        pending: list[Token] = []
        for line in tokenize(source, start, end):
            if line[0].text == "#":
                self._expand_into(pending)
                pending = []
                self._directive(line, open_conditions)
            elif not open_conditions or open_conditions[-1][0]:
                pending += line
        self._expand_into(pending)
        if open_conditions:
            self._error(Token("end", "", source, end, end), "unterminated conditional directive")

    def value_text(self, define: Define) -> str:
        """The value of an object-like macro, macros in it replaced, its tokens joined by single spaces."""
        return " ".join(token.text for token in self._expand(define.body))

    def _error(self, token: Token, message: str) -> None:
        self.diagnostics.error(token.span, message)

    # -- directives -----------------------------------------------------------------------------------------------

    def _directive(self, line: list[Token], conditions: list[list[bool]]) -> None:
        if len(line) == 1:
            return
        word, rest = line[1].text, line[2:]
        if word in ("if", "ifdef", "ifndef"):
            outer = not conditions or conditions[-1][0]
            active = outer and self._condition(word, line[1], rest)
            conditions.append([active, active, outer])
        elif word in ("elif", "else", "endif"):
            if not conditions:
                self._error(line[1], f"#{word} without #if")
            elif word == "endif":
                conditions.pop()
            else:
                state = conditions[-1]
                active = state[2] and not state[1] and (word == "else" or self._condition("if", line[1], rest))
                state[0], state[1] = active, state[1] or active
        elif not conditions or conditions[-1][0]:
            self._active_directive(word, line[1], rest)

    def _active_directive(self, word: str, at: Token, rest: list[Token]) -> None:
        if word == "define":
            self._define(at, rest)
        elif word == "undef":
            for token in rest[:1]:
                self.defines.pop(token.text, None)
        elif word == "include":
            self._include(at, rest)
        elif word == "error":
            self._error(at, " ".join(token.text for token in rest) or "#error")
        elif word not in ("pragma", "warning", "line", "ident"):
            self._error(at, "invalid preprocessing directive")

    def _condition(self, word: str, at: Token, rest: list[Token]) -> bool:
        if word != "if":
            if not rest:
                self._error(at, "macro name missing")
                return False
            return (rest[0].text in self.defines) == (word == "ifdef")
        try:
            return bool(Evaluator(self._expand(self._resolve_defined(rest)), lambda name: 0).value())
        except ConstantError as bad:
            self._error(bad.token or at, str(bad))
            return False

    def _resolve_defined(self, tokens: list[Token]) -> list[Token]:
        out, at = [], 0
        while at < len(tokens):
            token = tokens[at]
            at += 1
            if token.text == "defined" and at < len(tokens):
                bracket = tokens[at].text == "("
                at += bracket
                known = at < len(tokens) and tokens[at].text in self.defines
                at += 1 + bracket
                token = Token("number", str(int(known)), token.source, token.start, token.end)
            out.append(token)
        return out

    def _define(self, at: Token, rest: list[Token]) -> None:
        if not rest or rest[0].kind != "name":
            self._error(at, "macro name missing")
            return
        name, body = rest[0], rest[1:]
        parameters: tuple[str, ...] | None = None
        if body and body[0].text == "(" and body[0].start == name.end:
            close = next((i for i, token in enumerate(body) if token.text == ")"), None)
            if close is None:
                self._error(body[0], "missing ')' in macro parameter list")
                return
            parameters = tuple(token.text for token in body[1:close] if token.text != ",")
            body = body[close + 1 :]
        self.defines[name.text] = Define(parameters, body)

    def _include(self, at: Token, rest: list[Token]) -> None:
        if not rest:
            self._error(at, 'expected "FILENAME" or <FILENAME>')
            return
        quoted = rest[0].kind == "string"
        path = rest[0].text.strip('"') if quoted else "".join(token.text for token in rest).strip("<>")
        self.includes.append(path)
        if self._read_include is None:
            return
        found = self._read_include(path, quoted)
        if found is None and is_served(path):
            found = path, served_text(path)
        if found is None:
            self.diagnostics.error(
                at.span.to(rest[-1].span), f"'{path}' file not found", hints=("Name its folder with -I.",)
            )
        elif self._included < MAX_INCLUDES:
            self._included += 1
            name, text = found
            self.run(Source(name, text), 0, len(text))

    # -- expansion ------------------------------------------------------------------------------------------------

    def _expand_into(self, tokens: list[Token]) -> None:
        self.tokens += self._expand(tokens)

    def _expand(self, tokens: list[Token]) -> list[Token]:
        """Tokens with macros replaced. Iterative: replaced text is scanned again with the macro's name switched off."""
        work: list[tuple[Token, frozenset[str]]] = [(token, frozenset()) for token in reversed(tokens)]
        out: list[Token] = []
        while work:
            token, hidden = work.pop()
            define = self.defines.get(token.text) if token.kind == "name" and token.text not in hidden else None
            if define is None:
                out.append(token)
                continue
            body: list[Token] = define.body
            if define.parameters is not None:
                if not work or work[-1][0].text != "(":
                    out.append(token)
                    continue
                body = _substitute(define, self._expand_arguments(_take_arguments(work)))
            self._produced += len(body)
            if self._produced > MAX_TOKENS:
                self._error(token, f"macros expand to more than {MAX_TOKENS} tokens")
                return out
            inner = hidden | {token.text}
            work += [(part, inner) for part in reversed(body)]
        return out

    def _expand_arguments(self, arguments: list[list[Token]]) -> list[list[Token]]:
        """Arguments are replaced on their own before the macro is (C 6.10.3.1)."""
        self._nested += 1
        if self._nested > MAX_NESTED_CALLS:
            self._nested -= 1
            return arguments
        expanded = [self._expand(argument) for argument in arguments]
        self._nested -= 1
        return expanded


def _take_arguments(work: list[tuple[Token, frozenset[str]]]) -> list[list[Token]]:
    """Pop a call's arguments, parentheses included, off the work list."""
    work.pop()
    arguments: list[list[Token]] = [[]]
    depth = 1
    while work:
        token = work.pop()[0]
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0:
            break
        if token.text == "," and depth == 1:
            arguments.append([])
        else:
            arguments[-1].append(token)
    return arguments


def _substitute(define: Define, arguments: list[list[Token]]) -> list[Token]:
    """The body of a function-like macro with its parameters replaced; `##` joins its neighbours."""
    given = dict(zip(define.parameters or (), arguments, strict=False))
    if define.parameters and define.parameters[-1] == "...":
        rest = arguments[len(define.parameters) - 1 :]
        given["__VA_ARGS__"] = [
            token for i, part in enumerate(rest) for token in (([part[0]] if i and part else []) + part)
        ]
    out: list[Token] = []
    join = False
    for token in define.body:
        if token.text == "##":
            join = True
            continue
        for part in given.get(token.text, [token]) if token.kind == "name" else [token]:
            if join and out:
                left = out.pop()
                part = Token(left.kind, left.text + part.text, left.source, left.start, left.end)
            join = False
            out.append(part)
    return out
