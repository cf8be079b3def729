"""C++ and Rust symbol names as people write them.

The work is done by the `demangle` package (pure Python, no compiled parts), imported when first needed; without it names stay as
they are. The others that fit need libstdc++ at run time (cxxfilt) or leave out much of C++ (itanium-demangler).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

_PREFIXES = ("_Z", "_R", "__Z", "___Z")


@cache
def _library() -> Callable[[str], str] | None:
    try:
        from demangle import demangle as found
    except ImportError:
        return None
    call: Callable[[str], str] = found
    return call


def is_mangled(name: str) -> bool:
    """Whether a symbol looks like a mangled C++ or Rust name."""
    return name.startswith(_PREFIXES)


@cache
def demangle(name: str) -> str:
    """The readable form (`std::basic_string::append(char const*)`), or the name itself when it has none."""
    library = _library() if is_mangled(name) else None
    if library is None:
        return name
    try:
        return library(name) or name
    except Exception:  # another project's parser must not end a trace
        return name


def may_match(name: str, pattern: str) -> bool:
    """A quick test before demangling: every word of the pattern that is not cut by a wildcard stands in the symbol."""
    if not is_mangled(name):
        return "::" not in pattern
    head = pattern.split("(", 1)[0].split("<", 1)[0]
    words = re.findall(r"(?<![\w*?\]])[A-Za-z_]\w*(?![\w*?\[])", head)
    return all(word in name for word in words if word not in _ABBREVIATED)


# Names that mangling shortens (Itanium C++ ABI 5.1.10: St, Sa, Ss, ...) or writes as codes.
_ABBREVIATED = {
    *("std", "allocator", "basic_string", "string", "istream", "ostream", "iostream", "basic_istream", "basic_ostream"),
    *("basic_iostream", "operator", "anonymous", "namespace", "const", "unsigned", "int", "char", "new", "delete"),
}
