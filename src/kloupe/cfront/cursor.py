"""A place in a list of tokens, and the ways to move on."""

from __future__ import annotations

from ..base.diag import Diagnostics
from ..base.source import NOWHERE
from .tokens import Token


class Stop(Exception):
    """Ends one declaration after its error was reported."""


class Cursor:
    """Walks over tokens; behind the last stands one of kind `end`."""

    def __init__(self, tokens: list[Token], diagnostics: Diagnostics) -> None:
        last = tokens[-1].span if tokens else NOWHERE
        self.tokens = [*tokens, Token("end", "", last.source, last.end, last.end)]
        self.at = 0
        self.diagnostics = diagnostics

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def match(self, text: str) -> bool:
        if self.tokens[self.at].text == text and self.tokens[self.at].kind != "string":
            self.at += 1
            return True
        return False

    def fail(self, message: str, token: Token | None = None) -> Stop:
        self.diagnostics.error((token or self.token).span, message)
        return Stop()

    def expect(self, text: str) -> None:
        if not self.match(text):
            raise self.fail(f"expected '{text}'")

    def skip_balanced(self) -> None:
        """Behind the bracket that closes the one at the current token."""
        depth = 0
        while self.token.kind != "end":
            text = self.token.text
            self.at += 1
            depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
            if depth <= 0:
                return

    def skip_declaration(self) -> None:
        while self.token.kind != "end":
            text = self.token.text
            if text in ("(", "[", "{"):
                self.skip_balanced()
                if text == "{":
                    self.match(";")
                    return
                continue
            self.at += 1
            if text in (";", "}"):
                return
