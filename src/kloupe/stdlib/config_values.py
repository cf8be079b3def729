"""config(): the session's settings as a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType
from ..codegen.operand import Deferred, Mem, Operand, Scalar
from .table import Builtin, Function, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer


def _type(value: int | str | bool) -> CType:
    if isinstance(value, bool):
        return ct.BOOL
    return ct.UINT64 if isinstance(value, int) else ct.String(len(value.encode()) + 1)


def _infer(an: Analyzer, node: n.Expr) -> CType:
    return ct.Record(tuple((name, _type(value)) for name, value in sorted(an.analysis.config.items())))


def _lower(lo: Lowerer, node: n.Expr) -> Operand:
    from ..codegen.lower_strings import literal
    from ..codegen.memory import store, zero

    t = lo.type(node)
    assert isinstance(t, ct.Record)

    def into(target: Mem, clean: bool) -> None:
        zero(lo, target, t.size)
        for offset, (name, member) in zip(t.offsets, t.members, strict=True):
            value = lo.analysis.config[name]
            operand = literal(lo, value) if isinstance(value, str) else Scalar(int(value), member)
            store(lo, target.at(offset, member), operand)

    return Deferred(t, into)


_DOC = "The settings that are in force."
register(
    Builtin("config", "record", _DOC, _infer, _lower),
    Function("config", "record config()", _DOC, (), 0, _infer, _lower),
)
