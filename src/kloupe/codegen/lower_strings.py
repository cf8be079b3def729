"""String constants and comparisons of values in memory."""

from __future__ import annotations

import sys

from ..base import ctype as ct
from ..base.ctype import Space
from ..base.layout import align_up
from ..ir.ops import Block, Slot
from .lower import Lowerer
from .memory import read_string, store, zero
from .operand import Deferred, Mem, Operand, Scalar

COMPARE_INLINE = 128  # bytes compared by straight code; longer ones by a loop


def text_bytes(text: str) -> bytes:
    """The bytes of a string constant, without terminator."""
    return text.encode("utf-8", "surrogateescape")


def store_bytes(lo: Lowerer, target: Mem, data: bytes) -> None:
    """Write constant bytes with the widest stores."""
    at = 0
    while at < len(data):
        width = next(w for w in (8, 4, 2, 1) if len(data) - at >= w and (target.offset + at) % w == 0)
        value = int.from_bytes(data[at : at + width], sys.byteorder, signed=True)
        lo.b.store(target.base, target.offset + at, width, value)
        at += width


def literal(lo: Lowerer, text: str) -> Operand:
    """A string constant."""
    data = text_bytes(text) + b"\0"

    def into(target: Mem, clean: bool) -> None:
        size = target.type.size
        part = data[: size - 1] + b"\0" if len(data) > size else data
        if clean and size > len(part):
            part += bytes(min(size, align_up(len(part), 8)) - len(part))
            if size > len(part):
                zero(lo, target.at(len(part), ct.String(size - len(part))), size - len(part))
        store_bytes(lo, target, part)

    return Deferred(ct.String(len(data)), into)


def compare_memory(lo: Lowerer, left: Operand, right: Operand, same: Block, different: Block) -> None:
    """Branch on the equality of two values that are no scalars."""
    if isinstance(left.type, ct.String) and isinstance(right.type, ct.String):
        _compare_strings(lo, left, right, same, different)
        return
    if isinstance(left.type, (ct.Tuple, ct.Record)) and isinstance(right.type, (ct.Tuple, ct.Record)):
        _compare_members(lo, left, right, same, different)
        return
    a, b = lo.in_memory(left), lo.in_memory(right)
    if isinstance(left, Scalar) or isinstance(right, Scalar) or left.type.size == right.type.size:
        _compare_bytes(lo, a, b, min(a.type.size, b.type.size), same, different)
    else:
        lo.b.jump(different)


def _compare_members(lo: Lowerer, left: Operand, right: Operand, same: Block, different: Block) -> None:
    a, b = lo.in_memory(left), lo.in_memory(right)
    assert isinstance(a.type, (ct.Tuple, ct.Record)) and isinstance(b.type, (ct.Tuple, ct.Record))
    if len(a.type.elements) != len(b.type.elements):
        lo.b.jump(different)
        return
    order = list(range(len(a.type.elements)))
    if isinstance(a.type, ct.Record) and isinstance(b.type, ct.Record):
        names = [name for name, _ in b.type.members]
        if sorted(names) != sorted(name for name, _ in a.type.members):
            lo.b.jump(different)
            return
        order = [names.index(name) for name, _ in a.type.members]
    for index, other in enumerate(order):
        following = lo.b.block()
        x = a.at(a.type.offsets[index], a.type.elements[index])
        y = b.at(b.type.offsets[other], b.type.elements[other])
        if x.type.is_scalar and y.type.is_scalar:
            lo.b.branch("eq", lo.as_scalar(x), lo.as_scalar(y), following, different)
        else:
            compare_memory(lo, x, y, following, different)
        lo.b.start(following)
    lo.b.jump(same)


def _compare_strings(lo: Lowerer, left: Operand, right: Operand, same: Block, different: Block) -> None:
    """Clean strings are equal when their bytes are, up to the shorter one's size, and the longer one ends there too."""
    if left.type.size > right.type.size:
        left, right = right, left
    size = left.type.size
    longer = _readable(lo, right, size)
    shorter = (
        lo.in_memory(left) if not (isinstance(left, Mem) and left.space is not Space.BPF) else _readable(lo, left, size)
    )
    _compare_bytes(lo, shorter, longer, size, same, different)


def _readable(lo: Lowerer, operand: Operand, enough: int) -> Mem:
    """The first `enough` bytes of a string in memory; a longer string then has something else than a terminator there."""
    if isinstance(operand, Mem) and operand.space is Space.BPF:
        return operand
    if isinstance(operand, Mem):
        wanted = ct.String(min(operand.type.size, enough + 1))
        place = lo.temporary(wanted)
        zero(lo, place, wanted.size)
        read_string(lo, place, wanted.size, lo.pointer(operand), operand.space)
        return place
    place = lo.temporary(operand.type)
    store(lo, place, operand)
    return place


def _compare_bytes(lo: Lowerer, a: Mem, b: Mem, size: int, same: Block, different: Block) -> None:
    if size <= COMPARE_INLINE or lo.target.has("bpf_loop") is False:
        at = 0
        while at < size:
            aligned = (a.offset + at) | (b.offset + at) | at
            width = next(w for w in (8, 4, 2, 1) if size - at >= w and aligned % w == 0)
            following = lo.b.block()
            x = lo.b.load(a.base, a.offset + at, width)
            y = lo.b.load(b.base, b.offset + at, width)
            lo.b.branch("eq", x, y, following, different)
            lo.b.start(following)
            at += width
        lo.b.jump(same)
        return
    _compare_loop(lo, a, b, size, same, different)


def _compare_loop(lo: Lowerer, a: Mem, b: Mem, size: int, same: Block, different: Block) -> None:
    """Compare word by word in a callback, which the verifier walks once whatever the size; then the bytes left over."""
    words, rest = divmod(size, 8)
    pa, pb = _captured_pointer(lo, a), _captured_pointer(lo, b)
    verdict = lo.b.slot(8, 8, captured=True, name="differs")
    lo.b.store(verdict, 0, 8, 0)
    with lo.b.callback("compare", 2, 1) as function:
        index = lo.b.extend(lo.b.parameter(0), 4, False)
        inside, differs, equal = lo.b.block(), lo.b.block(), lo.b.block()
        lo.b.branch("lt", index, words, inside, equal)
        lo.b.start(inside)
        at = lo.b.alu("lsh", index, 3)
        x = lo.b.load(lo.b.alu("add", lo.b.load(pa, 0, 8), at), 0, 8)
        y = lo.b.load(lo.b.alu("add", lo.b.load(pb, 0, 8), at), 0, 8)
        lo.b.branch("ne", x, y, differs, equal)
        lo.b.start(differs)
        lo.b.store(verdict, 0, 8, 1)
        lo.b.exit(1)
        lo.b.start(equal)
        lo.b.exit(0)
    lo.b.call("loop", words, lo.b.function_ref(function), lo.b.captures(), 0)
    following = lo.b.block()
    lo.b.branch("eq", lo.b.load(verdict, 0, 8), 0, following, different)
    lo.b.start(following)
    _compare_bytes(lo, a.at(8 * words, a.type), b.at(8 * words, b.type), rest, same, different)


def _captured_pointer(lo: Lowerer, place: Mem) -> Slot:
    """The place's address in memory that callbacks see."""
    slot = lo.b.slot(8, 8, captured=True, name="pointer")
    lo.b.store(slot, 0, 8, lo.pointer(place))
    return slot
