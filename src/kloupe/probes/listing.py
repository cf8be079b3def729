"""What `-l` and `-lv` print: probes that match patterns, the expanded attach points of a program, kernel types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..base.ctype import Enum, Struct
from ..base.diag import Diagnostics
from ..base.errors import TargetError
from ..kernel.target import ListingFacts, Target
from ..lang.nodes import Probe
from .c_definition import define_enum, define_struct
from .model import Kind, ProbeOptions
from .table import KERNEL_LISTED, KINDS, USER_LISTED, expand_attach_point
from .wildcard import has_wildcard, matcher

_INDENT = "    "
_TYPE_WORDS = ("struct ", "union ", "enum ")
_NEVER = ("begin", "end", "self")
_WITHOUT_COUNT = ("hardware", "interval", "profile", "software")


def list_probes(pattern: str, target: Target, options: ProbeOptions, verbose: bool = False) -> list[str]:
    """The lines for a search pattern: several patterns with commas between, `struct x` for types, "" for everything.

    With `verbose` a probe's arguments follow it, indented by 4, and types are spelled out.
    """
    lines: list[str] = []
    for written in pattern.split(","):
        one = " ".join(written.split())
        if one.startswith(_TYPE_WORDS):
            lines += _list_types(one, target, verbose)
        else:
            lines += _list_pattern(one if ":" in one else f"*:{one or '*'}", target, options, verbose)
    return lines


def _list_pattern(pattern: str, target: Target, options: ProbeOptions, verbose: bool) -> list[str]:
    provider, _, rest = pattern.partition(":")
    lines: list[str] = []
    for name in _kinds(provider, rest, options):
        kind = KINDS[name]
        try:
            entries = sorted(kind.listing(rest, target, options))
        except TargetError:
            if not has_wildcard(provider):
                raise
            continue
        lines += _with_details(kind, entries, target, options, verbose)
    return lines


def _kinds(provider: str, rest: str, options: ProbeOptions) -> list[str]:
    """Canonical names, sorted. A wildcard is for the kernel's kinds, and user space's when -p or a path bounds the search."""
    if not has_wildcard(provider):
        return [KINDS[provider].names[0]] if provider in KINDS else []
    first = rest.partition(":")[0]
    bounded = bool(options.pid) or ("/" in first and not has_wildcard(first))
    return sorted(filter(matcher(provider), KERNEL_LISTED + (USER_LISTED if bounded else ())))


def _with_details(
    kind: Kind, entries: Iterable[str], target: Target, options: ProbeOptions, verbose: bool
) -> list[str]:
    lines = []
    for entry in entries:
        lines.append(f"{kind.names[0]}:{entry}")
        if verbose:
            lines += [_INDENT + text for text in kind.details(entry, target, options)]
    return lines


def list_attach_points(
    probes: Sequence[Probe], target: Target, options: ProbeOptions, diagnostics: Diagnostics, verbose: bool = False
) -> list[str]:
    """The lines for a program: its attach points, expanded, in the order of the program."""
    lines: list[str] = []
    for probe in probes:
        for ap in probe.attach_points:
            entries: dict[tuple[str, str], None] = {}
            for point in expand_attach_point(ap, target, options, diagnostics):
                entry = point.name.partition(":")[2]
                if point.kind in _WITHOUT_COUNT:
                    entry = entry.partition(":")[0] + ":"
                entries[point.kind, entry] = None
            for kind, entry in entries:
                if kind not in _NEVER:
                    lines += _with_details(KINDS[kind], (entry,), target, options, verbose)
    return lines


def _list_types(pattern: str, target: Target, verbose: bool) -> list[str]:
    if has_wildcard(pattern) and isinstance(target, ListingFacts):
        names = [name for name in target.type_names(pattern) if matcher(pattern)(name)]
    else:
        names = [pattern]
    lines: list[str] = []
    for name in names:
        word, _, tag = name.partition(" ")
        found = target.enum(tag) if word == "enum" else target.struct(word, tag)
        if found is None:
            continue
        lines += _definition(found) if verbose else [name]
    return lines


def _definition(found: Struct | Enum) -> list[str]:
    text = define_enum(found) if isinstance(found, Enum) else define_struct(found)
    return [f"vmlinux: {text}", ""]
