"""Statements: blocks, assignments, branches and loops."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..base import ctype as ct
from ..base.ctype import Space
from ..base.errors import NotSupported
from ..image import MapSpec
from ..ir.ops import Reg, Slot, Value
from ..lang import nodes as n
from ..sema.model import VariableInfo
from ..sema.rules_stmt import update_of
from ..stdlib.table import functions
from .lower import Loop, Lowerer, lowers, lowers_stmt
from .lower_events import runtime_error
from .lower_expr import condition
from .lower_maps import handle, increment, info_of, write_map
from .memory import store, zero
from .operand import Mem, Nothing, Operand, Scalar

MAX_ITERATIONS = 1 << 23  # BPF_MAX_LOOPS in the kernel's bpf_loop
OPAQUE_MAP = ".opaque"  # a zero that the verifier does not know
MAX_PARTS = 4  # calls of bpf_loop for one long range
INLINE_ITERATIONS = 8192  # bound of a loop on kernels without bpf_loop, where the verifier walks every iteration


@lowers_stmt(n.Block)
def _block(lo: Lowerer, node: n.Block) -> None:
    lo.statements(node.body)


@lowers_stmt(n.ExprStmt)
def _expression(lo: Lowerer, node: n.ExprStmt) -> None:
    value = node.value
    if isinstance(value, n.IncDec):
        _increment(lo, value, wanted=False)
        return
    operand = lo.lower(value)
    if isinstance(operand, Mem) and operand.type.is_scalar:
        lo.as_scalar(operand)


@lowers_stmt(n.Discard)
def _discard(lo: Lowerer, node: n.Discard) -> None:
    lo.lower(node.value)


# -- variables --------------------------------------------------------------------------------------------------


def bind(lo: Lowerer, info: VariableInfo) -> None:
    """Give a variable its register or memory."""
    if info in lo.registers or info in lo.slots:
        return
    t = info.type
    if t.is_scalar and not info.captured and not info.addressed:
        lo.registers[info] = lo.b.reg()
    else:
        lo.slots[info] = lo.b.slot(max(8, t.size), 8, captured=info.captured, name=info.name)


def assign(lo: Lowerer, info: VariableInfo, operand: Operand) -> None:
    """Set a variable."""
    bind(lo, info)
    if info in lo.registers:
        lo.b.move(lo.registers[info], _narrowed(lo, info, operand))
        return
    place = Mem(lo.slots[info], 0, info.type, Space.BPF)
    if isinstance(operand, Mem) and operand.base is place.base:
        return
    if info.captured and isinstance(info.type, ct.Int) and not any(loop.callback for loop in lo.loops):
        operand = _unknown(lo, operand)
    store(lo, place, operand)


def _unknown(lo: Lowerer, operand: Operand) -> Operand:
    """The same number, but unknown to the verifier.

    A variable that a loop changes would otherwise take a new known value in each iteration that the verifier follows, and
    it would follow all of them.
    """
    lo.need_map(MapSpec(OPAQUE_MAP, "array", 4, 8, 1))
    nothing = lo.b.load(lo.b.map_value(OPAQUE_MAP), 0, 8)
    return Scalar(lo.b.alu("add", nothing, lo.as_scalar(operand)), operand.type)


def _narrowed(lo: Lowerer, info: VariableInfo, operand: Operand) -> Value:
    value = lo.as_scalar(operand)
    t, source = info.type, operand.type
    if isinstance(value, Reg) and isinstance(t, ct.Int) and t.size < 8 and source != t:
        narrower = not isinstance(source, ct.Int) or source.size > t.size or source.signed != t.signed
        if narrower and not isinstance(source, ct.Bool):
            return lo.b.extend(value, t.size, t.signed)
    return value


@lowers_stmt(n.Let)
def _let(lo: Lowerer, node: n.Let) -> None:
    info = lo.unit.declarations[node]
    if node.value is not None:
        assign(lo, info, lo.lower(node.value))
        return
    bind(lo, info)
    if info in lo.registers:
        lo.b.move(lo.registers[info], 0)
    else:
        zero(lo, Mem(lo.slots[info], 0, info.type, Space.BPF), max(8, info.type.size))


@lowers_stmt(n.Assign)
def _assign(lo: Lowerer, node: n.Assign) -> None:
    target = node.target
    if isinstance(target, n.Variable):
        value = node.value if node.op == "=" else lo.unit.expansions[node]
        assign(lo, lo.unit.variables[target], lo.lower(value))
        return
    assert isinstance(target, (n.Map, n.MapAccess))
    call = update_of(lo.unit, node.value) if node.op == "=" else None
    if call is not None:
        _lower_up_to(lo, node.value, call)
        update = functions()[call.name].update
        assert update is not None
        with lo.b.at(call.span):
            update(lo, call, target)
        return
    if node.op in ("+=", "-=") and _adds_in_place(lo, node, target):
        return
    value = node.value if node.op == "=" else lo.unit.expansions[node]
    write_map(lo, target, lo.lower(value))


def _lower_up_to(lo: Lowerer, value: n.Expr, call: n.Call) -> None:
    """Lower the statements of the blocks around `call`, which ends `value`."""
    while value is not call:
        expansion = lo.unit.expansions.get(value)
        if expansion is not None:
            value = expansion
        else:
            assert isinstance(value, n.BlockExpr)
            lo.statements(value.body)
            value = value.value


def _adds_in_place(lo: Lowerer, node: n.Assign, target: n.Map | n.MapAccess) -> bool:
    """`@m += v` by an atomic addition, so that two CPUs do not lose one."""
    from .lower_aggregate import add_to

    t = info_of(lo, target).value_type
    if not isinstance(t, ct.Int) or t.size != 8:
        return False
    value = lo.scalar(node.value)
    if node.op == "-=":
        value = -value if isinstance(value, int) else lo.b.alu("neg", value, 0)
    add_to(lo, target, value)
    return True


@lowers(n.IncDec)
def _incdec(lo: Lowerer, node: n.IncDec) -> Operand:
    return _increment(lo, node, wanted=True)


def _increment(lo: Lowerer, node: n.IncDec, *, wanted: bool) -> Operand:
    step = 1 if node.op == "++" else -1
    if isinstance(node.operand, (n.Map, n.MapAccess)):
        return increment(lo, node.operand, step, old=(not node.prefix) if wanted else None)
    assert isinstance(node.operand, n.Variable)
    info = lo.unit.variables[node.operand]
    t = info.type
    amount = step * (max(1, t.target.size) if isinstance(t, ct.Pointer) else 1)
    before = lo.reg(lo.as_scalar(lo.lower(node.operand)))
    after = lo.b.alu("add", before, amount)
    assign(lo, info, Scalar(after, ct.Int(8, getattr(t, "signed", False)) if isinstance(t, ct.Int) else t))
    if not wanted:
        return Nothing()
    return Scalar(lo.as_scalar(lo.lower(node.operand)) if node.prefix else before, t)


# -- control ----------------------------------------------------------------------------------------------------


@lowers_stmt(n.If)
def _if(lo: Lowerer, node: n.If) -> None:
    known = lo.const(node.condition)
    if known is not None:
        lo.statements(node.then if known else node.otherwise)
        return
    yes, no, after = lo.b.block(), lo.b.block(), lo.b.block()
    condition(lo, node.condition, yes, no)
    for block, body in ((yes, node.then), (no, node.otherwise)):
        lo.b.start(block)
        lo.statements(body)
        lo.b.jump(after)
    lo.b.start(after)


@lowers_stmt(n.Unroll)
def _unroll(lo: Lowerer, node: n.Unroll) -> None:
    count = lo.const(node.count)
    assert isinstance(count, int)
    after = lo.b.block()
    for _ in range(count):
        following = lo.b.block()
        lo.loops.append(Loop(following, after, False))
        lo.statements(node.body)
        lo.loops.pop()
        lo.b.jump(following)
        lo.b.start(following)
    lo.b.jump(after)
    lo.b.start(after)


@lowers_stmt(n.Jump)
def _jump(lo: Lowerer, node: n.Jump) -> None:
    if node.kind == "return":
        lo.leave(lo.scalar(node.value) if node.value is not None else 0)
        return
    loop = lo.loops[-1]
    target = loop.continue_to if node.kind == "continue" else loop.break_to
    if target is not None:
        lo.b.jump(target)
    else:
        lo.b.exit(0 if node.kind == "continue" else 1)


def _has_bpf_loop(lo: Lowerer) -> bool:
    return lo.target.has("bpf_loop") is not False


def _has_return(body: Iterable[n.Node], lo: Lowerer) -> bool:
    return any(_may_leave(node, lo) for node in body)


def _may_leave(node: n.Node, lo: Lowerer) -> bool:
    if isinstance(node, n.Jump) and node.kind == "return":
        return True
    if isinstance(node, n.Call) and node.name == "exit":
        return True
    expansion = lo.unit.expansions.get(node)
    if expansion is not None and _may_leave(expansion, lo):
        return True
    return any(_may_leave(child, lo) for child in node.children())


def _in_callback(
    lo: Lowerer,
    name: str,
    parameters: int,
    body: Iterable[n.Stmt],
    start: Callable[[], None],
    call: Callable[[Reg], None],
) -> None:
    """Lower `body` as a callback; `start` writes its beginning, `call` the helper call that runs it."""
    body = tuple(body)
    leaves = _has_return(body, lo)
    outer_flag = lo.return_flag
    if leaves and lo.return_flag is None:
        lo.return_flag = lo.b.slot(8, 8, captured=True, name="return")
        lo.b.store(lo.return_flag, 0, 8, 0)
    with lo.b.callback(name, parameters, parameters - 1) as function:
        lo.loops.append(Loop(None, None, True))
        start()
        lo.statements(body)
        lo.b.exit(0)
        lo.loops.pop()
    call(lo.b.function_ref(function))
    if leaves:
        assert lo.return_flag is not None
        with lo.when("ne", lo.b.load(lo.return_flag, 0, 8), 0):
            lo.leave()
    lo.return_flag = outer_flag


@lowers_stmt(n.While)
def _while(lo: Lowerer, node: n.While) -> None:
    if not _has_bpf_loop(lo):
        _inline_while(lo, node)
        return

    def start() -> None:
        go, stop = lo.b.block(), lo.b.block()
        condition(lo, node.condition, go, stop)
        lo.b.start(stop)
        lo.b.exit(1)
        lo.b.start(go)

    def call(function: Reg) -> None:
        lo.b.call("loop", MAX_ITERATIONS, function, lo.b.captures(), 0)

    _in_callback(lo, "while", 2, node.body, start, call)


def _inline_while(lo: Lowerer, node: n.While) -> None:
    head, body, after = lo.b.block(), lo.b.block(), lo.b.block()
    lo.b.jump(head)
    lo.b.start(head)
    condition(lo, node.condition, body, after)
    lo.b.start(body)
    lo.loops.append(Loop(head, after, False))
    lo.statements(node.body)
    lo.loops.pop()
    lo.b.jump(head)
    lo.b.start(after)


@lowers_stmt(n.For)
def _for(lo: Lowerer, node: n.For) -> None:
    if isinstance(node.iterable, n.RangeExpr):
        _for_range(lo, node, node.iterable)
    else:
        _for_map(lo, node, node.iterable)


def _for_range(lo: Lowerer, node: n.For, bounds: n.RangeExpr) -> None:
    info = lo.unit.declarations[node]
    known = [value for value in (lo.const(bounds.start), lo.const(bounds.end)) if isinstance(value, int)]
    length = known[1] - known[0] if len(known) == 2 else None
    if length is not None and length <= 0:
        return
    first, end = lo.reg(lo.scalar(bounds.start)), lo.reg(lo.scalar(bounds.end))
    if not _has_bpf_loop(lo):
        _inline_range(lo, node, info, first, end)
        return
    count = lo.b.const(0)
    with lo.when("sgt", end, first):
        lo.b.move(count, lo.b.alu("sub", end, first))
    base = lo.b.slot(8, 8, captured=True, name="start")
    lo.b.store(base, 0, 8, first)

    def start() -> None:
        index = lo.b.extend(lo.b.parameter(0), 4, False)
        assign(lo, info, Scalar(lo.b.alu("add", lo.b.load(base, 0, 8), index), info.type))

    def call(function: Reg) -> None:
        if length is not None and length <= MAX_ITERATIONS:
            lo.b.call("loop", length, function, lo.b.captures(), 0)
        else:
            _call_loop(lo, count, function, base)

    _in_callback(lo, "range", 2, node.body, start, call)


def _call_loop(lo: Lowerer, count: Reg, function: Reg, base: Slot) -> None:
    """bpf_loop over `count` iterations; a longer range than the kernel allows at once is run in parts.

    `base` holds the first value; each part moves it on. A part that was left early ends the loop.
    """
    rest, part = lo.b.reg(), lo.b.reg()
    lo.b.move(rest, count)
    for _ in range(MAX_PARTS):
        with lo.when("ne", rest, 0):
            lo.b.move(part, rest)
            with lo.when("gt", part, MAX_ITERATIONS):
                lo.b.move(part, MAX_ITERATIONS)
            done = lo.b.call("loop", part, function, lo.b.captures(), 0)
            lo.b.move(rest, lo.b.alu("sub", rest, part))
            lo.b.store(base, 0, 8, lo.b.alu("add", lo.b.load(base, 0, 8), part))
            with lo.when("ne", done, part):
                lo.b.move(rest, 0)
    with lo.when("ne", rest, 0):
        runtime_error(lo, f"The loop was cut off after {MAX_PARTS * MAX_ITERATIONS} iterations.")


def _inline_range(lo: Lowerer, node: n.For, info: VariableInfo, first: Reg, end: Reg) -> None:
    index, rounds = lo.b.reg(), lo.b.const(0)
    lo.b.move(index, first)
    head, check, body, step, after = (lo.b.block() for _ in range(5))
    lo.b.jump(head)
    lo.b.start(head)
    lo.b.branch("lt", rounds, INLINE_ITERATIONS, check, after)
    lo.b.start(check)
    lo.b.branch("slt", index, end, body, after)
    lo.b.start(body)
    assign(lo, info, Scalar(index, info.type))
    lo.loops.append(Loop(step, after, False))
    lo.statements(node.body)
    lo.loops.pop()
    lo.b.jump(step)
    lo.b.start(step)
    lo.b.move(index, lo.b.alu("add", index, 1))
    lo.b.move(rounds, lo.b.alu("add", rounds, 1))
    lo.b.jump(head)
    lo.b.start(after)


def _for_map(lo: Lowerer, node: n.For, iterable: n.Map) -> None:
    if lo.target.has("for_each_map_elem") is False:
        raise NotSupported(
            f"{node.span.where()}: a loop over a map needs Linux 5.13 or newer",
            hint="Print the map instead; user space can read it on every kernel.",
        )
    info = lo.analysis.maps[iterable.name]
    variable = lo.unit.declarations[node]
    pair = variable.type
    assert isinstance(pair, ct.Tuple)

    def start() -> None:
        key, value = lo.b.parameter(1), lo.b.parameter(2)
        bind(lo, variable)
        place = Mem(lo.slots[variable], 0, pair, Space.BPF)
        zero(lo, place, max(8, pair.size))
        store(lo, place.at(0, pair.elements[0]), Mem(key, 0, pair.elements[0], Space.BPF))
        target = place.at(pair.offsets[1], pair.elements[1])
        if isinstance(info.value_type, ct.Aggregate):
            from .lower_aggregate import read_aggregate

            store(lo, target, read_aggregate(lo, info, key))
        else:
            store(lo, target, Mem(value, 0, pair.elements[1], Space.BPF))

    def call(function: Reg) -> None:
        lo.b.call("for_each_map_elem", handle(lo, info), function, lo.b.captures(), 0)

    _in_callback(lo, "each", 4, node.body, start, call)
