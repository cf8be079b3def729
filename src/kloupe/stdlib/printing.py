"""What prints: printf, print, errorf, warnf, cat, system, join; and exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.format import Conversion, parse_format
from ..codegen.operand import Deferred, Mem, Operand, Scalar
from .table import Function, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

_INTEGER_KINDS = set("diuxXoc")
_FLOAT_KINDS = set("aAeEfFgGn")  # no value is one: kernel programs have no floating point
MAX_JOIN_STRINGS, MAX_JOIN_BYTES = 16, 1024


def _integral(t: CType) -> bool:
    return isinstance(t, (ct.Int, ct.Bool, ct.Enum, ct.Pointer, ct.Aggregate))


def _accepts(kind: str, t: CType) -> bool:
    if kind in _INTEGER_KINDS or kind == "p":
        return _integral(t)
    if kind in ("r", "rx", "rh"):
        return isinstance(t, (ct.Buffer, ct.Array, ct.String))
    if kind == "gr":
        return isinstance(t, ct.Int)
    return kind not in _FLOAT_KINDS or isinstance(t, ct.Float)


def check_format(an: Analyzer, node: n.Call) -> CType:
    """Check the arguments of a printf-like call against its format."""
    text = str(an.const(node.arguments[0]))
    conversions = [piece for piece in parse_format(text) if isinstance(piece, Conversion)]
    given = node.arguments[1:]
    if len(given) != len(conversions):
        word = "not enough" if len(given) < len(conversions) else "too many"
        return an.error(
            node.span, f"{word} arguments for format string ({len(given)} supplied, {len(conversions)} expected)"
        )
    for conversion, argument in zip(conversions, given, strict=True):
        found = an.unit.types.get(argument, ct.NONE)
        if ct.is_bucketed(found):
            an.error(argument.span, f"{found} type passed to {node.name}() is not printable")
        elif not _accepts(conversion.kind, found):
            an.error(node.span, f"unsupported format specifier for type '{found}': {conversion.kind}")
    return ct.VOID


def printed(lo: Lowerer, arguments: tuple[n.Node, ...]) -> tuple[list[CType], list[Operand]]:
    """The types and operands of what an event carries."""
    from ..codegen.lower_events import settle
    from ..lang import nodes as n

    operands = []
    for argument in arguments:
        assert isinstance(argument, n.Expr)
        operands.append(settle(lo, lo.lower(argument)))
    return [operand.type for operand in operands], operands


def _formatted(kind: str):  # type: ignore[no-untyped-def]
    def lower(lo: Lowerer, node: n.Call) -> Operand:
        from ..codegen.lower_events import emit_event

        types, operands = printed(lo, node.arguments[1:])
        emit_event(lo, lo.event(kind, types, node.span, format=str(lo.const(node.arguments[0]))), operands)
        return lo.nothing()

    return lower


def _print_infer(an: Analyzer, node: n.Call) -> CType:
    from ..lang import nodes as n

    subject = node.arguments[0]
    info = an.analysis.maps.get(subject.name) if isinstance(subject, n.Map) else None
    for option in node.arguments[1:]:
        if isinstance(option, n.Expr):
            an.type_of(option)
            if an.int_const(option) is None:
                return an.error(option.span, "print() expects a int literal here")
    if isinstance(subject, n.Map):
        an.map(subject)
        if info is None and an.reporting:
            an.error(subject.span, f"Undefined map: {subject.name}", hints=an.map_hints(subject.name))
        return ct.VOID
    if isinstance(subject, (n.TypeName, n.TypeOf)):
        return an.error(subject.span, "print() does not take a type")
    if len(node.arguments) > 1:
        return an.error(node.span, f"Non-map print() only takes 1 argument, {len(node.arguments)} found")
    found = an.type_of(subject)
    if isinstance(found, ct.Void):
        return an.error(node.span, "void type passed to print() is not printable")
    if ct.is_bucketed(found):
        return an.error(
            node.span,
            f"Map type {found} cannot print the value of individual keys. You must print the whole map.",
        )
    return ct.VOID


def _print(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_events import emit_event
    from ..codegen.lower_maps import spec_of
    from ..lang import nodes as n

    subject = node.arguments[0]
    if isinstance(subject, n.Map):
        numbers = [int(lo.const(option) or 0) for option in node.arguments[1:]]
        top, div = (*numbers, 0, 0)[:2]
        name = spec_of(lo, lo.analysis.maps[subject.name]).name
        emit_event(lo, lo.event("print_map", [], node.span, map=name, top=top, div=div), [])
        return lo.nothing()
    assert isinstance(subject, n.Expr)
    if isinstance(subject, n.MapAccess):
        return _print_element(lo, node, subject)
    types, operands = printed(lo, (subject,))
    emit_event(lo, lo.event("print_value", types, node.span), operands)
    return lo.nothing()


def _print_element(lo: Lowerer, node: n.Call, subject: n.MapAccess) -> Operand:
    from ..codegen.lower_events import emit_event
    from ..codegen.lower_maps import spec_of

    info = lo.analysis.maps[subject.map.name]
    key_type = spec_of(lo, info).key_type
    assert key_type is not None
    key = lo.lower(subject.key)
    if isinstance(info.value_type, ct.Aggregate):
        emit_event(lo, lo.event("print_entry", [key_type], node.span, map=info.name), [key])
        return lo.nothing()
    value = lo.lower(subject)
    emit_event(lo, lo.event("print_entry", [key_type, info.value_type], node.span, map=info.name), [key, value])
    return lo.nothing()


def _exit_infer(an: Analyzer, node: n.Call) -> CType:
    return ct.VOID


def _exit(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_events import emit_exit
    from ..lang import nodes as n

    status: Operand = Scalar(0, ct.INT64)
    if node.arguments and isinstance(node.arguments[0], n.Expr):
        status = Scalar(lo.scalar(node.arguments[0]), ct.INT64)
    emit_exit(lo, status, node.span)
    lo.leave()
    return lo.nothing()


def _join_infer(an: Analyzer, node: n.Call) -> CType:
    found = an.type_of(node.arguments[0])  # type: ignore[arg-type]
    if not isinstance(found, (ct.Pointer, ct.Int)):
        an.error(node.span, f"join() only supports int or pointer arguments ({found} provided)")
    return ct.VOID


def _join(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_events import emit_event
    from ..codegen.memory import load_scalar, read_string
    from ..lang import nodes as n

    source = node.arguments[0]
    assert isinstance(source, n.Expr)
    found = lo.type(source)
    space = found.space if isinstance(found, ct.Pointer) else lo.unit.context.space
    base = lo.reg(lo.scalar(source))
    delimiter = str(lo.const(node.arguments[1])) if len(node.arguments) > 1 else " "
    text = ct.String(MAX_JOIN_BYTES)
    ended = lo.b.const(0)

    def piece(index: int) -> Operand:
        def into(target: Mem, clean: bool) -> None:
            lo.b.store(target.base, target.offset, 1, 0)
            with lo.when("eq", ended, 0):
                pointer = lo.reg(load_scalar(lo, Mem(base, 8 * index, ct.UINT64, space)))
                stop, read, after = lo.b.block(), lo.b.block(), lo.b.block()
                lo.b.branch("eq", pointer, 0, stop, read)
                lo.b.start(stop)
                lo.b.move(ended, 1)
                lo.b.jump(after)
                lo.b.start(read)
                read_string(lo, target, MAX_JOIN_BYTES, pointer, space)
                lo.b.jump(after)
                lo.b.start(after)

        return Deferred(text, into)

    spec = lo.event("join", [text] * MAX_JOIN_STRINGS, node.span, delimiter=delimiter)
    emit_event(lo, spec, [piece(index) for index in range(MAX_JOIN_STRINGS)])
    return lo.nothing()


def _print_row(name: str, doc: str, unsafe: bool = False) -> Function:
    signature = f"void {name}(string format, ...)"
    return Function(name, signature, doc, ("literal", "rest any"), 1, check_format, _formatted(name), unsafe=unsafe)


register(
    _print_row("printf", "Print formatted text."),
    _print_row("errorf", "Print formatted text as an error with the script's place."),
    _print_row("warnf", "Print formatted text as a warning with the script's place."),
    _print_row("cat", "Print a file's contents."),
    _print_row("system", "Run a shell command.", unsafe=True),
    Function(
        "print",
        "void print(value | map [, top [, div]])",
        "Print a value or a map.",
        ("lazy", "lazy", "lazy"),
        1,
        _print_infer,
        _print,
    ),
    Function("exit", "void exit([int status])", "End the session.", ("int",), 0, _exit_infer, _exit),
    Function(
        "join",
        "void join(char *argv[] [, string delimiter])",
        "Print an array of strings.",
        ("any", "literal"),
        1,
        _join_infer,
        _join,
    ),
)
