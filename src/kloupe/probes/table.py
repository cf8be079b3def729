"""All probe kinds by every spelling, the expansion of attach points, and the listing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module

from ..base.diag import Diagnostics, Note, did_you_mean
from ..kernel.target import Target
from ..lang.nodes import AttachPoint, Probe
from .model import Kind, ProbeOptions, ProbePoint
from .wildcard import has_wildcard, matcher

# Module -> spellings (canonical first) of its kind: modules are imported when first asked for, since a script uses few.
MODULES: Mapping[str, tuple[str, ...]] = {
    "begin": ("begin",),
    "bench": ("bench",),
    "end": ("end",),
    "fentry": ("fentry", "f", "kfunc"),
    "fexit": ("fexit", "fr", "kretfunc"),
    "hardware": ("hardware", "h"),
    "interval": ("interval", "i"),
    "iterator": ("iter", "it"),
    "kprobe": ("kprobe", "k"),
    "kretprobe": ("kretprobe", "kr"),
    "on_signal": ("self",),
    "rawtracepoint": ("rawtracepoint", "rt"),
    "sampling": ("profile", "p"),
    "software": ("software", "s"),
    "tracepoint": ("tracepoint", "t"),
    "unit_test": ("test",),
    "uprobe": ("uprobe", "u"),
    "uretprobe": ("uretprobe", "ur"),
    "usdt": ("usdt", "U"),
    "watchpoint": ("watchpoint", "w"),
}
KERNEL_LISTED = ("fentry", "hardware", "iter", "kprobe", "rawtracepoint", "software", "tracepoint")
USER_LISTED = ("uprobe", "usdt")


class _Kinds(Mapping[str, Kind]):
    """Spelling -> kind. Spellings are looked up as they are, then in lower case (`BEGIN`, `Kprobe`)."""

    def __init__(self) -> None:
        self._modules = {name: module for module, names in MODULES.items() for name in names}

    def __getitem__(self, name: str) -> Kind:
        module = self._modules.get(name) or self._modules[name.lower()]
        kind: Kind = import_module(f"{__package__}.{module}").KIND
        return kind

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._modules or name.lower() in self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


KINDS: Mapping[str, Kind] = _Kinds()


def expand_attach_point(
    ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics
) -> Sequence[ProbePoint]:
    """The points that an attach point names, in the order in which they attach. [] with no new diagnostic: nothing matched."""
    if has_wildcard(ap.provider):
        return _expand_wild_provider(ap, target, options, diagnostics)
    if ap.provider not in KINDS:
        hints = did_you_mean(ap.provider, (names[0] for names in MODULES.values()))
        diagnostics.error(ap.span, f"Invalid probe type: {ap.provider}", hints=hints)
        return ()
    return KINDS[ap.provider].expand(ap, target, options, diagnostics)


def _expand_wild_provider(
    ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics
) -> Sequence[ProbePoint]:
    """All kinds that match, of the kernel's side or (with -p, or a path in the first part) of user space.

    One kind is expanded as if it were written; of several those whose form does not fit are left out.
    """
    user = options.pid or (ap.parts and "/" in ap.parts[0])
    kinds = [name for name in (USER_LISTED if user else KERNEL_LISTED) if matcher(ap.provider)(name)]
    if not kinds:
        diagnostics.error(ap.span, f"No probe type matched for {ap.provider}")
        return ()
    if len(kinds) == 1:
        return KINDS[kinds[0]].expand(ap, target, options, diagnostics)
    points: list[ProbePoint] = []
    for name in kinds:
        points += KINDS[name].expand(ap, target, options, Diagnostics())
    return points


def near_points(ap: AttachPoint, target: Target, options: ProbeOptions) -> tuple[str, ...]:
    """A hint with names like the last part of an attach point that matched nothing; () for patterns."""
    if ap.provider not in KINDS or not ap.parts or any(map(has_wildcard, (ap.provider, *ap.parts))):
        return ()
    listing = KINDS[ap.provider].listing(":".join((*ap.parts[:-1], "*")), target, options)
    return did_you_mean(ap.parts[-1], sorted({entry.rpartition(":")[2] for entry in listing}))


def check_attach_points(probes: Sequence[Probe], diagnostics: Diagnostics) -> None:
    """Mistakes over several attach points: a name used by two tests or benchmarks, an iterator that is not alone."""
    first: dict[tuple[str, str], AttachPoint] = {}
    for probe in probes:
        iterators = [ap for ap in probe.attach_points if ap.provider in ("iter", "it")]
        for ap in iterators[1:]:
            diagnostics.error(ap.span, "iter probe only supports one attach point.")
        for ap in probe.attach_points:
            if ap.provider not in ("test", "bench") or len(ap.parts) != 1:
                continue
            other = first.setdefault((ap.provider, ap.parts[0]), ap)
            if other is not ap:
                message = f'"{ap.parts[0]}" was used as the name for more than one {ap.provider.upper()} probe'
                diagnostics.error(ap.span, message, notes=(Note(other.span, "this is the other instance"),))
