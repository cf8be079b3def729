"""What C text is parsed against: types from elsewhere, and where the text stands."""

from __future__ import annotations

from typing import Protocol

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.source import Source, Span


class Known(Protocol):
    """Types from elsewhere (the kernel's, by BTF)."""

    @property
    def has_btf(self) -> bool:
        """Whether kernel type information is at hand."""

    def struct(self, kind: str, name: str) -> ct.Struct | None:
        """A struct or union by name."""

    def enum(self, name: str) -> ct.Enum | None:
        """An enum by name."""

    def typedef(self, name: str) -> CType | None:
        """What a typedef names."""


class CPart(Protocol):
    """A stretch of C text with its place (the syntax tree's CText)."""

    @property
    def span(self) -> Span:
        """Where the text stands."""


def no_kernel() -> Known:
    """A `Known` that knows nothing."""
    return _Nothing()


class _Nothing:
    has_btf = False

    def struct(self, kind: str, name: str) -> ct.Struct | None:
        return None

    def enum(self, name: str) -> ct.Enum | None:
        return None

    def typedef(self, name: str) -> CType | None:
        return None


class TextPart:
    """A whole text as a C part (an imported header)."""

    def __init__(self, name: str, text: str) -> None:
        self.span = Span(Source(name, text), 0, len(text))
