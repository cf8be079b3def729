"""How types meet: the common type of two assignments, and whether a value may go where another type is expected."""

from __future__ import annotations

from ..base import ctype as ct
from ..base.ctype import CType


def join_integers(a: ct.Int, b: ct.Int) -> ct.Int:
    """The type that holds both; int64 where none does (uint64 with any signed type)."""
    if a.signed == b.signed:
        return a if a.size >= b.size else b
    signed, unsigned = (a, b) if a.signed else (b, a)
    if signed.size > unsigned.size:
        return signed
    return ct.Int(min(8, unsigned.size * 2), True)


def join(a: CType, b: CType) -> CType | None:
    """The type that holds values of both, or None when there is none."""
    if a == b or isinstance(b, ct.NoneType):
        return a
    if isinstance(a, ct.NoneType):
        return b
    if isinstance(a, ct.Int) and isinstance(b, ct.Int):
        return join_integers(a, b)
    if isinstance(a, (ct.Int, ct.Enum)) and isinstance(b, (ct.Int, ct.Enum)):
        return join_integers(ct.Int(a.size, a.signed), ct.Int(b.size, b.signed))
    if isinstance(a, ct.String) and isinstance(b, ct.String):
        return a if a.size >= b.size else b
    if isinstance(a, ct.Buffer) and isinstance(b, ct.Buffer):
        return a if a.size >= b.size else b
    if isinstance(a, ct.Tuple) and isinstance(b, ct.Tuple):
        return _join_tuples(a, b)
    if isinstance(a, ct.Record) and isinstance(b, ct.Record):
        return _join_records(a, b)
    if isinstance(a, ct.Pointer) and isinstance(b, ct.Pointer):
        return _join_pointers(a, b)
    if isinstance(a, ct.Stack) and isinstance(b, ct.Stack) and a.user == b.user:
        return a if a.limit >= b.limit else b
    if isinstance(a, ct.Aggregate) and isinstance(b, ct.Aggregate) and a.kind == b.kind:
        return a if a.signed else b
    if isinstance(a, ct.Array) and isinstance(b, ct.Array) and a.count == b.count:
        element = join(a.element, b.element)
        return a if element == a.element else None
    return None


def _join_tuples(a: ct.Tuple, b: ct.Tuple) -> CType | None:
    if len(a.elements) != len(b.elements):
        return None
    joined = [join(x, y) for x, y in zip(a.elements, b.elements, strict=True)]
    return None if None in joined else ct.Tuple(tuple(t for t in joined if t is not None))


def _join_records(a: ct.Record, b: ct.Record) -> CType | None:
    theirs = dict(b.members)
    if len(a.members) != len(theirs):
        return None
    members = []
    for name, mine in a.members:
        joined = join(mine, theirs[name]) if name in theirs else None
        if joined is None:
            return None
        members.append((name, joined))
    return ct.Record(tuple(members))


def _join_pointers(a: ct.Pointer, b: ct.Pointer) -> CType | None:
    space = a.space if a.space is b.space else (b.space if a.space is ct.Space.NONE else a.space)
    if a.target == b.target or isinstance(b.target, ct.Void):
        return ct.Pointer(a.target, space)
    if isinstance(a.target, ct.Void):
        return ct.Pointer(b.target, space)
    return None


def fits(value: int, t: CType) -> bool:
    """True when the integer constant `value` is in the range of `t`."""
    if isinstance(t, ct.Bool):
        return value in (0, 1)
    if isinstance(t, ct.Enum):
        t = ct.Int(t.size, t.signed)
    if not isinstance(t, ct.Int):
        return False
    bits = 8 * t.size
    return -(1 << bits - 1) <= value < 1 << bits - 1 if t.signed else 0 <= value < 1 << bits


def wrap(value: int, t: CType) -> int:
    """`value` cut to the width of `t` and read with its sign."""
    bits = 8 * t.size
    value &= (1 << bits) - 1
    if getattr(t, "signed", False) and value >> bits - 1:
        value -= 1 << bits
    return value
