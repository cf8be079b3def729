"""Rules for literals, names, variables and parameters."""

from __future__ import annotations

import re

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.diag import did_you_mean
from ..lang import nodes as n
from ..stdlib.table import Builtin, builtins, functions
from .analyzer import Analyzer, expr_rule
from .expand import expand_macro
from .fold import INT64_MIN, UINT64_MAX

_NUMBERED = re.compile(r"s?arg(\d+)")
_NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|[0-9]+)$")


@expr_rule(n.IntLiteral)
def _int(an: Analyzer, node: n.IntLiteral) -> CType:
    an.set_const(node, node.value)
    return ct.smallest_signed(node.value)


@expr_rule(n.BoolLiteral)
def _bool(an: Analyzer, node: n.BoolLiteral) -> CType:
    an.set_const(node, node.value)
    return ct.BOOL


@expr_rule(n.StringLiteral)
def _string(an: Analyzer, node: n.StringLiteral) -> CType:
    text = node.value.partition("\0")[0]  # what follows a NUL is not part of a C string
    an.set_const(node, text)
    size = len(text.encode("utf-8", "surrogateescape"))
    limit = an.max_strlen
    if size >= limit:
        an.error(node.span, f"String is too long (over {limit} bytes): {node.value}")
    return ct.String(size + 1)


def param_value(text: str) -> int | str:
    """A positional parameter as the script sees it: a number when it reads as one, else text."""
    match = _NUMBER.match(text)
    if not match:
        return text
    digits = match[1]
    base = 16 if digits[:2].lower() == "0x" else 8 if digits.startswith("0") and len(digits) > 1 else 10
    try:
        value = int(digits, base)
    except ValueError:
        return text
    value = -value if text.startswith("-") else value
    return value if INT64_MIN <= value <= UINT64_MAX else text


@expr_rule(n.PositionalParam)
def _positional(an: Analyzer, node: n.PositionalParam) -> CType:
    params = an.options.params
    if node.index > len(params):
        an.warning(node.span, f"Positional parameter ${node.index} is empty or not provided.")
        an.set_const(node, 0)
        return ct.INT64
    value = param_value(params[node.index - 1])
    an.set_const(node, value)
    if isinstance(value, str):
        return ct.String(len(value.encode("utf-8", "surrogateescape")) + 1)
    return ct.smallest_signed(value)


@expr_rule(n.PositionalCount)
def _count(an: Analyzer, node: n.PositionalCount) -> CType:
    an.set_const(node, len(an.options.params))
    return ct.UINT64


@expr_rule(n.Variable)
def _variable(an: Analyzer, node: n.Variable) -> CType:
    info = an.find_variable(node.name)
    if info is None:
        names = [name for scope in an.scopes for name in scope]
        return an.error(
            node.span, f"Undefined or undeclared variable: {node.name}", hints=did_you_mean(node.name, names)
        )
    an.use(node, info)
    info.used = True
    if not info.assigned and info.grows.declared is None:
        an.warning(node.span, f"Variable used before it was assigned: {node.name}")
    found = info.type
    return ct.INT64 if isinstance(found, ct.NoneType) and not info.assigned else found


def builtin_row(name: str) -> Builtin | None:
    """The row of a builtin by any of its spellings: `pid`, `arg3`, `__builtin_pid`."""
    name = name.removeprefix("__builtin_")
    return builtins().get("argN" if _NUMBERED.fullmatch(name) else name)


@expr_rule(n.Identifier)
def _identifier(an: Analyzer, node: n.Identifier) -> CType:
    macro = an.macros.lookup(node.name, ())
    if macro is not None:
        return expand_macro(an, node, macro)
    if node.name in an.c_types.defines:
        definition = an.c_types.defines[node.name]
        an.unit.expansions[node] = definition
        found = an.type_of(definition)
        value = an.const(definition)
        if value is not None:
            an.set_const(node, value)
        return found
    row = builtin_row(node.name)
    if row is not None:
        return row.infer(an, node)
    constant = an.c_types.constants.get(node.name) or an.target.enum_constant(node.name)
    if constant is not None:
        enum, value = constant
        an.set_const(node, value)
        return enum
    if node.name in functions():
        return an.error(node.span, f"{node.name}() is a function: call it as {node.name}(...)")
    known = [*builtins(), *an.c_types.constants, *an.c_types.defines, *an.macros.names()]
    return an.error(node.span, f"Unknown identifier: '{node.name}'", hints=did_you_mean(node.name, known))
