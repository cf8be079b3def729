"""Functions that reach into the kernel: debugf, write_user, percpu_kaddr, socket_cookie, kfunc_exist, kfunc_allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType, Space
from ..codegen.operand import Mem, Operand, Scalar
from .table import Function, constant_only, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

PRINTK_ARGUMENTS = 3  # bpf_trace_printk() takes five arguments, two of them the format and its size
PER_CPU_OFFSETS = "__per_cpu_offset"  # unsigned long __per_cpu_offset[NR_CPUS], include/asm-generic/percpu.h


def _expr(node: n.Call, index: int) -> n.Expr:
    from ..lang import nodes as n

    argument = node.arguments[index]
    assert isinstance(argument, n.Expr)
    return argument


# -- debugf -----------------------------------------------------------------------------------------------------


def _debugf_infer(an: Analyzer, node: n.Call) -> CType:
    from .printing import check_format

    an.warning(
        node.span,
        "The debugf() builtin is not recommended for production use. For more information see bpf_trace_printk in "
        "bpf-helpers(7).",
    )
    given = len(node.arguments) - 1
    if given > PRINTK_ARGUMENTS:
        return an.error(node.span, f"cannot use more than {PRINTK_ARGUMENTS} conversion specifiers")
    return check_format(an, node)


def _debugf(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_strings import literal

    text = str(lo.const(node.arguments[0]))
    format = lo.in_memory(literal(lo, text))
    values = []
    for index in range(1, len(node.arguments)):
        operand = lo.lower(_expr(node, index))
        values.append(lo.as_scalar(operand) if operand.type.is_scalar else lo.pointer(lo.in_memory(operand)))
    lo.b.call("trace_printk", lo.pointer(format), format.type.size, *values)
    return lo.nothing()


# -- write_user -------------------------------------------------------------------------------------------------


def _write_user_infer(an: Analyzer, node: n.Call) -> CType:
    target = an.unit.types[_expr(node, 0)]
    if not isinstance(target, (ct.Pointer, ct.Int)):
        return an.error(node.span, f"write_user() expects a pointer as first argument ({target} provided)")
    return ct.BOOL


def _write_user(lo: Lowerer, node: n.Call) -> Operand:
    from .strings import capped

    target = lo.scalar(_expr(node, 0))
    source = lo.lower(_expr(node, 1))
    if source.type.is_scalar and not isinstance(source.type, ct.Pointer):
        source = lo.in_memory(source)
    if isinstance(source.type, ct.Pointer):
        place = Mem(lo.reg(lo.as_scalar(source)), 0, ct.Array(ct.UINT8, 0), source.type.space)
    else:
        place = lo.in_memory(source)
    size = lo.scalar(_expr(node, 2))
    limit = place.type.size or int(lo.analysis.config["max_strlen"])
    if place.space is not Space.BPF:
        copied = lo.temporary(ct.Array(ct.UINT8, limit))
        size = capped(lo, lo.reg(size), limit)
        lo.b.call(f"probe_read_{place.space.value}", lo.pointer(copied), size, lo.pointer(place))
        place = copied
    else:
        size = min(size, limit) if isinstance(size, int) else capped(lo, size, limit)
    status = lo.b.call("probe_write_user", target, lo.pointer(place), size)
    result = lo.b.const(0)
    with lo.when("eq", status, 0):
        lo.b.move(result, 1)
    return Scalar(result, ct.BOOL)


# -- percpu_kaddr, socket_cookie, kfunc_exist --------------------------------------------------------------------


def _percpu_infer(an: Analyzer, node: n.Call) -> CType:
    name = str(an.const(node.arguments[0]))
    for symbol in (name, PER_CPU_OFFSETS):
        if an.target.ksym(symbol) is None:
            return an.error(node.span, f"Failed to resolve kernel symbol: {symbol}")
    return ct.Pointer(ct.UINT64, Space.KERNEL)


def _percpu(lo: Lowerer, node: n.Call) -> Operand:
    """The variable's address on a CPU (the current one without an argument); null for a CPU that there is not."""
    from ..codegen.memory import load_scalar

    base = lo.target.ksym(str(lo.const(node.arguments[0])))
    offsets = lo.target.ksym(PER_CPU_OFFSETS)
    assert base is not None and offsets is not None
    wanted = lo.scalar(_expr(node, 1)) if len(node.arguments) > 1 else lo.b.call("get_smp_processor_id")
    cpu, result = lo.reg(wanted), lo.b.const(0)
    with lo.when("lt", cpu, lo.target.cpu_count):
        slot = lo.b.alu("add", lo.b.const(offsets), lo.b.alu("lsh", cpu, 3))
        offset = load_scalar(lo, Mem(slot, 0, ct.UINT64, Space.KERNEL))
        lo.b.move(result, lo.b.alu("add", lo.b.const(base), offset))
    return Scalar(result, lo.type(node))


def _cookie_infer(an: Analyzer, node: n.Call) -> CType:
    found = an.unit.types[_expr(node, 0)]
    kinds = ("fentry", "fexit", "rawtracepoint")
    if an.unit.kind not in kinds:
        return an.error(
            node.span,
            f"The socket_cookie function can only be used with 'fentry', 'fexit', 'rawtracepoint' probes, not '{an.unit.kind}'",
        )
    if not isinstance(found, ct.Pointer) or str(found.target) != "struct sock":
        return an.error(node.span, f"socket_cookie() only supports 'struct sock *' as the argument ({found} provided)")
    return ct.UINT64


def _cookie(lo: Lowerer, node: n.Call) -> Operand:
    return Scalar(lo.b.call("get_socket_cookie", lo.scalar(_expr(node, 0))), ct.UINT64)


def _kfunc_exist(an: Analyzer, node: n.Call) -> CType:
    an.set_const(node, an.target.has(f"kfunc:{an.const(node.arguments[0])}") is True)
    return ct.BOOL


def _kfunc_allowed(an: Analyzer, node: n.Call) -> CType:
    kind = an.unit.points[0].program_type
    an.set_const(node, an.target.has(f"kfunc_allowed:{kind}:{an.const(node.arguments[0])}") is True)
    return ct.BOOL


register(
    Function(
        "debugf",
        "void debugf(string format, ...)",
        "Print to the kernel's trace log, for finding faults.",
        ("literal", "rest any"),
        1,
        _debugf_infer,
        _debugf,
    ),
    Function(
        "write_user",
        "bool write_user(void *target, void *source, uint32 length)",
        "Write into the traced process's memory.",
        ("any", "any", "int"),
        3,
        _write_user_infer,
        _write_user,
        unsafe=True,
    ),
    Function(
        "percpu_kaddr",
        "uint64 *percpu_kaddr(string name [, int cpu])",
        "Address of a kernel variable that each CPU has its own of.",
        ("literal", "int"),
        1,
        _percpu_infer,
        _percpu,
    ),
    Function(
        "socket_cookie",
        "uint64 socket_cookie(struct sock *socket)",
        "The kernel's number for a socket.",
        ("any",),
        1,
        _cookie_infer,
        _cookie,
    ),
    Function(
        "kfunc_allowed",
        "bool kfunc_allowed(string name)",
        "Whether the probe's programs may call a kernel function.",
        ("literal",),
        1,
        _kfunc_allowed,
        constant_only,
    ),
    Function(
        "kfunc_exist",
        "bool kfunc_exist(string name)",
        "Whether the kernel has a function that programs may call.",
        ("literal",),
        1,
        _kfunc_exist,
        constant_only,
    ),
)
