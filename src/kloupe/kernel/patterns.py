"""Name patterns: `*`, `?` and `[...]`, as probes write them."""

from __future__ import annotations

from collections.abc import Callable


def is_pattern(text: str) -> bool:
    """Whether `text` has wildcards."""
    return "*" in text or "?" in text or "[" in text


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for names. The common forms (no wildcard, `*`, `prefix*`) need no regular expression."""
    if not is_pattern(pattern):
        return pattern.__eq__
    stem = pattern[:-1]
    if pattern[-1] == "*" and not is_pattern(stem):
        return lambda name: name.startswith(stem)
    import re
    from fnmatch import translate

    match = re.compile(translate(pattern)).match
    return lambda name: match(name) is not None


def literal_prefix(pattern: str) -> str:
    """What every match begins with: the text before the first wildcard."""
    ends = [at for at in map(pattern.find, "*?[") if at >= 0]
    return pattern[: min(ends)] if ends else pattern
