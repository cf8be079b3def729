"""Attach points: raw text up to a brace, a comma or white space, split at colons."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Before the first `:` a `/` starts the predicate, behind it belongs to a path. A quoted part may hold anything.
RAW = re.compile(r'(?:"(?:[^"\\]|\\(?s:.))*+"?|/(?=[/*])|[^{,\s":/])*+(?::(?:"(?:[^"\\]|\\(?s:.))*+"?|[^{,\s"])*+)?')
_PIECE = re.compile(r'([:@])|"((?:[^"\\]|\\.)*)"?|\$([1-9]\d*)|\$(.?)|([^:@"$]+)', re.DOTALL | re.ASCII)


class BadParameter(ValueError):
    """A `$` that names no positional parameter; the message is bpftrace's."""


def split_attach_point(raw: str, params: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The user's name (or "") and the parts of an attach point as written: provider first.

    Parts are separated by `:`; an unquoted `@` separates too and stays as a part "@" of its own
    (`uprobe:/bin/sh@main.c:5` has the parts uprobe, /bin/sh, @, main.c, 5). Quotes are removed, `$1` is replaced by the
    parameter (by nothing when there is none); colons in a parameter separate as well. Raises BadParameter.
    """
    parts = [""]
    for match in _PIECE.finditer(raw):
        separator, quoted, param, stray, plain = match.groups()
        if separator:
            parts += ["@", ""] if separator == "@" else [""]
        elif quoted is not None:
            parts[-1] += re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        elif param:
            index = int(param) if len(param) < 10 else len(params) + 1
            first, *more = (params[index - 1] if index <= len(params) else "").split(":")
            parts[-1] += first
            parts += more
        elif stray is not None:
            if not stray:
                raise BadParameter("positional parameter is not valid: invalid integer: ")
            raise BadParameter(
                f"invalid trailing character for positional param: {stray}. "
                f'Try quoting this entire part if this is intentional e.g. "${stray}".'
            )
        else:
            parts[-1] += plain
    name, equals, provider = parts[0].partition("=")
    if equals and provider:
        parts[0] = provider
        return name, tuple(parts)
    return "", tuple(parts)
