"""Calls: arguments checked against the function's row, then the row gives the result's type."""

from __future__ import annotations

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.diag import did_you_mean
from ..lang import nodes as n
from ..stdlib.table import Function, functions
from .analyzer import Analyzer, expr_rule
from .expand import expand_macro
from .rules_ops import as_integer
from .typenames import resolve_type

_UNSAFE_BY_FLAG = ("override", "signal", "signal_thread", "write_user")  # these have other words for it


@expr_rule(n.Call)
def _call(an: Analyzer, node: n.Call) -> CType:
    macro = an.macros.lookup(node.name, node.arguments)
    if macro is not None:
        return expand_macro(an, node, macro)
    row = functions().get(node.name)
    if row is None or (not node.arguments and row.required and _is_builtin(an, node)):
        if _is_builtin(an, node):
            return an.type_of(_as_identifier(an, node))
        if an.macros.report_mismatch(node.name, node.arguments, node.span):
            return ct.NONE
        known = [*functions(), *an.macros.names()]
        return an.error(node.span, f"Unknown function: '{node.name}'", hints=did_you_mean(node.name, known))
    if row.unsafe and not an.options.unsafe:
        return an.error(
            node.span,
            f"{node.name}() is unsafe. To use you need the --unsafe flag"
            if node.name in _UNSAFE_BY_FLAG
            else f"{node.name}() is an unsafe function being used in safe mode",
            hints=("Run with --unsafe to allow what changes the traced system.",),
        )
    if row.update is not None:
        an.unit.stray_updates[node] = None
    if not _check_count(an, node, row) or not _check_arguments(an, node, row):
        return ct.NONE
    return row.infer(an, node)


def _is_builtin(an: Analyzer, node: n.Call) -> bool:
    from ..stdlib.table import builtins

    return not node.arguments and node.name in builtins()


def _as_identifier(an: Analyzer, node: n.Call) -> n.Expr:
    expansion = an.unit.expansions.get(node)
    if expansion is None:
        expansion = an.unit.expansions[node] = n.Identifier(node.span, node.name)
    return expansion


def _plural(count: int) -> str:
    return {0: "no arguments", 1: "one argument"}.get(count, f"{count} arguments")


def _check_count(an: Analyzer, node: n.Call, row: Function) -> bool:
    given = len(node.arguments)
    variadic = bool(row.arguments) and row.arguments[-1].startswith("rest")
    most = len(row.arguments)
    if given < row.required:
        how = "requires at least" if variadic or most > row.required else "requires"
        an.error(node.span, f"{node.name}() {how} {_plural(row.required)} ({given} provided)", hints=(row.signature,))
        return False
    if not variadic and given > most:
        if most == row.required:
            text = f"{node.name}() requires {_plural(most)} ({given} provided)"
        else:
            text = f"{node.name}() takes up to {_plural(most)} ({given} provided)"
        an.error(node.span, text, hints=(row.signature,))
        return False
    return True


def _check_arguments(an: Analyzer, node: n.Call, row: Function) -> bool:
    return all([_check_argument(an, node, row, index) for index in range(len(node.arguments))])


def _check_argument(an: Analyzer, node: n.Call, row: Function, index: int) -> bool:
    argument = node.arguments[index]
    kind = row.arguments[min(index, len(row.arguments) - 1)].removeprefix("rest ")
    if kind == "map":
        if isinstance(argument, n.Map):
            an.map(argument)
            return True
        if isinstance(argument, n.MapAccess):
            return True
        an.error(argument.span, f"{node.name}() expects a map argument")
        return False
    if isinstance(argument, (n.TypeName, n.TypeOf)):
        if kind == "type":
            return True
        resolve_type(an, argument)
        an.error(argument.span, f"{node.name}() does not take a type here")
        return False
    if kind in ("mapvalue", "lazy"):
        return True
    if kind == "literal" and isinstance(argument, n.StringLiteral):
        an.set_const(argument, argument.value)  # a format may be longer than strings that programs handle
        an.unit.types[argument] = ct.String(len(argument.value) + 1)
        return True
    found = an.type_of(argument)
    if isinstance(found, ct.NoneType):
        return False
    if isinstance(found, ct.Void):
        an.error(argument.span, f"{node.name}() does not take a value of type 'void'")
        return False
    return _matches(an, node, argument, kind, found)


def _matches(an: Analyzer, node: n.Call, argument: n.Expr, kind: str, found: CType) -> bool:
    name = type_word(found)
    if kind == "int" and not isinstance(as_integer(found), (ct.Int, ct.Pointer)):
        an.error(node.span, f"{node.name}() only supports int arguments ({name} provided)")
        return False
    if kind == "string" and not isinstance(found, ct.String):
        an.error(node.span, f"{node.name}() only supports string arguments ({name} provided)")
        return False
    if kind == "literal" and not isinstance(an.const(argument), str):
        if isinstance(found, ct.String):
            an.error(node.span, f"{node.name}() expects a string literal (string provided)")
        else:
            an.error(node.span, f"{node.name}() expects a string literal ({name} provided)")
        return False
    if kind == "number" and an.int_const(argument) is None:
        an.error(node.span, f"{node.name}() expects a int literal ({name} provided)")
        return False
    return True


def type_word(t: CType) -> str:
    """The word messages use for the kind of a type."""
    words: tuple[tuple[type[CType], str], ...] = (
        (ct.Int, "int"),
        (ct.Bool, "bool"),
        (ct.Enum, "enum"),
        (ct.String, "string"),
        (ct.Pointer, "pointer"),
        (ct.Tuple, "tuple"),
        (ct.Record, "record"),
        (ct.Buffer, "buffer"),
        (ct.Array, "array"),
    )
    return next((word for kind, word in words if isinstance(t, kind)), str(t))
