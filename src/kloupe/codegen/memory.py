"""Reading and writing memory: scalars, copies, zeroes, and values of one type stored as another."""

from __future__ import annotations

import sys

from ..base import ctype as ct
from ..base.ctype import CType, Space
from ..base.errors import InternalError
from ..base.layout import align_up
from ..image import MapSpec
from ..ir.ops import Reg, Value
from .lower import Lowerer
from .operand import Deferred, Mem, Nothing, Operand, Scalar

INLINE_BYTES = 256  # up to here copies and zeroes are stores; beyond, one helper call is shorter and as fast
ZERO_MAP = ".zero"
_PROBE_READ = {Space.KERNEL: "probe_read_kernel", Space.USER: "probe_read_user", Space.NONE: "probe_read_kernel"}
_PROBE_READ_STR = {
    Space.KERNEL: "probe_read_kernel_str",
    Space.USER: "probe_read_user_str",
    Space.NONE: "probe_read_kernel_str",
    Space.BPF: "probe_read_kernel_str",
}


def _chunks(size: int, *offsets: int) -> list[tuple[int, int]]:
    """(offset, width) of the widest stores that cover `size` bytes and are aligned at every one of `offsets`."""
    out, at = [], 0
    while at < size:
        width = next(w for w in (8, 4, 2, 1) if size - at >= w and all((at + o) % w == 0 for o in offsets))
        out.append((at, width))
        at += width
    return out


def zero_source(lo: Lowerer, size: int) -> Reg:
    """The address of `size` zero bytes."""
    lo.parts.zero_bytes = max(lo.parts.zero_bytes, align_up(size, 8))
    lo.need_map(MapSpec(ZERO_MAP, "array", 4, 8, 1))
    return lo.b.map_value(ZERO_MAP)


def zero(lo: Lowerer, place: Mem, size: int) -> None:
    """Fill with zero bytes."""
    if size <= INLINE_BYTES:
        for at, width in _chunks(size, place.offset):
            lo.b.store(place.base, place.offset + at, width, 0)
    else:
        lo.b.call_own("probe_read_kernel", lo.pointer(place), size, 0)  # a read that fails clears what it should fill


def copy(lo: Lowerer, target: Mem, source: Mem, size: int) -> None:
    """Copy `size` bytes from anywhere to BPF memory."""
    if source.space is Space.BPF:
        if size <= INLINE_BYTES:
            for at, width in _chunks(size, source.offset, target.offset):
                value = lo.b.load(source.base, source.offset + at, width)
                lo.b.store(target.base, target.offset + at, width, value)
            return
        lo.b.call_own("probe_read_kernel", lo.pointer(target), size, lo.pointer(source))
        return
    helper = _PROBE_READ[source.space]
    check_read(lo, lo.b.call(helper, lo.pointer(target), size, lo.pointer(source)), helper)


def check_read(lo: Lowerer, result: Reg, helper: str) -> None:
    """With -k: report a failed read at the current place."""
    if not lo.options.report_failed_reads:
        return
    from .lower_events import emit_event

    with lo.when("slt", result, 0):
        spec = lo.event("helper_error", [ct.INT64], lo.b.span, helper=helper)
        emit_event(lo, spec, [Scalar(result, ct.INT64)])


def read_string(lo: Lowerer, target: Mem, size: Value, source: Value, space: Space) -> Reg:
    """Read a NUL-terminated string of at most `size` bytes (terminator included); gives its length or an error."""
    helper = _PROBE_READ_STR[space]
    result = lo.b.call(helper, lo.pointer(target), size, source)
    check_read(lo, result, helper)
    return result


def _bitfield(lo: Lowerer, place: Mem) -> Value:
    first = place.bit_offset // 8
    bits = place.bit_offset - 8 * first
    width = next(w for w in (1, 2, 4, 8) if 8 * w >= bits + place.bit_size or w == 8)
    raw = Mem(place.base, place.offset + first, ct.Int(width, False), place.space)
    value = lo.reg(load_scalar(lo, raw))
    signed = isinstance(place.type, (ct.Int, ct.Enum)) and place.type.signed
    left = 64 - bits - place.bit_size
    value = lo.b.alu("lsh", value, left) if left > 0 else value
    return lo.b.alu("arsh" if signed else "rsh", value, 64 - place.bit_size)


def _load_aligned(lo: Lowerer, place: Mem, size: int, signed: bool) -> Value:
    """A number in BPF memory; in parts where it sits across its alignment, which the verifier refuses on the stack."""
    if place.offset % size == 0:
        return lo.b.load(place.base, place.offset, size, signed)
    value: Value | None = None
    for at, width in _chunks(size, place.offset):
        shift = 8 * (at if sys.byteorder == "little" else size - at - width)
        part: Value = lo.b.load(place.base, place.offset + at, width)
        part = lo.b.alu("lsh", part, shift) if shift else part
        value = part if value is None else lo.b.alu("or", value, part)
    assert isinstance(value, Reg)
    return lo.b.extend(value, size, signed) if size < 8 and signed else value


def load_scalar(lo: Lowerer, place: Mem) -> Value:
    """The scalar at a place, extended as its type says."""
    t = place.type
    if place.bit_size:
        return _bitfield(lo, place)
    if isinstance(t, ct.Aggregate):
        from .lower_maps import merged_aggregate

        return merged_aggregate(lo, place)
    size = t.size
    if size not in (1, 2, 4, 8):
        raise InternalError(f"a value of type {t} has no scalar form")
    signed = isinstance(t, (ct.Int, ct.Enum)) and t.signed
    if place.space is Space.BPF:
        return _load_aligned(lo, place, size, signed)
    slot = lo.b.slot(8)
    helper = _PROBE_READ[place.space]
    if size < 8:
        lo.b.store(slot, 0, 8, 0)
    result = lo.b.call(helper, lo.b.address(slot), size, lo.pointer(place))
    check_read(lo, result, helper)
    return lo.b.load(slot, 0, size, signed)


def store(lo: Lowerer, target: Mem, operand: Operand, *, clean: bool = True) -> None:
    """Write an operand to BPF memory of the target's type, converting where the types differ.

    `clean` False allows garbage behind string terminators (fields of events).
    """
    t = target.type
    if isinstance(operand, Nothing):
        raise InternalError("nothing cannot be stored")
    if t.is_scalar:
        lo.b.store(target.base, target.offset, t.size, lo.as_scalar(operand))
        return
    if isinstance(operand, Scalar):
        _store_scalar_as(lo, target, operand)
        return
    if isinstance(t, ct.String):
        _store_string(lo, target, operand, clean)
        return
    if operand.type == t or _same_layout(operand.type, t):
        _store_same(lo, target, operand, clean)
        return
    if isinstance(t, (ct.Tuple, ct.Record)):
        _store_members(lo, target, operand, clean)
        return
    if isinstance(t, ct.Buffer):
        source = lo.in_memory(operand)
        zero(lo, target, t.size)
        copy(lo, target, source, min(t.size, operand.type.size))
        return
    _store_same(lo, target, operand, clean)


def _same_layout(a: CType, b: CType) -> bool:
    if isinstance(a, ct.Stack) and isinstance(b, ct.Stack):
        return a.user == b.user
    return type(a) is type(b) and a.size == b.size and not isinstance(a, (ct.Tuple, ct.Record))


def _store_scalar_as(lo: Lowerer, target: Mem, operand: Scalar) -> None:
    """An integer stored as an array, opaque value or zeroed aggregate of the same bytes."""
    size = target.type.size
    if isinstance(target.type, (ct.Tuple, ct.Record, ct.String, ct.Struct, ct.Stack)) or size > 8:
        zero(lo, target, size)
        if size >= 8 and operand.value != 0:
            lo.b.store(target.base, target.offset, 8, operand.value)
        return
    value = operand.value
    for at, width in _chunks(size, target.offset):
        part = lo.b.alu("rsh", value, 8 * at) if at else value
        lo.b.store(target.base, target.offset + at, width, part)


def _store_same(lo: Lowerer, target: Mem, operand: Operand, clean: bool) -> None:
    if isinstance(operand, Deferred):
        operand.into(Mem(target.base, target.offset, operand.type, target.space), clean)
    elif isinstance(operand, Mem):
        copy(lo, target, operand, min(operand.type.size, target.type.size))


def _store_string(lo: Lowerer, target: Mem, operand: Operand, clean: bool) -> None:
    size, source_size = target.type.size, operand.type.size
    if isinstance(operand, Deferred):
        fitting = Mem(target.base, target.offset, ct.String(min(size, source_size)), target.space)
        if size > source_size and clean:
            zero_tail(lo, target, source_size)
        operand.into(fitting, clean)
        if source_size > size:
            lo.b.store(target.base, target.offset + size - 1, 1, 0)
        return
    assert isinstance(operand, Mem)
    if operand.space is not Space.BPF:
        if clean:
            zero(lo, target, size)
        read_string(lo, target, min(size, source_size), lo.pointer(operand), operand.space)
        return
    if size > source_size and clean:
        zero_tail(lo, target, source_size)
    copy(lo, target, operand, min(size, source_size))
    if source_size > size:
        lo.b.store(target.base, target.offset + size - 1, 1, 0)


def as_read(lo: Lowerer, part: Mem) -> Operand:
    """A part of a value as its reader sees it: a char array in our own memory, whose type is a string one longer, gets its terminator."""
    t = part.type
    if part.space is not Space.BPF or not isinstance(t, ct.String):
        return part

    def into(target: Mem, clean: bool) -> None:
        if clean:
            zero(lo, target, target.type.size)
        read_string(lo, target, min(t.size, target.type.size), lo.pointer(part), Space.BPF)

    return Deferred(t, into)


def zero_tail(lo: Lowerer, target: Mem, start: int) -> None:
    """Zero a string's bytes from `start` to its end (stores stay aligned, so from the 8-byte word that holds `start`)."""
    begin = start // 8 * 8
    zero(lo, target.at(begin, target.type), target.type.size - begin)


def _store_members(lo: Lowerer, target: Mem, operand: Operand, clean: bool) -> None:
    wanted, have = target.type, operand.type
    assert isinstance(wanted, (ct.Tuple, ct.Record))
    if isinstance(operand, Deferred):
        place = lo.temporary(have)
        operand.into(place, clean)
        operand = place
    assert isinstance(operand, Mem) and isinstance(have, (ct.Tuple, ct.Record))
    zero(lo, target, wanted.size)
    names = [name for name, _ in have.members] if isinstance(have, ct.Record) else []
    for index, (offset, t) in enumerate(zip(wanted.offsets, wanted.elements, strict=True)):
        source = names.index(wanted.members[index][0]) if isinstance(wanted, ct.Record) else index
        part = operand.at(have.offsets[source], have.elements[source])
        store(lo, target.at(offset, t), Scalar(load_scalar(lo, part), part.type) if t.is_scalar else part, clean=clean)
