"""Rules for statements, and the bookkeeping of what variables and maps hold."""

from __future__ import annotations

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.diag import Note
from ..lang import nodes as n
from ..stdlib.table import functions
from .analyzer import Analyzer, expr_rule, stmt_rule
from .joins import fits, join
from .model import Growing, MapInfo, Unit
from .rules_ops import as_integer, join_values, require_condition, warn_of_cast
from .typenames import resolve_type

MAX_UNROLL = 100
_DIFFERENT_BUCKETS = {
    "hist": "Different bits in a single hist unsupported",
    "lhist": "Different lhist bounds in a single map unsupported",
}


def note_value(an: Analyzer, grows: Growing, found: CType, node: n.Expr, name: str, what: str) -> bool:
    """Let `grows` hold a value of type `found` (the value of `node`); reports a mismatch and gives False."""
    if isinstance(found, ct.NoneType):
        return True
    if an.reporting:
        warn_of_cast(an, node, found, grows.type)
    if grows.first is None:
        grows.first = node.span
    if isinstance(found, ct.Bool) and isinstance(grows.declared or grows.known, ct.Int):
        found = as_integer(found)
    if grows.declared is not None:
        return _note_declared(an, grows, found, node, name, what)
    value = an.int_const(node)
    if value is not None and an.is_literal(node) and isinstance(grows.known, (ct.NoneType, ct.Int)):
        grows.literals.add(value)
        return True
    known: CType = grows.known
    if isinstance(known, ct.NoneType) and grows.literals and not isinstance(found, ct.Int):
        known = grows.type
    if isinstance(known, ct.Int) and isinstance(found, ct.Int) and known.signed != found.signed:
        joined: CType | None = join(known, found)
    else:
        joined = join(known, found)
    if joined is None:
        _report_mismatch(an, grows, known, found, node, name, what)
        return False
    grows.known = joined
    return True


def _note_declared(an: Analyzer, grows: Growing, found: CType, node: n.Expr, name: str, what: str) -> bool:
    declared = grows.declared
    assert declared is not None
    value = an.int_const(node)
    if isinstance(declared, ct.Int) and isinstance(found, ct.Int):
        if value is not None and an.is_literal(node) and not fits(value, declared):
            an.error(
                node.span,
                f"Type mismatch for {name}: trying to assign value of type '{found}' when {what} already has a type '{declared}'",
            )
            return False
        return True
    if isinstance(declared, ct.String) and isinstance(found, ct.String):
        if found.size > declared.size:
            _report_mismatch(an, grows, declared, found, node, name, what)
            return False
        return True
    joined = join(declared, found)
    if joined is None or (joined != declared and not isinstance(declared, ct.Pointer)):
        _report_mismatch(an, grows, declared, found, node, name, what)
        return False
    return True


def _report_mismatch(
    an: Analyzer, grows: Growing, known: CType, found: CType, node: n.Expr, name: str, what: str
) -> None:
    span = an.assignment_span or node.span
    if isinstance(known, ct.Histogram) and isinstance(found, ct.Histogram) and known.kind == found.kind:
        an.error(node.span, _DIFFERENT_BUCKETS[known.kind])
        return
    an.error(
        span,
        f"Type mismatch for {name}: trying to assign value of type '{found}' when {what} already has a type '{known}'",
    )


def note_key(an: Analyzer, info: MapInfo, key: n.Expr, access: n.Expr | None = None) -> None:
    """Let the map be accessed with `key`; `access` is the whole expression, for messages."""
    where = (access or key).span
    found = an.type_of(key)
    if isinstance(found, ct.Void):
        an.error(key.span, f"Invalid map key type: {found}")
        return
    if info.scalar:
        an.error(
            where,
            f"{info.name} used as a map with an explicit key (non-scalar map), previously used without an explicit key "
            "(scalar map)",
        )
        return
    info.scalar = False
    found = key_type(found)
    if isinstance(found, ct.NoneType):
        return
    value = an.int_const(key)
    grows = info.key
    if value is not None and an.is_literal(key) and isinstance(grows.known, (ct.NoneType, ct.Int)):
        grows.literals.add(value)
        return
    known = grows.type if isinstance(grows.known, ct.NoneType) and not isinstance(found, ct.Int) else grows.known
    joined = join(known, found)
    if joined is None:
        an.error(
            where,
            f"Argument mismatch for {info.name}: trying to access with arguments: '{found}' when map expects arguments: '{known}'",
        )
        return
    grows.known = joined


def key_type(t: CType) -> CType:
    """The type a value has as a map key."""
    if isinstance(t, ct.Aggregate):
        return ct.Int(8, t.signed)
    return t


def note_scalar(an: Analyzer, info: MapInfo, node: n.Expr) -> None:
    """Let the map be accessed without a key."""
    if info.scalar is False:
        an.error(
            node.span,
            f"{info.name} used as a map without an explicit key (scalar map), previously used with an explicit key "
            "(non-scalar map)",
        )
        return
    info.scalar = True


def note_map_write(an: Analyzer, target: n.Map | n.MapAccess) -> MapInfo:
    """Record that the map is written at `target`."""
    if isinstance(target, n.Map):
        info = an.map(target)
        note_scalar(an, info, target)
    else:
        info = an.map(target.map)
        note_key(an, info, target.key, target)
    info.written = True
    an.unit.types[target] = info.value_type
    return info


@expr_rule(n.Map)
def _map(an: Analyzer, node: n.Map) -> CType:
    info = an.map(node)
    note_scalar(an, info, node)
    info.read_in_kernel = True
    return info.value_type


@expr_rule(n.MapAccess)
def _map_access(an: Analyzer, node: n.MapAccess) -> CType:
    info = an.map(node.map)
    note_key(an, info, node.key, node)
    info.read_in_kernel = info.looked_into = True
    return info.value_type


@stmt_rule(n.Block)
def _block(an: Analyzer, node: n.Block) -> None:
    with an.scope():
        an.statements(node.body)


@stmt_rule(n.ExprStmt)
def _expression(an: Analyzer, node: n.ExprStmt) -> None:
    is_last = an.is_last
    found = an.type_of(node.value)
    value = node.value
    quiet = isinstance(value, (n.IncDec, n.Ternary, n.IfExpr)) or isinstance(found, (ct.Void, ct.NoneType))
    if isinstance(value, n.Call) and value in an.unit.stray_updates:
        return
    if not quiet:
        an.warning(value.span if is_last else node.span, "Return value discarded.")  # as bpftrace places it


@stmt_rule(n.Discard)
def _discard(an: Analyzer, node: n.Discard) -> None:
    an.type_of(node.value)


@stmt_rule(n.ImportStmt)
def _import(an: Analyzer, node: n.ImportStmt) -> None:
    an.error(node.span, "import is only allowed at the top of a script")


@stmt_rule(n.Let)
def _let(an: Analyzer, node: n.Let) -> None:
    name = node.variable.name
    declared = resolve_type(an, node.type) if node.type is not None else None
    found = an.type_of(node.value) if node.value is not None else None
    outer = an.find_variable(name)
    if outer is not None:
        an.error(
            node.variable.span,
            f"Variable {name} was already declared. Variable shadowing is not allowed.",
            notes=[Note(outer.span, "This is the initial declaration.")],
        )
    info = an.declare(node, name, node.span)
    an.unit.variables[node.variable] = info
    if declared in (ct.String(0), ct.Buffer(0)):  # written without a size: as long as what is assigned
        least = ct.String(1) if isinstance(declared, ct.String) else declared
        info.grows.known = join(info.grows.known, least) or info.grows.known
    elif declared is not None:
        info.grows.declared = an.spaced(declared)
    if node.value is not None and found is not None:
        info.assigned = True
        _assign_variable(an, node, info.grows, found, node.value, name)
    an.unit.types[node.variable] = info.type


def _assign_variable(an: Analyzer, node: n.Stmt, grows: Growing, found: CType, value: n.Expr, name: str) -> None:
    if isinstance(found, ct.Void):
        an.error(node.span, f"Value '{found}' cannot be assigned to a scratch variable.")
        return
    if isinstance(found, ct.Aggregate):
        row = functions().get(value.name) if isinstance(value, n.Call) else None
        if row is not None and row.update is not None:
            an.error(value.span, f"{row.name}() must be assigned directly to a map")
            return
        found = ct.Int(8, found.signed)
    if ct.is_bucketed(found):
        an.error(value.span, f"Value '{found}' cannot be assigned to a scratch variable.")
        return
    an.assignment_span = node.span
    note_value(an, grows, found, value, name, "variable")
    an.assignment_span = None


@stmt_rule(n.Assign)
def _assign(an: Analyzer, node: n.Assign) -> None:
    target = node.target
    value = node.value if node.op == "=" else compound(an, node)
    if isinstance(target, n.Variable):
        info = an.find_variable(target.name)
        if info is None and node.op != "=":
            an.type_of(target)
            return
        found = an.type_of(value)
        if info is None:
            info = an.declare(node, target.name, target.span)
        an.use(target, info)
        info.assigned = True
        _assign_variable(an, node, info.grows, found, value, target.name)
        an.unit.types[target] = info.type
    elif isinstance(target, (n.Map, n.MapAccess)):
        _assign_map(an, node, target, value)
    else:
        an.error(target.span, "Only variables and maps can be assigned to")


def compound(an: Analyzer, node: n.Assign) -> n.Expr:
    """`a op= b` as the expression `a op b`, the same node in every walk."""
    expression = an.unit.expansions.get(node)
    if expression is None:
        expression = n.Binary(node.op_span or node.span, node.op[:-1], node.target, node.value)
        an.unit.expansions[node] = expression
    return expression


def _assign_map(an: Analyzer, node: n.Assign, target: n.Map | n.MapAccess, value: n.Expr) -> None:
    found = an.type_of(value)
    call = update_of(an.unit, value) if node.op == "=" else None
    if call is not None:
        an.unit.stray_updates.pop(call, None)
    info = note_map_write(an, target)
    if isinstance(found, ct.Void):
        an.error(node.span, f"Value '{found}' cannot be assigned to a map.")
        return
    if ct.is_bucketed(found) and not _is_update(an, value):
        an.error(node.span, f"Map value '{found}' cannot be assigned from one map to another.")
        return
    if isinstance(found, ct.Aggregate) and not _is_update(an, value):
        found = ct.Int(8, found.signed)
    an.assignment_span = node.span
    if node.op != "=" and isinstance(found, ct.Int) and isinstance(info.value.known, (ct.Int, ct.NoneType)):
        found = ct.Int(8, found.signed)
    note_value(an, info.value, found, value, info.name, "map")
    an.assignment_span = None
    an.unit.types[target] = info.value_type


def _is_update(an: Analyzer, value: n.Expr) -> bool:
    return update_of(an.unit, value) is not None


def update_of(unit: Unit, value: n.Expr) -> n.Call | None:
    """The call of an updating function (`count()`) that `value` is or ends in."""
    while True:
        expansion = unit.expansions.get(value)
        if expansion is not None:
            value = expansion
        elif isinstance(value, n.BlockExpr):
            value = value.value
        else:
            break
    row = functions().get(value.name) if isinstance(value, n.Call) else None
    return value if isinstance(value, n.Call) and row is not None and row.update is not None else None


@stmt_rule(n.If)
def _if(an: Analyzer, node: n.If) -> None:
    require_condition(an, node.condition)
    decided = an.const(node.condition) if isinstance(node.condition, n.Comptime) else None
    if decided is None or decided:
        with an.scope():
            an.statements(node.then)
    if decided is None or not decided:
        with an.scope():
            an.statements(node.otherwise)


@stmt_rule(n.Unroll)
def _unroll(an: Analyzer, node: n.Unroll) -> None:
    an.type_of(node.count)
    count = an.int_const(node.count)
    if count is None:
        an.error(node.count.span, "invalid unroll value")
    elif count < 1:
        an.error(node.span, "unroll minimum value is 1")
    elif count > MAX_UNROLL:
        an.error(node.span, f"unroll maximum value is {MAX_UNROLL}")
    with an.scope():
        an.loops += 1
        an.statements(node.body)
        an.loops -= 1


@stmt_rule(n.While)
def _while(an: Analyzer, node: n.While) -> None:
    an.warning(
        node.span,
        "While loops are deprecated and may be removed in the future.",
        hints=(
            "A for loop over a range (`for ($x : $start..$end) { ... }`) is bounded, so that the verifier accepts it.",
        ),
    )
    with an.callback():
        require_condition(an, node.condition)
        an.statements(node.body)


@stmt_rule(n.For)
def _for(an: Analyzer, node: n.For) -> None:
    if isinstance(node.iterable, n.RangeExpr):
        element = _range_type(an, node.iterable)
    else:
        element = _entry_type(an, node.iterable)
    if an.find_variable(node.variable.name) is not None:
        an.error(node.variable.span, f"Loop declaration shadows existing variable: {node.variable.name}")
    with an.callback():
        info = an.declare(node, node.variable.name, node.variable.span)
        info.assigned = info.used = True
        info.grows.declared = element
        an.unit.variables[node.variable] = info
        an.unit.types[node.variable] = element
        an.statements(node.body)


def _range_type(an: Analyzer, node: n.RangeExpr) -> CType:
    start, end = an.type_of(node.start), an.type_of(node.end)
    for side, found in ((node.start, start), (node.end, end)):
        if not isinstance(as_integer(found), (ct.Int, ct.NoneType)):
            an.error(
                side.span, f"Loop range requires an integer for the {'start' if side is node.start else 'end'} value"
            )
    return join_values(an, node.start, as_integer(start), node.end, as_integer(end)) or ct.INT64


def _entry_type(an: Analyzer, node: n.Map) -> CType:
    info = an.map(node)
    if an.reporting and not info.written and not info.declared:
        an.error(node.span, f"Undefined map: {node.name}", hints=an.map_hints(node.name))
    info.read_in_kernel = info.looked_into = True
    if info.scalar:
        return an.error(node.span, f"{node.name} has no explicit keys (scalar map), and cannot be used for iteration")
    value = info.value_type
    if ct.is_bucketed(value) or (isinstance(value, ct.Aggregate) and value.kind == "stats"):
        return an.error(node.span, f"Loop expression does not support type: {value}")
    if isinstance(value, ct.Aggregate):
        value = ct.Int(8, value.signed)
    return ct.Tuple((info.key.type, value))


@stmt_rule(n.Jump)
def _jump(an: Analyzer, node: n.Jump) -> None:
    if node.kind == "return":
        if node.value is not None:
            found = an.type_of(node.value)
            if not (found.is_scalar or isinstance(found, ct.NoneType)):
                an.error(node.span, f"Probe return values can only be integers. Found {found}")
        return
    if an.loops == 0:
        an.error(node.span, f"'{node.kind}' statement is not allowed in a probe")
