"""Builtins about the probe that fired: probe, func, args, argN, sargN, retval, ctx, reg()."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType, Space
from ..base.diag import did_you_mean
from ..base.place import NamedValue, StackArgument
from ..codegen.operand import Deferred, Mem, Operand, Scalar
from ..image import MapSpec
from ..ir.ops import Reg
from .table import Builtin, Function, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

NAMES_MAP = ".probes"  # the points' names, one after the other, indexed by the attach cookie


def _probe_infer(an: Analyzer, node: n.Identifier) -> CType:
    names = [point.name for point in an.unit.points]
    if len(names) == 1:
        an.set_const(node, names[0])
        return ct.String(len(names[0].encode()) + 1)
    an.unit.needs_cookie = True
    return ct.String(max(len(name.encode()) for name in names) + 1)


def _probe(lo: Lowerer, node: n.Identifier) -> Operand:
    t = lo.type(node)
    names = [point.name for point in lo.unit.points]
    table = b"".join(name.encode().ljust(t.size, b"\0") for name in names)
    name = f"{NAMES_MAP}{len(lo.parts.maps)}"
    lo.need_map(MapSpec(name, "array", 4, len(table) + t.size, 1, initial=table, read_only=True))
    cookie = lo.dispatch_index or lo.b.call("get_attach_cookie", lo.b.context())
    index = lo.b.const(0)
    with lo.when("lt", cookie, len(names)):
        lo.b.move(index, lo.b.alu("mul", cookie, t.size))
    with lo.when("gt", index, len(table)):
        lo.b.move(index, 0)
    return Mem(lo.b.alu("add", lo.b.map_value(name), index), 0, t, Space.KERNEL)


def _func_infer(an: Analyzer, node: n.Identifier) -> CType:
    point = an.unit.points[0]
    if point.function is None:
        return an.error(node.span, f"The func builtin can not be used with '{an.unit.kind}' probes")
    return ct.USYM if point.kind in ("uprobe", "uretprobe", "usdt") else ct.KSYM


def _func(lo: Lowerer, node: n.Identifier) -> Operand:
    from .symbols import user_symbol

    address = _function_address(lo)
    if lo.type(node) == ct.USYM:
        return user_symbol(lo, address)

    def into(target: Mem, clean: bool) -> None:
        lo.b.store(target.base, target.offset, 8, address)

    return Deferred(ct.KSYM, into)


def _function_address(lo: Lowerer) -> Reg:
    """The address of the traced function (kernel functions have a helper for it since Linux 5.15)."""
    point, arch = lo.unit.points[0], lo.target.arch
    if point.kind in ("fentry", "fexit") and point.function:
        known = lo.target.ksym(point.function)
        if known is not None:
            return lo.b.const(known)
    if lo.target.has("get_func_ip") is not False and point.kind not in ("uprobe", "usdt"):
        return lo.b.call("get_func_ip", lo.b.context())
    return lo.b.load(lo.b.context(), arch.registers[arch.instruction_pointer], 8)


def _args_infer(an: Analyzer, node: n.Identifier) -> CType:
    context = an.unit.context
    if not context.has_args:
        reason = context.args_error or (
            "The args builtin can only be used with tracepoint, rawtracepoint, fentry/fexit, and uprobe probes "
            f"({an.unit.kind} used here)"
        )
        return an.error(node.span, reason)
    visible = [value for value in context.args if not value.name.startswith("common_")]
    members = tuple((value.name, _value_type(an, value)) for value in context.args if value in visible)
    everything = tuple((value.name, _value_type(an, value)) for value in context.args)
    an.unit.types[node] = ct.Record(members)
    return ct.Record(everything)


def _value_type(an: Analyzer, value: NamedValue) -> CType:
    from ..sema.rules_ops import loaded

    return loaded(an, value.type, an.unit.context.space)


def _args(lo: Lowerer, node: n.Identifier) -> Operand:
    from ..codegen.lower_probe import probe_value
    from ..codegen.memory import store, zero

    t = lo.type(node)
    assert isinstance(t, ct.Record)
    values = [lo.unit.context.arg(name) for name, _ in t.members]

    def into(target: Mem, clean: bool) -> None:
        if clean:
            zero(lo, target, t.size)
        for offset, (_, member), value in zip(t.offsets, t.members, values, strict=True):
            assert value is not None
            store(lo, target.at(offset, member), probe_value(lo, value, member), clean=clean)

    return Deferred(t, into)


def _arg_infer(an: Analyzer, node: n.Identifier) -> CType:
    value = _numbered(an, node)
    if value is None:
        if node.name.startswith("s"):
            return an.error(node.span, f"The {node.name} builtin can only be used with 'kprobes' and 'uprobes' probes")
        if an.unit.kind in ("kprobe", "uprobe", "usdt", "rawtracepoint"):
            return an.error(node.span, f"{an.target.arch.name} doesn't support {node.name}")
        return an.error(
            node.span, f"The {node.name} builtin can only be used with 'kprobes', 'uprobes' and 'usdt' probes"
        )
    return an.spaced(value.type)


def _numbered(an: Analyzer, node: n.Identifier) -> NamedValue | None:
    if node.name.startswith("s"):
        context = an.unit.context
        if not context.registers or an.unit.kind not in ("kprobe", "uprobe"):
            return None
        index = int(node.name[4:])
        offset = an.target.arch.stack_argument_offset + 8 * index
        return NamedValue(node.name, ct.INT64, StackArgument(offset, context.space is Space.USER))
    return an.unit.context.numbered(int(node.name[3:]))


def _arg(lo: Lowerer, node: n.Identifier) -> Operand:
    from ..codegen.lower_probe import probe_value

    if node.name.startswith("s"):
        offset = lo.target.arch.stack_argument_offset + 8 * int(node.name[4:])
        value: NamedValue | None = NamedValue(
            node.name, ct.INT64, StackArgument(offset, lo.unit.context.space is Space.USER)
        )
    else:
        value = lo.unit.context.numbered(int(node.name[3:]))
    assert value is not None
    return probe_value(lo, value, lo.type(node))


def _retval_infer(an: Analyzer, node: n.Identifier) -> CType:
    value = an.unit.context.retval
    if value is None:
        return an.error(
            node.span, "The retval builtin can only be used with 'kretprobe' and 'uretprobe' and 'fentry' probes"
        )
    return _value_type(an, value)


def _retval(lo: Lowerer, node: n.Identifier) -> Operand:
    from ..codegen.lower_probe import probe_value

    value = lo.unit.context.retval
    assert value is not None
    return probe_value(lo, value, lo.type(node))


def _ctx_infer(an: Analyzer, node: n.Identifier) -> CType:
    found = an.unit.context.type
    if found is None or an.unit.kind in ("begin", "end", "self", "test", "bench"):
        return an.error(node.span, f"The ctx builtin can not be used with '{an.unit.kind}' probes")
    return found


def _ctx(lo: Lowerer, node: n.Identifier) -> Operand:
    return Scalar(lo.b.context(), lo.type(node))


def _reg_infer(an: Analyzer, node: n.Call) -> CType:
    if not an.unit.context.registers:
        return an.error(node.span, f'reg can not be used with "{an.unit.kind}" probes')
    name = str(an.const(node.arguments[0]))
    if name not in an.target.arch.registers:
        return an.error(
            node.arguments[0].span,
            f"'{name}' is not a valid register on this architecture ({an.target.arch.name})",
            hints=did_you_mean(name, an.target.arch.registers),
        )
    return ct.UINT64


def _reg(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_probe import register_value

    return Scalar(register_value(lo, str(lo.const(node.arguments[0]))), ct.UINT64)


def _probetype_infer(an: Analyzer, node: n.Identifier) -> CType:
    kind = "special" if an.unit.kind in ("begin", "end", "self", "test", "bench") else an.unit.kind
    an.set_const(node, kind)
    return ct.String(len(kind) + 1)


register(
    Builtin("probetype", "string", "The kind of the probe.", _probetype_infer, _probe),
    Builtin("probe", "string", "Full name of the probe.", _probe_infer, _probe),
    Builtin("func", "string or symbol", "Name of the traced function.", _func_infer, _func),
    Builtin("args", "record", "The arguments of the traced function or tracepoint.", _args_infer, _args),
    Builtin("argN", "uint64", "Argument N of the traced function, as in its register.", _arg_infer, _arg),
    Builtin("retval", "value", "What the traced function returns.", _retval_infer, _retval),
    Builtin("ctx", "pointer", "The program's context.", _ctx_infer, _ctx),
    Function(
        "reg", "uint64 reg(string name)", "A register of the interrupted code.", ("literal",), 1, _reg_infer, _reg
    ),
)
