"""Scripts with many maps: a program may name 64 maps (MAX_USED_MAPS in the kernel), so maps that are alike share a map of maps."""

from __future__ import annotations

from ..base.record import replace
from ..image import MapSpec
from .lower import Parts
from .lower_maps import map_spec

MAX_DIRECT_MAPS = 52  # leaves room for kloupe's own


def group_maps(parts: Parts) -> None:
    """Put alike maps of a script with too many into maps of maps; small scripts are left alone."""
    infos = [info for info in parts.analysis.maps.values() if info.used]
    if len(infos) <= MAX_DIRECT_MAPS:
        return
    alike: dict[object, list[MapSpec]] = {}
    for info in infos:
        spec = replace(map_spec(info, parts.analysis), short="")
        parts.maps[spec.name] = spec
        alike.setdefault((spec.kind, spec.key_size, spec.value_size, spec.flags, spec.max_entries), []).append(spec)
    for number, members in enumerate(group for group in alike.values() if len(group) > 1):
        outer = MapSpec(f".maps{number}", "array_of_maps", 4, 4, len(members), members=tuple(m.name for m in members))
        parts.maps[outer.name] = outer
        for index, member in enumerate(members):
            parts.groups[member.name] = (outer.name, index)
