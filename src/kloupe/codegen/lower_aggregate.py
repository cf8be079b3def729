"""Aggregates: count, sum, avg, min, max, stats, hist, lhist - kept per CPU, added to atomically, merged when read."""

from __future__ import annotations

from collections.abc import Callable

from ..base import ctype as ct
from ..base.buckets import linear_steps
from ..ir.ops import Reg, Value
from ..lang import nodes as n
from ..sema.model import MapInfo
from .lower import Lowerer
from .lower_maps import FLAG_BYTES, element, handle, info_of, is_direct, key_of, lookup, make_key, scalar_place
from .operand import Operand, Scalar


def add_to(lo: Lowerer, target: n.Map | n.MapAccess, value: Value) -> None:
    """Add to an integer map element atomically."""
    info = info_of(lo, target)
    amount = lo.reg(value)
    if is_direct(info):
        place = scalar_place(lo, info)
        lo.b.atomic("add", place.base, place.offset, 8, amount)
        lo.b.store(place.base, 0, 8, 1)
        return
    with element(lo, info, make_key(lo, info, key_of(target))) as address:
        lo.b.atomic("add", address, 0, 8, amount)


class _Cell:
    """This CPU's value of an aggregate; `base` and `offset` address it."""

    def __init__(self, lo: Lowerer, target: n.Map | n.MapAccess) -> None:
        self.lo = lo
        self.info = info_of(lo, target)
        self.scalar = bool(self.info.scalar)
        self.context = element(lo, self.info, make_key(lo, self.info, key_of(target)))
        self.offset = FLAG_BYTES if self.scalar else 0

    def __enter__(self) -> _Cell:
        self.base: Reg = self.context.__enter__()
        if self.scalar:
            self.lo.b.store(self.base, 0, 8, 1)
        return self

    def __exit__(self, *exc: object) -> None:
        self.context.__exit__(None, None, None)

    def add(self, offset: int, value: Value) -> None:
        """Add to the u64 at `offset` of the value."""
        self.lo.b.atomic("add", self.base, self.offset + offset, 8, self.lo.reg(value))


def update_count(lo: Lowerer, node: n.Call, target: n.Map | n.MapAccess) -> None:
    """`@ = count()`."""
    with _Cell(lo, target) as cell:
        cell.add(0, 1)


def update_sum(lo: Lowerer, node: n.Call, target: n.Map | n.MapAccess) -> None:
    """`@ = sum(n)`."""
    value = lo.reg(lo.scalar(_argument(node)))
    with _Cell(lo, target) as cell:
        cell.add(0, value)


def update_average(lo: Lowerer, node: n.Call, target: n.Map | n.MapAccess) -> None:
    """`@ = avg(n)` and `@ = stats(n)`."""
    value = lo.reg(lo.scalar(_argument(node)))
    with _Cell(lo, target) as cell:
        cell.add(0, value)
        cell.add(8, 1)


def update_extreme(lo: Lowerer, node: n.Call, target: n.Map | n.MapAccess) -> None:
    """`@ = min(n)` and `@ = max(n)`: this CPU's value is replaced when unset or beaten.

    A program that interrupts between the test and the store can have its better value overwritten, so the test is
    repeated by compare-and-exchange where the kernel has it.
    """
    value = lo.reg(lo.scalar(_argument(node)))
    t = info_of(lo, target).value_type
    assert isinstance(t, ct.Aggregate)
    better = {"min": "slt" if t.signed else "lt", "max": "sgt" if t.signed else "gt"}[t.kind]
    with _Cell(lo, target) as cell:
        at = cell.offset
        replace, compare, after = lo.b.block(), lo.b.block(), lo.b.block()
        current = lo.b.load(cell.base, at, 8)
        lo.b.branch("eq", lo.b.load(cell.base, at + 8, 8), 0, replace, compare)
        lo.b.start(compare)
        lo.b.branch(better, value, current, replace, after)
        lo.b.start(replace)
        if lo.target.has("atomic_fetch") is not False:
            lo.b.atomic("cmpxchg", cell.base, at, 8, value, expected=current)
        else:
            lo.b.store(cell.base, at, 8, value)
        lo.b.store(cell.base, at + 8, 8, 1)
        lo.b.jump(after)
        lo.b.start(after)


def _argument(node: n.Call) -> n.Expr:
    argument = node.arguments[0]
    assert isinstance(argument, n.Expr)
    return argument


# -- histograms -------------------------------------------------------------------------------------------------


def update_histogram(lo: Lowerer, node: n.Call, target: n.Map | n.MapAccess) -> None:
    """`@ = hist(n)` and `@ = lhist(n, min, max, step)`."""
    info = info_of(lo, target)
    t = info.value_type
    assert isinstance(t, ct.Histogram)
    value = lo.reg(lo.scalar(_argument(node)))
    signed = bool(getattr(lo.type(_argument(node)), "signed", False))
    bucket = linear_bucket(lo, value, t) if t.kind == "lhist" else log_bucket(lo, value, t.bits, signed)
    amount: Value = 1
    weight = node.arguments[5:6] if t.kind == "lhist" else ()
    if weight and isinstance(weight[0], n.Expr):
        amount = lo.scalar(weight[0])
    with element(lo, info, make_key(lo, info, key_of(target), bucket)) as address:
        lo.b.atomic("add", address, 0, 8, lo.reg(amount))


def linear_bucket(lo: Lowerer, value: Reg, t: ct.Histogram) -> Reg:
    """The lhist bucket of a value (see base/buckets.py)."""
    result = lo.b.const(0)
    steps = linear_steps(t)
    with lo.when("sge", value, t.minimum):
        lo.b.move(result, lo.b.alu("add", lo.b.alu("div", lo.b.alu("sub", value, t.minimum), t.step), 1))
        with lo.when("gt", result, steps):
            lo.b.move(result, steps + 1)
    return result


def log_bucket(lo: Lowerer, value: Reg, bits: int, signed: bool) -> Reg:
    """The hist bucket of a value (see base/buckets.py). log2 by halving: six compares."""
    result = lo.b.const(0)
    singles = 2 << bits
    negative, positive, single, large = (lo.b.block() for _ in range(4))
    if signed:
        lo.b.branch("slt", value, 0, negative, positive)
    else:
        lo.b.jump(positive)
    lo.b.start(positive)
    lo.b.branch("lt", value, singles, single, large)
    lo.b.start(single)
    lo.b.move(result, lo.b.alu("add", value, 1))
    lo.b.jump(negative)
    lo.b.start(large)
    rest, power = lo.b.reg(), lo.b.const(0)
    lo.b.move(rest, value)
    for shift in (32, 16, 8, 4, 2, 1):
        with lo.when("ge", rest, lo.b.const(1 << shift) if shift == 32 else 1 << shift):
            lo.b.move(rest, lo.b.alu("rsh", rest, shift))
            lo.b.move(power, lo.b.alu("add", power, shift))
    index = lo.b.alu("sub", power, bits + 1)
    if bits:
        part = lo.b.alu("and", lo.b.alu("rsh", value, lo.b.alu("sub", power, bits)), (1 << bits) - 1)
        index = lo.b.alu("add", lo.b.alu("lsh", index, bits), part)
    lo.b.move(result, lo.b.alu("add", index, 1 + singles))
    lo.b.jump(negative)
    lo.b.start(negative)
    return result


# -- reading ----------------------------------------------------------------------------------------------------


def read_aggregate(lo: Lowerer, info: MapInfo, key: Reg) -> Operand:
    """The merged value of an aggregate as a number: the CPUs' values one after the other."""
    t = info.value_type
    assert isinstance(t, ct.Aggregate)
    offset = FLAG_BYTES if info.scalar else 0
    total, count = lo.b.const(0), lo.b.const(0)

    def merge(address: Reg) -> None:
        value = lo.b.load(address, offset, 8)
        if t.kind in ("min", "max"):
            _merge_extreme(lo, t, total, count, value, lo.b.load(address, offset + 8, 8))
            return
        lo.b.move(total, lo.b.alu("add", total, value))
        if t.kind in ("avg", "stats"):
            lo.b.move(count, lo.b.alu("add", count, lo.b.load(address, offset + 8, 8)))

    if lo.target.has("map_lookup_percpu_elem") is False:
        address = lookup(lo, info, key)
        with lo.when("ne", address, 0):
            merge(address)
    else:
        _each_cpu(lo, info, key, merge)
    if t.kind in ("avg", "stats"):
        result = lo.b.const(0)
        with lo.when("ne", count, 0):
            lo.b.move(result, _signed_division(lo, total, count) if t.signed else lo.b.alu("div", total, count))
        total = result
    return Scalar(total, ct.Int(8, t.signed))


def _each_cpu(lo: Lowerer, info: MapInfo, key: Reg, merge: Callable[[Reg], None]) -> None:
    cpu = lo.b.const(0)
    head, body, after = lo.b.block(), lo.b.block(), lo.b.block()
    lo.b.jump(head)
    lo.b.start(head)
    lo.b.branch("lt", cpu, lo.target.cpu_count, body, after)
    lo.b.start(body)
    address = lo.b.call("map_lookup_percpu_elem", handle(lo, info), key, cpu)
    with lo.when("ne", address, 0):
        merge(address)
    lo.b.move(cpu, lo.b.alu("add", cpu, 1))
    lo.b.jump(head)
    lo.b.start(after)


def _merge_extreme(lo: Lowerer, t: ct.Aggregate, total: Reg, count: Reg, value: Reg, is_set: Reg) -> None:
    better = {"min": "slt" if t.signed else "lt", "max": "sgt" if t.signed else "gt"}[t.kind]
    with lo.when("ne", is_set, 0):
        take, compare, after = lo.b.block(), lo.b.block(), lo.b.block()
        lo.b.branch("eq", count, 0, take, compare)
        lo.b.start(compare)
        lo.b.branch(better, value, total, take, after)
        lo.b.start(take)
        lo.b.move(total, value)
        lo.b.move(count, 1)
        lo.b.jump(after)
        lo.b.start(after)


def _signed_division(lo: Lowerer, value: Reg, count: Reg) -> Reg:
    """value / count toward zero with the unsigned division that every kernel has."""
    result = lo.b.reg()
    positive, negative, after = lo.b.block(), lo.b.block(), lo.b.block()
    lo.b.branch("sge", value, 0, positive, negative)
    lo.b.start(positive)
    lo.b.move(result, lo.b.alu("div", value, count))
    lo.b.jump(after)
    lo.b.start(negative)
    lo.b.move(result, lo.b.alu("neg", lo.b.alu("div", lo.b.alu("neg", value, 0), count), 0))
    lo.b.jump(after)
    lo.b.start(after)
    return result
