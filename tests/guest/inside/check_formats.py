"""The packaged formats of system calls are those of this kernel: what both know has the same fields, as far as both go."""

from kloupe.cli.machine import live_target
from kloupe.kernel.packaged import OTHER_EVENTS, PackagedTarget
from kloupe.kernel.target import Target

OTHER_SIZES = 6  # events that another version may have in its own way (types that became wider)


def check_packaged_formats() -> None:
    live, ours = live_target(), PackagedTarget()
    calls = set(live.tracepoints("syscalls", "*")) & set(ours.tracepoints("syscalls", "*"))
    assert len(calls) > 600, len(calls)
    wrong = []
    for name in sorted(calls):
        pairs = list(zip(_fields(live, *name), _fields(ours, *name), strict=False))
        if not pairs or any(theirs != mine for theirs, mine in pairs):
            wrong.append(name[1])
    assert len(wrong) <= OTHER_SIZES, wrong


def check_other_events_have_our_fields() -> None:
    live, ours = live_target(), PackagedTarget()
    for name in OTHER_EVENTS:
        theirs = {field[0] for field in _fields(live, *name)}
        assert len(theirs & {field[0] for field in _fields(ours, *name)}) >= 2, name


def _fields(target: Target, category: str, event: str) -> list[tuple[str, int, int]]:
    found = target.tracepoint(category, event)
    assert found is not None
    own = (field for field in found.fields if not field.name.startswith("common_") and not field.data_loc)
    return [(field.name, field.offset, field.type.size) for field in own]
