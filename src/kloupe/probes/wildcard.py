"""Wildcards in attach points: `*` stands for any text; everything else for itself."""

from __future__ import annotations

import re
from collections.abc import Callable


def has_wildcard(text: str) -> bool:
    """True when the text is a pattern (`*`, or a bracket expression as bpftrace counts them)."""
    return "*" in text or ("[" in text and "]" in text)


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for whole names; without `*` it compares."""
    if "*" not in pattern:
        return pattern.__eq__
    match = re.compile(".*".join(map(re.escape, pattern.split("*"))) + r"\Z", re.DOTALL).match
    return lambda name: match(name) is not None
