"""Maps: how each kind of value is kept, and reading and writing them from programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..base import ctype as ct
from ..base.buckets import bucket_count
from ..base.ctype import CType, Space
from ..base.layout import align_up
from ..image import SHORT_KEY_BYTES, MapSpec
from ..ir.ops import Reg, Value
from ..lang import nodes as n
from ..sema.model import Analysis, MapInfo
from .lower import Lowerer, Parts, lowers
from .lower_events import emit_event
from .memory import load_scalar, store, zero, zero_source
from .operand import Deferred, Mem, Operand, Scalar

FLAG_BYTES = 8  # scalar maps: u64 is_set before the value
BPF_ANY, BPF_NOEXIST = 0, 1
SHORT_PREFIX = ".short"
_PER_CPU = {
    "hash": "percpu_hash",
    "lruhash": "lru_percpu_hash",
    "percpuhash": "percpu_hash",
    "percpulruhash": "lru_percpu_hash",
    "": "percpu_hash",
}
_PLAIN = {
    "hash": "hash",
    "lruhash": "lru_hash",
    "percpuhash": "percpu_hash",
    "percpulruhash": "lru_percpu_hash",
    "": "hash",
}
FULL_MESSAGE = (
    "Map full; can't update element. Try increasing max_map_keys config or manually setting the max entries in a map "
    "declaration e.g. `let @a = hash(5000)`"
)


def map_spec(info: MapInfo, analysis: Analysis) -> MapSpec:
    """How the map is made in the kernel."""
    value = info.value_type
    per_cpu = isinstance(value, ct.Aggregate) or ct.is_bucketed(value)
    entries = info.max_entries or int(analysis.config["max_map_keys"])
    if info.scalar:
        if isinstance(value, (ct.Histogram, ct.TimeSeries)):
            count = value.intervals if isinstance(value, ct.TimeSeries) else bucket_count(value)
            return MapSpec(info.name, "percpu_array", 4, value.size, count, 0, None, value)
        kind = "percpu_array" if per_cpu else "array"
        return MapSpec(info.name, kind, 4, FLAG_BYTES + align_up(value.size, 8), 1, 0, None, value)
    key = info.key.type
    kind = (_PER_CPU if per_cpu else _PLAIN)[info.kind]
    if ct.is_bucketed(value):
        return MapSpec(info.name, kind, align_up(key.size, 8) + 8, value.size, entries, 0, key, value)
    # The kernel hashes whole words faster, and compares them.
    key_size = key.size if key.size <= 8 else align_up(key.size, 8)
    short = SHORT_PREFIX + info.name if _has_short_keys(info) else ""
    return MapSpec(info.name, kind, key_size, max(1, value.size), entries, 0, key, value, short=short)


def _has_short_keys(info: MapInfo) -> bool:
    """Whether entries with short keys get a map of their own: counters by long strings, which only user space reads."""
    long = isinstance(info.key.type, ct.String) and info.key.type.size > 2 * SHORT_KEY_BYTES
    return long and isinstance(info.value_type, ct.Aggregate) and not info.kind and not info.looked_into


def add_map(parts: Parts, info: MapInfo) -> MapSpec:
    """Enter a script's map into the image, with what belongs to it."""
    spec = parts.maps.get(info.name)
    if spec is None:
        spec = parts.maps[info.name] = map_spec(info, parts.analysis)
        if spec.short:
            parts.maps[spec.short] = MapSpec(spec.short, spec.kind, SHORT_KEY_BYTES, spec.value_size, spec.max_entries)
    return spec


def spec_of(lo: Lowerer, info: MapInfo) -> MapSpec:
    """The map's spec, entered into the image."""
    return add_map(lo.parts, info)


def make_key(lo: Lowerer, info: MapInfo, key: n.Expr | None, bucket: Value | None = None) -> Reg:
    """A pointer to the kernel's key: zero padded, clean, with the bucket behind it for histograms."""
    spec = spec_of(lo, info)
    slot = lo.b.slot(spec.key_size, 8, name="key")
    if key is None:
        lo.b.store(slot, 0, 4, 0 if bucket is None else bucket)
        return lo.b.address(slot)
    assert spec.key_type is not None
    place = Mem(slot, 0, spec.key_type, Space.BPF)
    operand = lo.lower(key)
    if not spec.key_type.is_scalar or bucket is not None:
        head = spec.key_size - (8 if bucket is not None else 0)
        if isinstance(spec.key_type, (ct.Tuple, ct.Record)):
            zero(lo, place, head)
        elif head != spec.key_type.size:
            lo.b.store(slot, head - 8, 8, 0)
    store(lo, place, operand)
    if bucket is not None:
        lo.b.store(slot, spec.key_size - 8, 8, bucket)
    return lo.b.address(slot)


def key_of(target: n.Map | n.MapAccess) -> n.Expr | None:
    """The key expression of a map access; None for a scalar map."""
    return target.key if isinstance(target, n.MapAccess) else None


def info_of(lo: Lowerer, target: n.Map | n.MapAccess) -> MapInfo:
    """The map that is accessed."""
    return lo.analysis.maps[target.name if isinstance(target, n.Map) else target.map.name]


def lookup(lo: Lowerer, info: MapInfo, key: Reg) -> Reg:
    """The address of the element, or null."""
    return lo.b.call("map_lookup_elem", handle(lo, info), key)


def handle(lo: Lowerer, info: MapInfo) -> Reg:
    """The map, for helpers; through its map of maps when the script has more maps than a program may name."""
    name = spec_of(lo, info).name
    if name not in lo.parts.groups:
        return lo.b.map(name)
    outer, index = lo.parts.groups[name]
    key = lo.b.slot(4, 4)
    lo.b.store(key, 0, 4, index)
    found = lo.b.call("map_lookup_elem", lo.b.map(outer), lo.b.address(key))
    return _present(lo, found)


def _present(lo: Lowerer, found: Reg) -> Reg:
    """What a lookup that cannot fail gave; the verifier wants the test."""
    absent, present = lo.b.block(), lo.b.block()
    lo.b.branch("eq", found, 0, absent, present)
    lo.b.start(absent)
    lo.b.exit(1 if lo.loops and lo.loops[-1].callback else 0)
    lo.b.start(present)
    return found


def scalar_place(lo: Lowerer, info: MapInfo) -> Mem:
    """The value of a scalar map that is a plain array."""
    spec = spec_of(lo, info)
    if spec.name in lo.parts.groups:
        base = _present(lo, lookup(lo, info, make_key(lo, info, None)))
    else:
        base = lo.b.map_value(spec.name)
    return Mem(base, FLAG_BYTES, info.value_type, Space.BPF)


def is_direct(info: MapInfo) -> bool:
    """True for a scalar map whose value sits at a fixed address."""
    return bool(info.scalar) and not (isinstance(info.value_type, ct.Aggregate) or ct.is_bucketed(info.value_type))


# -- reading ----------------------------------------------------------------------------------------------------


@lowers(n.Map)
def _map(lo: Lowerer, node: n.Map) -> Operand:
    return read_map(lo, node)


@lowers(n.MapAccess)
def _map_access(lo: Lowerer, node: n.MapAccess) -> Operand:
    return read_map(lo, node)


def read_map(lo: Lowerer, node: n.Map | n.MapAccess) -> Operand:
    """The value of a map element; zero or empty when it was never set."""
    info = info_of(lo, node)
    value = info.value_type
    if is_direct(info):
        place = scalar_place(lo, info)
        return Scalar(load_scalar(lo, place), value) if value.is_scalar else place
    key = make_key(lo, info, key_of(node))
    if isinstance(value, ct.Aggregate):
        from .lower_aggregate import read_aggregate

        return read_aggregate(lo, info, key)
    element = lookup(lo, info, key)
    if value.is_scalar:
        result = lo.b.const(0)
        with lo.when("ne", element, 0):
            lo.b.move(result, load_scalar(lo, Mem(element, 0, value, Space.BPF)))
        _report_missing(lo, info, element)
        return Scalar(result, value)

    def into(target: Mem, clean: bool) -> None:
        found, missing, after = lo.b.block(), lo.b.block(), lo.b.block()
        lo.b.branch("ne", element, 0, found, missing)
        lo.b.start(found)
        store(lo, target, Mem(element, 0, value, Space.BPF), clean=clean)
        lo.b.jump(after)
        lo.b.start(missing)
        zero(lo, target, target.type.size)
        lo.b.jump(after)
        lo.b.start(after)

    return Deferred(value, into)


def _report_missing(lo: Lowerer, info: MapInfo, found: Reg) -> None:
    """With -k: tell user space that an element was read that is not there."""
    if not lo.options.report_failed_reads:
        return
    with lo.when("eq", found, 0):
        spec = lo.event(
            "helper_error",
            [ct.INT64],
            lo.b.span,
            helper="map_lookup_elem",
            message="Can't lookup map element because it does not exist.",
        )
        emit_event(lo, spec, [Scalar(0, ct.INT64)])


def merged_aggregate(lo: Lowerer, place: Mem) -> Value:
    """An aggregate that is already merged (a loop's entry) as a number."""
    return lo.b.load(place.base, place.offset, 8)


# -- writing ----------------------------------------------------------------------------------------------------


def write_map(lo: Lowerer, target: n.Map | n.MapAccess, operand: Callable[[], Operand] | Operand) -> None:
    """Set a map element."""
    info = info_of(lo, target)
    value = operand() if callable(operand) else operand
    if is_direct(info):
        place = scalar_place(lo, info)
        if isinstance(value, Mem) and value.space is Space.BPF and not value.type.is_scalar:
            value = _copied(lo, value)
        store(lo, place, value)
        lo.b.store(place.base, 0, 8, 1)
        return
    if isinstance(value, Mem) and value.type.is_scalar:
        value = Scalar(lo.as_scalar(value), value.type)
    key = make_key(lo, info, key_of(target))
    source = _value_source(lo, info, value)
    update(lo, info, key, source, BPF_ANY)


def _copied(lo: Lowerer, value: Mem) -> Mem:
    place = lo.temporary(value.type)
    store(lo, place, value)
    return place


def _value_source(lo: Lowerer, info: MapInfo, value: Operand) -> Reg:
    if isinstance(value, Mem) and value.space is Space.BPF and value.type == info.value_type:
        return lo.pointer(value)
    place = lo.temporary(info.value_type, "value")
    if isinstance(info.value_type, (ct.Tuple, ct.Record)):
        zero(lo, place, info.value_type.size)
    store(lo, place, value)
    return lo.pointer(place)


def update(lo: Lowerer, info: MapInfo, key: Reg, value: Reg, flags: int) -> None:
    """bpf_map_update_elem; a full map is reported."""
    result = lo.b.call("map_update_elem", handle(lo, info), key, value, flags)
    with lo.when("slt", result, 0):
        report_full(lo, info, result)


def report_full(lo: Lowerer, info: MapInfo, result: Value) -> None:
    """Tell user space that an element could not be added."""
    spec = lo.event(
        "helper_error", [ct.INT64], lo.b.span, helper="map_update_elem", map=info.name, message=FULL_MESSAGE
    )
    emit_event(lo, spec, [Scalar(result, ct.INT64)])


@contextmanager
def element(lo: Lowerer, info: MapInfo, key: Reg, initial: Mem | None = None) -> Iterator[Reg]:
    """The address of an element, made from zeroes (or `initial`) when missing; what is lowered inside runs with it."""
    found, spec = lo.b.reg(), spec_of(lo, info)
    if spec.short:
        short, long, both = lo.b.block(), lo.b.block(), lo.b.block()
        lo.b.branch("eq", lo.b.load(key, SHORT_KEY_BYTES - 1, 1), 0, short, long)
        lo.b.start(short)
        _find_or_add(lo, info, found, lambda: lo.b.map(spec.short), key, initial)
        lo.b.jump(both)
        lo.b.start(long)
        _find_or_add(lo, info, found, lambda: handle(lo, info), key, initial)
        lo.b.jump(both)
        lo.b.start(both)
    else:
        _find_or_add(lo, info, found, lambda: handle(lo, info), key, initial)
    have, after = lo.b.block(), lo.b.block()
    lo.b.branch("ne", found, 0, have, after)
    lo.b.start(have)
    yield found
    lo.b.jump(after)
    lo.b.start(after)


def _find_or_add(
    lo: Lowerer, info: MapInfo, found: Reg, handle: Callable[[], Reg], key: Reg, initial: Mem | None
) -> None:
    """Set `found` to the address of the element in the map that `handle` gives; null when it is full, which is reported."""
    lo.b.move(found, lo.b.call("map_lookup_elem", handle(), key))
    with lo.when("eq", found, 0):
        source = lo.pointer(initial) if initial is not None else zero_source(lo, spec_of(lo, info).value_size)
        result = lo.b.call("map_update_elem", handle(), key, source, BPF_NOEXIST)
        lo.b.move(found, lo.b.call("map_lookup_elem", handle(), key))
        with lo.when("eq", found, 0):
            report_full(lo, info, result)


def increment(lo: Lowerer, target: n.Map | n.MapAccess, step: int, *, old: bool | None) -> Operand:
    """`++` and `--` of a map element. `old` says which value is wanted (None: neither)."""
    info = info_of(lo, target)
    t: CType = info.value_type
    size = t.target.size if isinstance(t, ct.Pointer) else 1
    amount = step * max(1, size)
    if t.size != 8:
        return _narrow_increment(lo, target, amount, old)
    result = lo.b.const(0)

    def bump(base: Reg, offset: int) -> None:
        delta = lo.b.const(amount)
        before = lo.b.atomic(
            "add", base, offset, 8, delta, fetch=old is not None and lo.target.has("atomic_fetch") is not False
        )
        if old is not None:
            before = before or lo.b.alu("sub", lo.b.load(base, offset, 8), amount)
            lo.b.move(result, before if old else lo.b.alu("add", before, amount))

    if is_direct(info):
        place = scalar_place(lo, info)
        assert isinstance(place.base, Reg)
        bump(place.base, place.offset)
        lo.b.store(place.base, 0, 8, 1)
    else:
        key = make_key(lo, info, key_of(target))
        with element(lo, info, key) as address:
            bump(address, 0)
    return Scalar(result, t)


def _narrow_increment(lo: Lowerer, target: n.Map | n.MapAccess, amount: int, old: bool | None) -> Operand:
    t = info_of(lo, target).value_type
    before = lo.reg(lo.as_scalar(read_map(lo, target)))
    after = lo.b.alu("add", before, amount)
    write_map(lo, target, Scalar(after, t))
    return Scalar(before if old else after, t)
