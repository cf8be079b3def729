"""Symbols, network addresses and other values that user space turns into text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType, Space
from ..codegen.operand import Deferred, Mem, Operand, Scalar
from ..ir.ops import Value
from .table import Function, constant_only, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

AF_INET, AF_INET6 = 2, 10  # linux/socket.h
NO_BINARY = 0xFFFFFFFF


def _expr(node: n.Call, index: int) -> n.Expr:
    from ..lang import nodes as n

    argument = node.arguments[index]
    assert isinstance(argument, n.Expr)
    return argument


def _gives(t: CType):  # type: ignore[no-untyped-def]
    return lambda an, node: t


def word(t: ct.Opaque):  # type: ignore[no-untyped-def]
    """Lowering of a function whose value is its integer argument, rendered by user space."""

    def lower(lo: Lowerer, node: n.Call) -> Operand:
        value = lo.scalar(_expr(node, 0))

        def into(target: Mem, clean: bool) -> None:
            lo.b.store(target.base, target.offset, 8, value)

        return Deferred(t, into)

    return lower


def binary_index(lo: Lowerer) -> int:
    """The index of the probed file's path in the image's strings; -1 where the probe names none or several."""
    paths = {str(point.attach.params["path"]) for point in lo.unit.points if "path" in point.attach.params}
    return lo.string_index(paths.pop()) if len(paths) == 1 else -1


def user_symbol(lo: Lowerer, address: Value) -> Operand:
    """A user address with the process it belongs to."""
    binary = binary_index(lo)

    def into(target: Mem, clean: bool) -> None:
        lo.b.store(target.base, target.offset, 8, address)
        tgid = lo.b.alu("rsh", lo.task_fact("get_current_pid_tgid"), 32)
        lo.b.store(target.base, target.offset + 8, 4, tgid)
        lo.b.store(target.base, target.offset + 12, 4, binary)

    return Deferred(ct.USYM, into)


def _usym(lo: Lowerer, node: n.Call) -> Operand:
    return user_symbol(lo, lo.scalar(_expr(node, 0)))


def _kaddr(an: Analyzer, node: n.Call) -> CType:
    name = str(an.const(node.arguments[0]))
    address = an.target.ksym(name)
    if address is None:
        return an.error(
            node.span, f"Failed to resolve kernel symbol: {name}", hints=("Symbols are in /proc/kallsyms.",)
        )
    an.set_const(node, address)
    return ct.UINT64


def _uaddr(an: Analyzer, node: n.Call) -> CType:
    name = str(an.const(node.arguments[0]))
    path = next((point.attach.params.get("path") for point in an.unit.points if "path" in point.attach.params), None)
    if path is None:
        return an.error(node.span, f"uaddr can only be used with u(ret)probes and usdt probes, not '{an.unit.kind}'")
    symbol = an.target.binary(str(path)).symbol(name)
    if symbol is None:
        return an.error(node.span, f"Could not resolve symbol: {path}:{name}")
    if not _moves(an, str(path)):
        an.set_const(node, symbol.address)
    elif an.unit.kind != "uprobe" or len(an.unit.points) != 1:
        return an.error(node.span, "uaddr() of a position-independent binary needs a uprobe at one function")
    size = symbol.size if symbol.size in (1, 2, 4, 8) else 8
    return ct.Pointer(ct.Int(size, False), Space.USER)


def _moves(an: Analyzer, path: str) -> bool:
    """Whether the binary is loaded at an address of the system's choice (a shared object or position-independent)."""
    return bool(getattr(an.target.binary(path), "is_position_independent", False))


def _uaddr_moved(lo: Lowerer, node: n.Call) -> Operand:
    """Where the probed instruction was met, minus where the file has it, is by how much the file was moved."""
    from ..codegen.lower_probe import register_value

    place = lo.unit.points[0].attach.params
    binary, offset = lo.target.binary(str(place["path"])), int(place["offset"])
    symbol, around = binary.symbol(str(lo.const(node.arguments[0]))), binary.symbol_at(offset)
    assert symbol is not None
    probed = around.address + offset - around.file_offset if around is not None else offset
    now = register_value(lo, lo.target.arch.instruction_pointer)
    return Scalar(lo.b.alu("add", now, lo.b.const(symbol.address - probed)), lo.type(node))


# -- network ----------------------------------------------------------------------------------------------------


def _ntop_infer(an: Analyzer, node: n.Call) -> CType:
    found = an.unit.types[_expr(node, -1)]
    if isinstance(found, (ct.Int, ct.Pointer)) or (
        isinstance(found, (ct.Array, ct.String)) and found.size in (4, 5, 16, 17)
    ):
        return ct.INET
    return an.error(node.span, f"ntop() expects an integer or array argument, got {found}")


def _ntop(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.memory import copy, zero

    subject = _expr(node, -1)
    t = lo.type(subject)
    operand = lo.lower(subject)
    if isinstance(t, (ct.Array, ct.String)):
        size = 16 if t.size >= 16 else 4
        family: Value = AF_INET6 if size == 16 else AF_INET
    else:
        size, family = 4, AF_INET
    if len(node.arguments) > 1:
        family = lo.scalar(_expr(node, 0))
        size = 16 if isinstance(t, (ct.Array, ct.String)) and t.size >= 16 else size
    value = lo.as_scalar(operand) if t.is_scalar else None

    def into(target: Mem, clean: bool) -> None:
        zero(lo, target, ct.INET.size)
        lo.b.store(target.base, target.offset, 8, family)
        body = target.at(8, ct.Array(ct.UINT8, size))
        if value is not None:
            lo.b.store(body.base, body.offset, 4, value)
        else:
            source = operand if isinstance(operand, Mem) else lo.in_memory(operand)
            copy(lo, body, source, size)

    return Deferred(ct.INET, into)


def _pton_infer(an: Analyzer, node: n.Call) -> CType:
    text = str(an.const(node.arguments[0]))
    try:
        size = len(_address_bytes(text))
    except (OSError, ValueError):
        return an.error(node.span, f"pton() expects a string argument of an IPv4 or IPv6 address, got {text}")
    return ct.Array(ct.UINT8, size)


def _address_bytes(text: str) -> bytes:
    import socket

    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def _pton(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_strings import store_bytes

    data = _address_bytes(str(lo.const(node.arguments[0])))
    return Deferred(ct.Array(ct.UINT8, len(data)), lambda target, clean: store_bytes(lo, target, data))


def _macaddr_infer(an: Analyzer, node: n.Call) -> CType:
    found = an.unit.types[_expr(node, 0)]
    if isinstance(an.const(_expr(node, 0)), str):
        return an.error(node.span, "macaddr() does not support literal string arguments")
    if isinstance(found, (ct.Array, ct.String)) and found.size in (6, 7):
        return ct.MAC
    if isinstance(found, (ct.Pointer, ct.Int)):
        return ct.MAC
    return an.error(node.span, f"macaddr() argument must be 6 bytes in size, got {found}")


def _macaddr(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.memory import copy

    t = lo.type(_expr(node, 0))
    operand = lo.lower(_expr(node, 0))
    if isinstance(t, (ct.Pointer, ct.Int)):
        space = t.space if isinstance(t, ct.Pointer) else lo.unit.context.space
        operand = Mem(lo.reg(lo.as_scalar(operand)), 0, ct.Array(ct.UINT8, 6), space)
    source = operand if isinstance(operand, Mem) else lo.in_memory(operand)
    return Deferred(ct.MAC, lambda target, clean: copy(lo, target, source, 6))


# -- cgroups and paths ------------------------------------------------------------------------------------------


def _cgroupid(an: Analyzer, node: n.Call) -> CType:
    path = str(an.const(node.arguments[0]))
    identifier = an.target.cgroup_id(path)
    if identifier is None:
        return an.error(node.span, f"cgroupid() cannot find the cgroup directory {path}")
    an.set_const(node, identifier)
    return ct.UINT64


def _cgroup_path(lo: Lowerer, node: n.Call) -> Operand:
    value = lo.scalar(_expr(node, 0))
    index: int = lo.string_index(str(lo.const(node.arguments[1]))) if len(node.arguments) > 1 else -1

    def into(target: Mem, clean: bool) -> None:
        lo.b.store(target.base, target.offset, 8, value)
        lo.b.store(target.base, target.offset + 8, 8, index)

    return Deferred(ct.CGROUP_PATH, into)


def _path_infer(an: Analyzer, node: n.Call) -> CType:
    if an.target.has("d_path") is False:
        return an.error(node.span, "path() needs the helper bpf_d_path (Linux 5.10)")
    if an.unit.kind not in ("fentry", "fexit", "iter"):
        return an.error(
            node.span, f"The path function can only be used with 'fentry', 'fexit', 'iter' probes, not '{an.unit.kind}'"
        )
    size = an.int_const(node.arguments[1]) if len(node.arguments) > 1 else None
    return ct.String(size or an.max_strlen)


def _path(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.memory import zero

    t = lo.type(node)
    subject = _expr(node, 0)
    operand = lo.lower(subject)
    address = (
        lo.as_scalar(operand)
        if isinstance(lo.type(subject), ct.Pointer)
        else (lo.pointer(operand) if isinstance(operand, Mem) else lo.as_scalar(operand))
    )

    def into(target: Mem, clean: bool) -> None:
        if clean:
            zero(lo, target, t.size)
        lo.b.store(target.base, target.offset, 1, 0)
        lo.b.call("d_path", address, lo.pointer(target), t.size)

    return Deferred(t, into)


register(
    Function(
        "ksym", "ksym_t ksym(uint64 addr)", "Name of a kernel address.", ("int",), 1, _gives(ct.KSYM), word(ct.KSYM)
    ),
    Function("usym", "usym_t usym(uint64 addr)", "Name of a user address.", ("int",), 1, _gives(ct.USYM), _usym),
    Function(
        "kaddr", "uint64 kaddr(string name)", "Address of a kernel symbol.", ("literal",), 1, _kaddr, constant_only
    ),
    Function(
        "uaddr",
        "uint64 *uaddr(string name)",
        "Address of a symbol of the traced binary.",
        ("literal",),
        1,
        _uaddr,
        _uaddr_moved,
    ),
    Function("ntop", "inet ntop([int af, ] addr)", "A network address as text.", ("any", "any"), 1, _ntop_infer, _ntop),
    Function("pton", "uint8[] pton(string addr)", "A network address as bytes.", ("literal",), 1, _pton_infer, _pton),
    Function(
        "macaddr", "mac_address macaddr(char[6] mac)", "A MAC address as text.", ("any",), 1, _macaddr_infer, _macaddr
    ),
    Function(
        "cgroupid",
        "uint64 cgroupid(string path)",
        "Id of a cgroup v2 directory.",
        ("literal",),
        1,
        _cgroupid,
        constant_only,
    ),
    Function(
        "cgroup_path",
        "cgroup_path_t cgroup_path(int cgroupid [, string filter])",
        "Path of a cgroup id.",
        ("int", "literal"),
        1,
        _gives(ct.CGROUP_PATH),
        _cgroup_path,
    ),
    Function(
        "path",
        "string path(struct path *path [, int32 size])",
        "Full path of a struct path.",
        ("any", "number"),
        1,
        _path_infer,
        _path,
    ),
    Function(
        "strerror",
        "strerror_t strerror(int error)",
        "Text of an errno value.",
        ("int",),
        1,
        _gives(ct.STRERROR),
        word(ct.STRERROR),
    ),
)
