"""Functions on maps: clear, zero, delete, has_key, len."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType
from ..codegen.operand import Operand, Scalar
from .table import Function, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer
    from ..sema.model import MapInfo


def _known_map(an: Analyzer, node: n.Call) -> MapInfo | None:
    from ..lang import nodes as n

    subject = node.arguments[0]
    if not isinstance(subject, n.Map):
        an.error(subject.span, f"{node.name}() expects a map argument")
        return None
    info = an.map(subject)
    if an.reporting and info.scalar is None and not info.declared:
        an.error(subject.span, f"Undefined map: {subject.name}", hints=an.map_hints(subject.name))
    return info


def _whole(an: Analyzer, node: n.Call) -> CType:
    _known_map(an, node)
    return ct.VOID


def _whole_event(kind: str):  # type: ignore[no-untyped-def]
    def lower(lo: Lowerer, node: n.Call) -> Operand:
        from ..codegen.lower_events import emit_event
        from ..codegen.lower_maps import spec_of

        name = spec_of(lo, lo.analysis.maps[node.arguments[0].name]).name  # type: ignore[union-attr]
        emit_event(lo, lo.event(kind, [], node.span, map=name), [])
        return lo.nothing()

    return lower


def _keyed(an: Analyzer, node: n.Call) -> CType:
    from ..lang import nodes as n
    from ..sema.rules_stmt import note_key

    info = _known_map(an, node)
    if info is None:
        return ct.NONE
    info.looked_into = True
    key = node.arguments[1]
    assert isinstance(key, n.Expr)
    if info.scalar:
        return an.error(node.span, f"call to {node.name}() expects a map with explicit keys (non-scalar map)")
    note_key(an, info, key)
    return _unless_bucketed(an, node, info)


def _unless_bucketed(an: Analyzer, node: n.Call, info: MapInfo) -> CType:
    """Histograms are spread over an entry per bucket: a single key of theirs cannot be asked for."""
    if ct.is_bucketed(info.value_type):
        return an.error(
            node.span,
            f"{node.name}() does not support maps of type {info.value_type}",
            hints=("clear() removes everything in the map.",),
        )
    return ct.BOOL


def _delete_infer(an: Analyzer, node: n.Call) -> CType:
    from ..lang import nodes as n
    from ..sema.rules_stmt import note_key, note_scalar

    subject = node.arguments[0]
    if len(node.arguments) == 2:
        return _keyed(an, node)
    if isinstance(subject, n.MapAccess):
        subject_info = an.map(subject.map)
        note_key(an, subject_info, subject.key)
        subject_info.looked_into = True
        return _unless_bucketed(an, node, subject_info)
    info = _known_map(an, node)
    if info is not None and info.scalar is False:
        return an.error(
            node.span, "call to delete() with a single argument expects a map without explicit keys (scalar map)"
        )
    if info is not None:
        note_scalar(an, info, subject)  # type: ignore[arg-type]
    return ct.BOOL


def _target(lo: Lowerer, node: n.Call) -> tuple[MapInfo, n.Expr | None]:
    from ..lang import nodes as n

    subject = node.arguments[0]
    if isinstance(subject, n.MapAccess):
        return lo.analysis.maps[subject.map.name], subject.key
    assert isinstance(subject, n.Map)
    key = node.arguments[1] if len(node.arguments) > 1 else None
    assert key is None or isinstance(key, n.Expr)
    return lo.analysis.maps[subject.name], key


def _delete(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_maps import handle, lookup, make_key, spec_of
    from ..codegen.memory import zero
    from ..codegen.operand import Mem

    info, key = _target(lo, node)
    result = lo.b.const(0)
    address = make_key(lo, info, key)
    if info.scalar:
        spec = spec_of(lo, info)
        element = lookup(lo, info, address)
        with lo.when("ne", element, 0):
            lo.b.move(result, lo.b.load(element, 0, 8))
            zero(lo, Mem(element, 0, ct.NONE, ct.Space.BPF), spec.value_size)
        return Scalar(result, ct.BOOL)
    status = lo.b.call("map_delete_elem", handle(lo, info), address)
    with lo.when("eq", status, 0):
        lo.b.move(result, 1)
    return Scalar(result, ct.BOOL)


def _has_key(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_maps import lookup, make_key

    info, key = _target(lo, node)
    element = lookup(lo, info, make_key(lo, info, key))
    result = lo.b.const(0)
    with lo.when("ne", element, 0):
        lo.b.move(result, 1)
    return Scalar(result, ct.BOOL)


def _len_infer(an: Analyzer, node: n.Call) -> CType:
    from ..lang import nodes as n

    subject = node.arguments[0]
    if isinstance(subject, n.Map):
        info = _known_map(an, node)
        if info is not None:
            info.looked_into = True
        if info is not None and info.scalar:
            return an.error(node.span, "call to len() expects a map with explicit keys (non-scalar map)")
        return ct.INT64
    assert isinstance(subject, n.Expr)
    found = an.type_of(subject)
    if isinstance(found, ct.Stack):
        return ct.INT64
    return an.error(node.span, f"len() expects a map or stack to be provided ({found} provided)")


def _len(lo: Lowerer, node: n.Call) -> Operand:
    from ..lang import nodes as n

    subject = node.arguments[0]
    if isinstance(subject, n.Map):
        return _map_length(lo, lo.analysis.maps[subject.name])
    from .stacks import stack_depth

    assert isinstance(subject, n.Expr)
    return Scalar(stack_depth(lo, subject), ct.INT64)


def _map_length(lo: Lowerer, info: MapInfo) -> Operand:
    """The number of elements: what walking the map with a callback that does nothing returns."""
    from ..codegen.lower_maps import handle

    with lo.b.callback("count", 4, 3) as function:
        lo.b.exit(0)
    count = lo.b.call("for_each_map_elem", handle(lo, info), lo.b.function_ref(function), lo.b.captures(), 0)
    return Scalar(count, ct.INT64)


register(
    Function("clear", "void clear(map m)", "Remove all elements.", ("map",), 1, _whole, _whole_event("clear")),
    Function("zero", "void zero(map m)", "Set all values to zero.", ("map",), 1, _whole, _whole_event("zero")),
    Function(
        "delete",
        "bool delete(map m [, key])",
        "Remove an element; true when it was there.",
        ("map", "lazy"),
        1,
        _delete_infer,
        _delete,
    ),
    Function(
        "has_key", "bool has_key(map m, key)", "Whether the map has an element.", ("map", "lazy"), 2, _keyed, _has_key
    ),
    Function("len", "int64 len(map | stack)", "Number of elements or frames.", ("lazy",), 1, _len_infer, _len),
)
