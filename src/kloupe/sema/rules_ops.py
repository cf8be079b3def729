"""Rules for operators, casts and access to parts of values."""

from __future__ import annotations

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.diag import Note, did_you_mean
from ..lang import nodes as n
from .analyzer import Analyzer, expr_rule
from .fold import Overflow, fold_binary, fold_unary
from .joins import fits, join, wrap
from .typenames import resolve_type, type_of_operand

_COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
_LOGICAL = {"&&", "||"}
_OVERFLOW = "unable to fold literals due to overflow or underflow"


def as_integer(t: CType) -> CType:
    """Aggregates, enums and bools as the integers they count as in arithmetic."""
    if isinstance(t, ct.Aggregate):
        return ct.Int(8, t.signed)
    if isinstance(t, ct.Enum):
        return ct.Int(t.size, t.signed)
    if isinstance(t, ct.Bool):
        return ct.UINT8
    return t


@expr_rule(n.Unary)
def _unary(an: Analyzer, node: n.Unary) -> CType:
    if node.op == "&":
        return _address_of(an, node)
    found = an.type_of(node.operand)
    if isinstance(found, ct.NoneType):
        return found
    if node.op == "*":
        return _dereference(an, node, found)
    value = an.const(node.operand)
    if value is not None and not isinstance(value, str):
        try:
            result = fold_unary(node.op, value)
        except Overflow:
            return an.error(node.span, _OVERFLOW)
        an.set_const(node, result)
        return ct.BOOL if isinstance(result, bool) else ct.smallest_signed(result)
    if node.op == "!":
        if not (found.is_scalar or isinstance(found, (ct.Aggregate, ct.String))):
            return an.error(node.span, f"The {node.op} operator can not be used on expressions of type '{found}'")
        return ct.BOOL
    found = as_integer(found)
    if not isinstance(found, ct.Int):
        return an.error(node.span, f"The {node.op} operator can not be used on expressions of type '{found}'")
    return ct.INT64 if node.op == "-" else ct.Int(8, found.signed) if node.op == "~" else found


def _dereference(an: Analyzer, node: n.Unary, found: CType) -> CType:
    if isinstance(found, ct.Pointer):
        if isinstance(found.target, ct.Void):
            return an.error(
                node.span, "Cannot dereference a pointer to void", hints=("Cast it to a pointer to a type.",)
            )
        return loaded(an, found.target, found.space)
    if isinstance(found, ct.Int) and found.size == 8:
        return ct.UINT64
    return an.error(node.span, f"Can not dereference type '{found}'. Not a pointer.")


def _address_of(an: Analyzer, node: n.Unary) -> CType:
    operand = node.operand
    if isinstance(operand, n.Variable):
        found = an.type_of(operand)
        info = an.unit.variables.get(operand)
        if info is not None:
            info.addressed = True
        return ct.Pointer(found, ct.Space.BPF)
    if isinstance(operand, n.Map):
        info_map = an.map(operand)
        return ct.Pointer(info_map.value_type, ct.Space.BPF)
    if isinstance(operand, (n.MapAccess, n.FieldAccess, n.Index)):
        found = an.type_of(operand)
        space = ct.Space.BPF if isinstance(operand, n.MapAccess) else an.unit.context.space
        return ct.Pointer(found, space)
    return an.error(node.span, "The address-of operator needs a variable, a map or a field")


def loaded(an: Analyzer, t: CType, space: ct.Space) -> CType:
    """The type of a value read from memory: char arrays become strings, pointers point where their holder is."""
    if isinstance(t, ct.Array) and t.element == ct.INT8 and t.count > 0:
        return ct.String(t.count + 1)
    return an.spaced(t, space if space in (ct.Space.KERNEL, ct.Space.USER) else None)


@expr_rule(n.IncDec)
def _incdec(an: Analyzer, node: n.IncDec) -> CType:
    from .rules_stmt import note_map_write, note_value  # the same bookkeeping as an assignment

    if isinstance(node.operand, n.Variable):
        found = an.type_of(node.operand)
        info = an.unit.variables.get(node.operand)
        if info is not None and isinstance(found, ct.Int) and info.grows.declared is None:
            note_value(an, info.grows, ct.Int(8, found.signed), node, info.name, "variable")
            return info.type
        if not isinstance(found, (ct.Int, ct.Pointer, ct.NoneType)):
            return an.error(node.span, f"The {node.op} operator can not be used on expressions of type '{found}'")
        return found
    if isinstance(node.operand, (n.Map, n.MapAccess)):
        map_info = note_map_write(an, node.operand)
        found = map_info.value_type
        if isinstance(found, ct.Pointer):
            return found
        if not isinstance(found, (ct.Int, ct.NoneType)):
            return an.error(node.span, f"The {node.op} operator can not be used on expressions of type '{found}'")
        note_value(an, map_info.value, ct.INT64, node, map_info.name, "map")
        return map_info.value_type
    return an.error(node.span, f"The {node.op} operator must be applied to a map or variable")


@expr_rule(n.Binary)
def _binary(an: Analyzer, node: n.Binary) -> CType:
    left, right = an.type_of(node.left), an.type_of(node.right)
    a, b = an.const(node.left), an.const(node.right)
    if a is not None and b is not None:
        folded = _fold(an, node, a, b)
        if folded is not None:
            return folded
    if isinstance(left, ct.NoneType) or isinstance(right, ct.NoneType):
        return ct.BOOL if node.op in _COMPARISONS | _LOGICAL else ct.NONE
    if node.op in _LOGICAL:
        for side, t in ((node.left, left), (node.right, right)):
            if not (t.is_scalar or isinstance(t, (ct.String, ct.Aggregate))):
                return an.error(side.span, f"The {node.op} operator can not be used on expressions of type '{t}'")
        return ct.BOOL
    if node.op in _COMPARISONS:
        return _comparison(an, node, left, right)
    return _arithmetic(an, node, left, right)


def _fold(an: Analyzer, node: n.Binary, a: int | bool | str, b: int | bool | str) -> CType | None:
    try:
        value = fold_binary(node.op, a, b)
    except Overflow:
        return an.error(node.span, _OVERFLOW)
    if isinstance(a, str) and isinstance(b, int) and node.op == "+" and not isinstance(b, bool):
        value = a.encode("utf-8", "surrogateescape")[b:].decode("utf-8", "surrogateescape") if b >= 0 else ""
    elif isinstance(a, str) and isinstance(b, str) and node.op == "+":
        value = a + b
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return _folded_type(an, node, value)
    an.set_const(node, value)
    if isinstance(value, bool):
        return ct.BOOL
    return ct.String(len(value.encode("utf-8", "surrogateescape")) + 1)


def _folded_type(an: Analyzer, node: n.Binary, value: int) -> CType:
    """The type of a folded number: flexible when both sides are, else what the operation gives at run time."""
    left, right = (as_integer(an.unit.types[side]) for side in (node.left, node.right))
    flexible = all(an.is_literal(side) or isinstance(an.const(side), bool) for side in (node.left, node.right))
    if flexible or not (isinstance(left, ct.Int) and isinstance(right, ct.Int)):
        an.set_const(node, value)
        return ct.smallest_signed(value)
    unsigned = _acts_unsigned(an, node.left, left) and _acts_unsigned(an, node.right, right) and node.op != "-"
    result = ct.UINT64 if unsigned else ct.INT64
    an.set_const(node, wrap(value, result))
    return result


def _mismatch(an: Analyzer, node: n.Binary, left: CType, right: CType) -> CType:
    notes = (Note(node.left.span, f"left ({left})"), Note(node.right.span, f"right ({right})"))
    return an.error(node.span, f"Type mismatch for '{node.op}': comparing {left} with {right}", notes=notes)


def _comparison(an: Analyzer, node: n.Binary, left: CType, right: CType) -> CType:
    left, right = as_integer(left), as_integer(right)
    ints = (ct.Int, ct.Pointer)
    if isinstance(left, ct.String) and isinstance(right, ct.String):
        if node.op not in ("==", "!="):
            return an.error(node.span, f"The {node.op} operator can not be used on expressions of type '{left}'")
        return ct.BOOL
    if isinstance(left, ints) and isinstance(right, ints):
        if _is_signed(an, node.left, left) or _is_signed(an, node.right, right):
            warn_of_cast(an, node.left, left, ct.INT64)
            warn_of_cast(an, node.right, right, ct.INT64)
        return ct.BOOL
    same = type(left) is type(right) and isinstance(left, (ct.Tuple, ct.Record, ct.Array, ct.Buffer, ct.Opaque))
    if same and node.op in ("==", "!="):
        return ct.BOOL
    opaque = isinstance(left, (ct.Opaque, ct.Int)) and isinstance(right, (ct.Opaque, ct.Int))
    if opaque and left.size == right.size:
        return ct.BOOL
    return _mismatch(an, node, left, right)


def _arithmetic(an: Analyzer, node: n.Binary, left: CType, right: CType) -> CType:
    left, right = as_integer(left), as_integer(right)
    if isinstance(left, ct.Pointer) or isinstance(right, ct.Pointer):
        return _pointer_arithmetic(an, node, left, right)
    if not (isinstance(left, ct.Int) and isinstance(right, ct.Int)):
        if isinstance(left, ct.Int) != isinstance(right, ct.Int):
            return _mismatch(an, node, left, right)
        return an.error(node.span, f"The {node.op} operator can not be used on expressions of type '{left}'")
    unsigned = _acts_unsigned(an, node.left, left) and _acts_unsigned(an, node.right, right)
    if node.op in ("/", "%") and ct.INT64 in (left, right):
        an.warning(
            node.span,
            f"signed operands for '{node.op}' can lead to undefined behavior (cast to unsigned to silence warning)",
        )
    result = ct.UINT64 if unsigned and node.op != "-" else ct.INT64
    warn_of_cast(an, node.left, left, result)
    warn_of_cast(an, node.right, right, result)
    return result


def warn_of_cast(an: Analyzer, node: n.Expr, found: CType, wanted: CType) -> None:
    """Warn when an unsigned 64-bit value silently becomes a signed one."""
    if found == ct.UINT64 and wanted == ct.INT64 and an.const(node) is None:
        an.warning(
            node.span,
            f"Expression of type: {found} being cast to type: {wanted}. This may cause unexpected results. "
            "Use an explicit cast to suppress this warning.",
        )


def _is_signed(an: Analyzer, side: n.Expr, t: CType) -> bool:
    return isinstance(t, ct.Int) and not _acts_unsigned(an, side, t)


def _acts_unsigned(an: Analyzer, side: n.Expr, t: ct.Int) -> bool:
    value = an.int_const(side)
    return not t.signed or (value is not None and value >= 0)


def _pointer_arithmetic(an: Analyzer, node: n.Binary, left: CType, right: CType) -> CType:
    if isinstance(left, ct.Pointer) and isinstance(right, ct.Int) and node.op in ("+", "-"):
        return left
    if isinstance(right, ct.Pointer) and isinstance(left, ct.Int) and node.op == "+":
        return right
    if isinstance(left, ct.Pointer) and isinstance(right, ct.Pointer) and node.op == "-":
        return ct.INT64
    if isinstance(left, (ct.Pointer, ct.Int)) and isinstance(right, (ct.Pointer, ct.Int)):
        return an.error(node.span, f"The {node.op} operator can not be used on expressions of types {left}, {right}")
    return _mismatch(an, node, left, right)


@expr_rule(n.Ternary)
def _ternary(an: Analyzer, node: n.Ternary) -> CType:
    return _choice(an, node, node.condition, node.then, node.otherwise)


@expr_rule(n.IfExpr)
def _if_expr(an: Analyzer, node: n.IfExpr) -> CType:
    return _choice(an, node, node.condition, node.then, node.otherwise)


def _choice(an: Analyzer, node: n.Expr, condition: n.Expr, then: n.Expr, otherwise: n.Expr) -> CType:
    require_condition(an, condition)
    decided = an.const(condition) if isinstance(condition, n.Comptime) else None
    if decided is not None:
        taken, dead = (then, otherwise) if decided else (otherwise, then)
        an.unit.dead.add(dead)
        found = an.type_of(taken)
        value = an.const(taken)
        if value is not None:
            an.set_const(node, value)
        return found
    a, b = an.type_of(then), an.type_of(otherwise)
    if isinstance(a, ct.NoneType) or isinstance(b, ct.NoneType):
        return b if isinstance(a, ct.NoneType) else a
    joined = join_values(an, then, a, otherwise, b)
    if joined is None:
        return an.error(node.span, f"Ternary operator must return the same type: have '{a}' and '{b}'")
    return joined


def join_values(an: Analyzer, x: n.Expr, a: CType, y: n.Expr, b: CType) -> CType | None:
    """The common type of two values, with flexible literals."""
    for literal, other in ((x, b), (y, a)):
        value = an.int_const(literal)
        if value is not None and isinstance(other, ct.Int) and an.is_literal(literal) and fits(value, other):
            return other
    if isinstance(a, ct.Bool) != isinstance(b, ct.Bool) and ct.is_integer(a) and ct.is_integer(b):
        return join(as_integer(a), as_integer(b))
    return join(a, b)


def require_condition(an: Analyzer, condition: n.Expr) -> None:
    """Report a condition that has no truth value."""
    found = an.type_of(condition)
    if not (found.is_scalar or isinstance(found, (ct.NoneType, ct.String, ct.Aggregate))):
        an.error(condition.span, f"Invalid condition: expected a boolean or integer, got '{found}'")


@expr_rule(n.Cast)
def _cast(an: Analyzer, node: n.Cast) -> CType:
    target = resolve_type(an, node.type)
    found = an.type_of(node.operand)
    if target is None or isinstance(found, ct.NoneType):
        return ct.NONE if target is None else an.spaced(target)
    value = an.const(node.operand)
    if (
        isinstance(target, ct.Array)
        and target.count > 0
        and an.is_literal(node.operand)
        and target.size in (1, 2, 4, 8)
    ):
        found = an.unit.types[node.operand] = ct.Int(target.size, True)
    target = _sized_like(target, found)
    if isinstance(target, ct.Enum) and isinstance(value, int) and target.name_of(value) is None:
        return an.error(node.span, f"Enum: {target.name} doesn't contain a variant value of {value}")
    if isinstance(target, (ct.Int, ct.Bool)) and isinstance(value, int):
        an.set_const(node, bool(value) if isinstance(target, ct.Bool) else wrap(int(value), target))
        if target == found and isinstance(target, ct.Int):
            an.warning(node.span, f"Unnecessary cast: expression is already of type {target}")
        return target
    if not _castable(found, target):
        return an.error(node.span, f'Cannot cast from "{found}" to "{target}"')
    space = found.space if isinstance(found, ct.Pointer) else None
    return an.spaced(target, space if space is not ct.Space.NONE else None)


def _sized_like(target: CType, found: CType) -> CType:
    if isinstance(target, ct.Array) and target.count < 0 and target.element.size:
        return ct.Array(target.element, found.size // target.element.size)
    if isinstance(target, ct.String) and target.size == 0 and isinstance(found, (ct.String, ct.Array)):
        return ct.String(found.size)
    if isinstance(target, ct.Buffer) and target.capacity == 0:
        return ct.Buffer(found.size)
    return target


def _castable(found: CType, target: CType) -> bool:
    found = as_integer(found)
    if isinstance(target, (ct.Int, ct.Bool, ct.Enum)):
        if isinstance(found, ct.Array):
            return found.size == target.size
        return isinstance(found, (ct.Int, ct.Pointer, ct.Bool, ct.Enum)) or (
            isinstance(found, ct.Opaque) and found.size >= target.size
        )
    if isinstance(target, ct.Pointer):
        return isinstance(found, (ct.Int, ct.Pointer, ct.Array, ct.Struct, ct.String))
    if isinstance(target, ct.Array):
        return isinstance(found, (ct.Int, ct.Array, ct.String)) and found.size == target.size
    if isinstance(target, ct.String):
        return isinstance(found, (ct.String, ct.Array, ct.Int, ct.Pointer))
    if isinstance(target, ct.Buffer):
        return isinstance(found, (ct.Buffer, ct.Array, ct.Int, ct.Pointer, ct.String))
    return type(target) is type(found)


@expr_rule(n.FieldAccess)
def _field(an: Analyzer, node: n.FieldAccess) -> CType:
    found = an.type_of(node.operand)
    if isinstance(found, ct.NoneType):
        return found
    space = an.unit.context.space
    if isinstance(found, ct.Pointer):
        space = found.space
        found = found.target
    if isinstance(found, ct.Tuple):
        return _element(an, node, found)
    if isinstance(found, ct.Record):
        members = dict(found.members)
        if node.field in members:
            return members[node.field]
        return _no_field(an, node, found, list(members))
    if isinstance(found, ct.Struct):
        member = found.field(node.field)
        if member is None:
            return _no_field(an, node, found, list(found.field_names()))
        return loaded(an, bitfield_type(member), space)
    lacks_btf = isinstance(node.operand, n.Identifier) and node.operand.name == "curtask" and not an.target.has_btf
    return an.error(
        node.span,
        f"Can not access field '{node.field}' on expression of type '{found}'",
        hints=("This kernel offers no type information (BTF): cast it to a struct that the script defines.",)
        if lacks_btf
        else (),
    )


def bitfield_type(member: ct.Field) -> CType:
    """The type a member reads as (a bit-field keeps its declared type)."""
    return member.type


def _no_field(an: Analyzer, node: n.FieldAccess, found: CType, known: list[str]) -> CType:
    text = (
        f"{found} does not contain a field named '{node.field}'"
        if not isinstance(found, ct.Struct)
        else (f"Struct/union of type '{found}' does not contain a field named '{node.field}'")
    )
    if isinstance(node.operand, n.Identifier) and node.operand.name == "args":
        text = (
            f"Can't find a field {node.field}"
            if an.unit.kind != "tracepoint"
            else (
                f"Struct/union of type 'struct _{an.unit.points[0].name.replace(':', '_')}' does not contain a field named '{node.field}'"
            )
        )
    return an.error(node.span, text, hints=did_you_mean(node.field, known))


def _element(an: Analyzer, node: n.FieldAccess, found: ct.Tuple) -> CType:
    if not node.field.isdecimal():
        return an.error(node.span, f"Tuples have numbered elements, no field named '{node.field}'")
    index = int(node.field)
    if index >= len(found.elements):
        return an.error(node.span, f"Invalid tuple index: {index}. Found {len(found.elements)} elements in tuple.")
    return found.elements[index]


@expr_rule(n.Index)
def _index(an: Analyzer, node: n.Index) -> CType:
    found = an.type_of(node.operand)
    index = an.type_of(node.index)
    value = an.int_const(node.index)
    if isinstance(found, ct.NoneType) or isinstance(index, ct.NoneType):
        return ct.NONE
    if isinstance(found, ct.Tuple):
        if value is None or not 0 <= value < len(found.elements):
            return an.error(node.span, f"Invalid tuple index: {value}. Found {len(found.elements)} elements in tuple.")
        return found.elements[value]
    if not ct.is_integer(index):
        return an.error(
            node.index.span,
            f"The array index operator [] only accepts positive (unsigned) integer indices. Got: '{index}'",
        )
    if isinstance(found, ct.Array):
        if value is not None and found.count > 0 and not 0 <= value < found.count:
            return an.error(node.span, f"the index {value} is out of bounds for array of size {found.count}")
        return loaded(an, found.element, an.unit.context.space)
    if isinstance(found, ct.Pointer):
        if isinstance(found.target, ct.Void):
            return an.error(node.span, "Cannot index a pointer to void")
        return loaded(an, found.target, found.space)
    if isinstance(found, ct.String):
        if value is not None and not 0 <= value < found.size:
            return an.error(node.span, f"the index {value} is out of bounds for array of size {found.size}")
        return ct.INT8
    return an.error(
        node.span, f"The array index operator [] can only be used on arrays, pointers, and tuples, found {found}."
    )


@expr_rule(n.Tuple)
def _tuple(an: Analyzer, node: n.Tuple) -> CType:
    return ct.Tuple(tuple(_member(an, element) for element in node.elements))


@expr_rule(n.Record)
def _record(an: Analyzer, node: n.Record) -> CType:
    return ct.Record(tuple((member.name, _member(an, member.value)) for member in node.members))


def _member(an: Analyzer, element: n.Expr) -> CType:
    found = an.type_of(element)
    if isinstance(found, ct.Void):
        return an.error(element.span, "Tuple element cannot be void")
    if ct.is_bucketed(found):
        return an.error(element.span, f"Map type {found} cannot exist inside a tuple.")
    return ct.Int(8, found.signed) if isinstance(found, ct.Aggregate) else found


@expr_rule(n.SizeOf)
def _sizeof(an: Analyzer, node: n.SizeOf) -> CType:
    found = type_of_operand(an, node.operand)
    if found is not None:
        an.set_const(node, found.size)
    return ct.UINT64


@expr_rule(n.OffsetOf)
def _offsetof(an: Analyzer, node: n.OffsetOf) -> CType:
    found = type_of_operand(an, node.operand)
    offset = 0
    for name in node.path:
        if not isinstance(found, ct.Struct):
            if found is not None:
                return an.error(node.span, f"'{found}' is not a struct or union type.")
            return ct.UINT64
        member = found.field(name)
        if member is None:
            return an.error(
                node.span,
                f"'{found}' has no field named '{name}'",
                hints=did_you_mean(name, found.field_names()),
            )
        offset += member.offset
        found = member.type
    an.set_const(node, offset)
    return ct.UINT64


@expr_rule(n.TypeInfo)
def _typeinfo(an: Analyzer, node: n.TypeInfo) -> CType:
    found = type_of_operand(an, node.operand)
    an.set_const(node, str(found))
    return ct.String(len(str(found)) + 1)


@expr_rule(n.Comptime)
def _comptime(an: Analyzer, node: n.Comptime) -> CType:
    found = an.type_of(node.operand)
    value = an.const(node.operand)
    if value is None:
        if not isinstance(found, ct.NoneType):
            an.error(node.span, "Unable to evaluate at compile time.")
        return found
    an.set_const(node, value)
    return found


@expr_rule(n.NoValue)
def _no_value(an: Analyzer, node: n.NoValue) -> CType:
    return ct.VOID


@expr_rule(n.BlockExpr)
def _block_expr(an: Analyzer, node: n.BlockExpr) -> CType:
    with an.scope():
        an.statements(node.body)
        found = an.type_of(node.value)
    value = an.const(node.value)
    if value is not None and not node.body:
        an.set_const(node, value)
    return found
