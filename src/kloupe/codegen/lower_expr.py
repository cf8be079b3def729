"""Expressions that are no calls: names, operators, casts, parts of values."""

from __future__ import annotations

from ..base import ctype as ct
from ..base.ctype import CType, Space
from ..base.errors import InternalError
from ..ir.ops import Block, Reg, Value
from ..lang import nodes as n
from ..sema.rules_basic import builtin_row
from ..stdlib.table import functions
from .lower import Lowerer, lowers
from .lower_events import runtime_error
from .memory import as_read, store, zero
from .operand import Deferred, Mem, Operand, Scalar

_UNSIGNED = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_SIGNED = {"==": "eq", "!=": "ne", "<": "slt", "<=": "sle", ">": "sgt", ">=": "sge"}
_ALU = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "%": "mod",
    "&": "and",
    "|": "or",
    "^": "xor",
    "<<": "lsh",
    ">>": "rsh",
}


@lowers(n.Identifier)
def _identifier(lo: Lowerer, node: n.Identifier) -> Operand:
    row = builtin_row(node.name)
    if row is None:
        raise InternalError(f"no builtin {node.name}")
    return row.lower(lo, node)


@lowers(n.Call)
def _call(lo: Lowerer, node: n.Call) -> Operand:
    row = functions()[node.name]
    if row.lower is None:
        raise InternalError(f"{node.name}() has no value of its own")
    return row.lower(lo, node)


@lowers(n.Variable)
def _variable(lo: Lowerer, node: n.Variable) -> Operand:
    info = lo.unit.variables[node]
    if info in lo.registers:
        value = lo.b.reg()  # a copy: the variable may change before the value is used
        lo.b.move(value, lo.registers[info])
        return Scalar(value, info.type)
    if info not in lo.slots:
        return default(lo, info.type)
    return Mem(lo.slots[info], 0, info.type, Space.BPF)


def default(lo: Lowerer, t: CType) -> Operand:
    """The value of what was never set: zero, empty, null."""
    if t.is_scalar or isinstance(t, (ct.NoneType, ct.Aggregate)):
        return Scalar(0, t)
    return Deferred(t, lambda place, clean: zero(lo, place, t.size))


@lowers(n.Comptime)
def _comptime(lo: Lowerer, node: n.Comptime) -> Operand:
    return lo.lower(node.operand)


@lowers(n.NoValue)
def _no_value(lo: Lowerer, node: n.NoValue) -> Operand:
    return lo.nothing()


@lowers(n.BlockExpr)
def _block_expr(lo: Lowerer, node: n.BlockExpr) -> Operand:
    lo.statements(node.body)
    return lo.lower(node.value)


@lowers(n.Unary)
def _unary(lo: Lowerer, node: n.Unary) -> Operand:
    if node.op == "&":
        return _address_of(lo, node)
    if node.op == "*":
        return _dereference(lo, node)
    result = lo.type(node)
    if node.op == "!":
        return truth_value(lo, node, negate=True)
    value = lo.reg(lo.scalar(node.operand))
    if node.op == "-":
        return Scalar(lo.b.alu("neg", value, 0), result)
    if node.op == "~":
        return Scalar(lo.b.alu("xor", value, -1), result)
    return Scalar(value, result)


def _address_of(lo: Lowerer, node: n.Unary) -> Operand:
    if isinstance(node.operand, n.Map):
        from .lower_maps import scalar_place

        return Scalar(lo.pointer(scalar_place(lo, lo.analysis.maps[node.operand.name])), lo.type(node))
    operand = lo.lower(node.operand)
    if not isinstance(operand, Mem):
        operand = lo.in_memory(operand)
    return Scalar(lo.pointer(operand), lo.type(node))


def pointee(lo: Lowerer, pointer: Value, space: Space, t: CType, offset: int = 0) -> Operand:
    """The value of type `t` at a pointer: scalars are loaded, the rest stays where it is."""
    place = Mem(lo.reg(pointer), offset, t, space)
    return Scalar(lo.as_scalar(place), t) if t.is_scalar else place


def _dereference(lo: Lowerer, node: n.Unary) -> Operand:
    operand_type = lo.type(node.operand)
    space = operand_type.space if isinstance(operand_type, ct.Pointer) else lo.unit.context.space
    return pointee(lo, lo.scalar(node.operand), space, lo.type(node))


@lowers(n.Binary)
def _binary(lo: Lowerer, node: n.Binary) -> Operand:
    if node.op in _UNSIGNED or node.op in ("&&", "||"):
        return truth_value(lo, node)
    result = lo.type(node)
    left_type, right_type = lo.type(node.left), lo.type(node.right)
    left, right = lo.scalar(node.left), lo.scalar(node.right)
    if isinstance(left_type, ct.Pointer) and not isinstance(right_type, ct.Pointer):
        right = _scaled(lo, right, left_type)
    elif isinstance(right_type, ct.Pointer) and not isinstance(left_type, ct.Pointer):
        left = _scaled(lo, left, right_type)
    elif isinstance(left_type, ct.Pointer) and isinstance(right_type, ct.Pointer):
        size = max(1, left_type.target.size)
        return Scalar(lo.b.alu("div", lo.b.alu("sub", left, right), size), result)
    if node.op in ("/", "%") and not isinstance(right, int):
        return Scalar(_checked_division(lo, _ALU[node.op], left, right), result)
    return Scalar(lo.b.alu(_ALU[node.op], left, right), result)


def _scaled(lo: Lowerer, value: Value, pointer: ct.Pointer) -> Value:
    size = max(1, pointer.target.size)
    if isinstance(value, int):
        return value * size
    return value if size == 1 else lo.b.alu("mul", value, size)


def _checked_division(lo: Lowerer, op: str, left: Value, right: Reg) -> Reg:
    """Division by zero is reported and gives 1, as bpftrace does."""
    result = lo.b.const(1)
    fine, wrong, after = lo.b.block(), lo.b.block(), lo.b.block()
    lo.b.branch("ne", right, 0, fine, wrong)
    lo.b.start(wrong)
    runtime_error(
        lo, "Divide or modulo by 0 detected. This can lead to unexpected results. 1 is being used as the result."
    )
    lo.b.jump(after)
    lo.b.start(fine)
    lo.b.move(result, lo.b.alu(op, left, right))
    lo.b.jump(after)
    lo.b.start(after)
    return result


def truth_value(lo: Lowerer, node: n.Expr, *, negate: bool = False) -> Operand:
    """A condition as the value 0 or 1."""
    result = lo.b.const(0)
    yes, after = lo.b.block(), lo.b.block()
    operand = node.operand if negate and isinstance(node, n.Unary) else node
    condition(lo, operand, *((after, yes) if negate else (yes, after)))
    lo.b.start(yes)
    lo.b.move(result, 1)
    lo.b.jump(after)
    lo.b.start(after)
    return Scalar(result, ct.BOOL)


def condition(lo: Lowerer, node: n.Expr, yes: Block, no: Block) -> None:
    """Branch on the truth of `node`, short-circuiting."""
    known = lo.const(node)
    expansion = lo.unit.expansions.get(node)
    with lo.b.at(node.span):
        if known is not None:
            lo.b.jump(yes if known else no)
        elif expansion is not None and not isinstance(expansion, n.BlockExpr):
            condition(lo, expansion, yes, no)
        elif isinstance(node, n.Unary) and node.op == "!":
            condition(lo, node.operand, no, yes)
        elif isinstance(node, n.Binary) and node.op in ("&&", "||"):
            _short_circuit(lo, node, yes, no)
        elif isinstance(node, n.Binary) and node.op in _UNSIGNED:
            compare(lo, node, yes, no)
        elif isinstance(lo.type(node), ct.String):
            text = lo.in_memory(lo.lower(node))  # a string is true unless it is empty
            lo.b.branch("ne", lo.b.load(text.base, text.offset, 1), 0, yes, no)
        else:
            lo.b.branch("ne", lo.reg(lo.scalar(node)), 0, yes, no)


def _short_circuit(lo: Lowerer, node: n.Binary, yes: Block, no: Block) -> None:
    middle = lo.b.block()
    condition(lo, node.left, *((middle, no) if node.op == "&&" else (yes, middle)))
    lo.b.start(middle)
    condition(lo, node.right, yes, no)


def compare(lo: Lowerer, node: n.Binary, yes: Block, no: Block) -> None:
    """Branch on a comparison."""
    left_type, right_type = lo.type(node.left), lo.type(node.right)
    scalars = (ct.Aggregate,)
    if (left_type.is_scalar or isinstance(left_type, scalars)) and (
        right_type.is_scalar or isinstance(right_type, scalars)
    ):
        left, right = lo.scalar(node.left), lo.scalar(node.right)
        lo.b.branch(_comparison(lo, node, left_type, right_type), left, right, yes, no)
        return
    from .lower_strings import compare_memory

    if node.op == "!=":
        yes, no = no, yes
    compare_memory(lo, lo.lower(node.left), lo.lower(node.right), yes, no)


def _comparison(lo: Lowerer, node: n.Binary, left: CType, right: CType) -> str:
    def is_signed(side: n.Expr, t: CType) -> bool:
        value = lo.const(side)
        if isinstance(value, int):
            return value < 0
        return bool(getattr(t, "signed", False))

    both_literals = isinstance(lo.const(node.left), int) and isinstance(lo.const(node.right), int)
    signed = is_signed(node.left, left) or is_signed(node.right, right) or both_literals
    return (_SIGNED if signed else _UNSIGNED)[node.op]


@lowers(n.Ternary)
def _ternary(lo: Lowerer, node: n.Ternary) -> Operand:
    return _choice(lo, node, node.condition, node.then, node.otherwise)


@lowers(n.IfExpr)
def _if_expr(lo: Lowerer, node: n.IfExpr) -> Operand:
    return _choice(lo, node, node.condition, node.then, node.otherwise)


def _choice(lo: Lowerer, node: n.Expr, test: n.Expr, then: n.Expr, otherwise: n.Expr) -> Operand:
    dead = lo.unit.dead
    if then in dead or otherwise in dead:
        return lo.lower(otherwise if then in dead else then)
    result = lo.type(node)
    yes, no, after = lo.b.block(), lo.b.block(), lo.b.block()
    is_void = isinstance(result, (ct.Void, ct.NoneType))
    target = lo.b.reg() if result.is_scalar else None
    place = None if is_void or target is not None else lo.temporary(result)
    condition(lo, test, yes, no)
    for block, branch in ((yes, then), (no, otherwise)):
        lo.b.start(block)
        operand = lo.lower(branch)
        if target is not None:
            lo.b.move(target, lo.as_scalar(operand))
        elif place is not None:
            store(lo, place, operand)
        lo.b.jump(after)
    lo.b.start(after)
    if target is not None:
        return Scalar(target, result)
    return place if place is not None else lo.nothing()


@lowers(n.Cast)
def _cast(lo: Lowerer, node: n.Cast) -> Operand:
    result, source = lo.type(node), lo.type(node.operand)
    operand = lo.lower(node.operand)
    if isinstance(result, ct.Bool):
        return _to_bool(lo, operand)
    if isinstance(result, (ct.Int, ct.Enum)):
        if isinstance(operand, (Mem, Deferred)) and not source.is_scalar and not isinstance(source, ct.Aggregate):
            return Scalar(lo.as_scalar(_reinterpret(lo, operand, result)), result)
        value = lo.as_scalar(operand)
        if isinstance(value, int):
            return Scalar(value, result)
        narrower = result.size < source.size or (
            result.size == source.size < 8 and getattr(source, "signed", False) != result.signed
        )
        return Scalar(lo.b.extend(value, result.size, result.signed) if narrower else value, result)
    if isinstance(result, ct.Pointer):
        if isinstance(operand, Mem) and not source.is_scalar:
            return Scalar(lo.pointer(operand), ct.Pointer(result.target, operand.space))
        if isinstance(operand, Deferred):
            return Scalar(lo.pointer(lo.in_memory(operand)), ct.Pointer(result.target, Space.BPF))
        return Scalar(lo.as_scalar(operand), result)
    if isinstance(operand, Scalar) and source.is_scalar and isinstance(result, (ct.String, ct.Buffer)):
        return Mem(lo.reg(operand.value), 0, result, lo.unit.context.space)
    if isinstance(operand, Scalar):
        place = lo.temporary(result)
        store(lo, place, operand)
        return place
    if isinstance(operand, Mem):
        return Mem(operand.base, operand.offset, result, operand.space)
    if type(operand.type) is type(result) and operand.type != result:
        place = lo.temporary(result)
        store(lo, place, operand)
        return place
    return _reinterpret(lo, operand, result)


def _reinterpret(lo: Lowerer, operand: Operand, t: CType) -> Mem:
    place = operand if isinstance(operand, Mem) else lo.in_memory(operand)
    return Mem(place.base, place.offset, t, place.space)


def _to_bool(lo: Lowerer, operand: Operand) -> Operand:
    value = lo.reg(lo.as_scalar(operand))
    result = lo.b.const(0)
    with lo.when("ne", value, 0):
        lo.b.move(result, 1)
    return Scalar(result, ct.BOOL)


@lowers(n.FieldAccess)
def _field(lo: Lowerer, node: n.FieldAccess) -> Operand:
    result = lo.type(node)
    if isinstance(node.operand, n.Identifier) and node.operand.name == "args":
        from .lower_probe import probe_value

        value = lo.unit.context.arg(node.field)
        assert value is not None
        return probe_value(lo, value, result)
    owner = lo.type(node.operand)
    operand = lo.lower(node.operand)
    if isinstance(owner, ct.Pointer):
        place = Mem(lo.reg(lo.as_scalar(operand)), 0, owner.target, owner.space)
        owner = owner.target
    else:
        place = operand if isinstance(operand, Mem) else lo.in_memory(operand)
    return _part(lo, place, owner, node.field, result)


def _part(lo: Lowerer, place: Mem, owner: CType, name: str, result: CType) -> Operand:
    if isinstance(owner, (ct.Tuple, ct.Record)):
        index = int(name) if isinstance(owner, ct.Tuple) else [m for m, _ in owner.members].index(name)
        part = place.at(owner.offsets[index], owner.elements[index])
    else:
        assert isinstance(owner, ct.Struct)
        member = owner.field(name)
        assert member is not None
        part = place.at(member.offset, result, member.bit_offset, member.bit_size)
    if not part.type.is_scalar:
        return as_read(lo, part) if isinstance(owner, ct.Struct) else part
    value = lo.as_scalar(part)
    if lo.unit.kind == "iter" and part.space is Space.BPF and isinstance(result, ct.Pointer):
        _leave_at_the_end(lo, lo.reg(value))
    return Scalar(value, result)


def _leave_at_the_end(lo: Lowerer, pointer: Reg) -> None:
    """An iterator's program runs once more after the last object, with null for it; the verifier wants the test too."""
    with lo.when("eq", pointer, 0):
        lo.leave()


@lowers(n.Index)
def _index(lo: Lowerer, node: n.Index) -> Operand:
    owner, result = lo.type(node.operand), lo.type(node)
    operand = lo.lower(node.operand)
    known = lo.const(node.index)
    if isinstance(owner, (ct.Tuple, ct.Record)):
        place = operand if isinstance(operand, Mem) else lo.in_memory(operand)
        return _part(lo, place, owner, str(known), result)
    if isinstance(owner, ct.Pointer):
        place = Mem(lo.reg(lo.as_scalar(operand)), 0, owner.target, owner.space)
        element = owner.target
    else:
        place = operand if isinstance(operand, Mem) else lo.in_memory(operand)
        element = owner.element if isinstance(owner, ct.Array) else ct.INT8
    if isinstance(known, int):
        part = place.at(known * element.size, result)
    else:
        index = lo.reg(lo.scalar(node.index))
        if place.space is Space.BPF or (isinstance(owner, ct.Array) and owner.count > 0):
            index = _bounded(lo, index, owner, element)
        step = index if element.size == 1 else lo.b.alu("mul", index, element.size)
        part = Mem(lo.b.alu("add", lo.pointer(place), step), 0, result, place.space)
    if result.is_scalar:
        return Scalar(lo.as_scalar(part), result)
    return as_read(lo, part) if ct.is_char_array(element) else part


def _bounded(lo: Lowerer, index: Reg, owner: CType, element: CType) -> Reg:
    """An index into our own memory that the verifier can see is in range; out of range is reported and reads element 0."""
    count = owner.size // max(1, element.size)
    checked = lo.b.reg()
    lo.b.move(checked, index)
    with lo.when("ge", checked, count):
        runtime_error(lo, "Array access out of bounds. This can lead to unexpected results. Element 0 is being used.")
        lo.b.move(checked, 0)
    return checked


@lowers(n.Tuple)
def _tuple(lo: Lowerer, node: n.Tuple) -> Operand:
    return _members(lo, node, list(node.elements))


@lowers(n.Record)
def _record(lo: Lowerer, node: n.Record) -> Operand:
    return _members(lo, node, [member.value for member in node.members])


def _members(lo: Lowerer, node: n.Expr, elements: list[n.Expr]) -> Operand:
    t = lo.type(node)
    assert isinstance(t, (ct.Tuple, ct.Record))
    operands = [lo.lower(element) for element in elements]

    def into(target: Mem, clean: bool) -> None:
        if clean and sum(e.size for e in t.elements) != t.size:
            zero(lo, target, t.size)
        for offset, element, operand in zip(t.offsets, t.elements, operands, strict=True):
            store(lo, target.at(offset, element), operand, clean=clean)

    return Deferred(t, into)
