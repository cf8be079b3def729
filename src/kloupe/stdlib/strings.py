"""Strings and buffers: str, buf, strncmp, strcontains, strlen, strstr, strcap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType, Space
from ..codegen.operand import Deferred, Mem, Operand, Scalar
from ..ir.ops import Reg, Value
from .table import Function, constant_only, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer


def _expr(node: n.Call, index: int) -> n.Expr:
    from ..lang import nodes as n

    argument = node.arguments[index]
    assert isinstance(argument, n.Expr)
    return argument


def _bytes(text: str) -> bytes:
    """The bytes of a constant: what programs count in."""
    return text.encode("utf-8", "surrogateescape")


def _first(text: str, count: int | None) -> str:
    """The first `count` bytes of a constant."""
    return _bytes(text)[:count].decode("utf-8", "surrogateescape")


# -- str --------------------------------------------------------------------------------------------------------


def _str_infer(an: Analyzer, node: n.Call) -> CType:
    from ..lang import nodes as n

    source = _expr(node, 0)
    found = an.unit.types[source]
    known = an.const(source)
    bounded = len(node.arguments) < 2 or an.int_const(node.arguments[1]) is not None
    if bounded and (isinstance(known, str) or (isinstance(known, int) and _is_parameter(source))):
        text = str(known) if not isinstance(source, n.PositionalParam) else _parameter_text(an, source)
        limit = an.int_const(node.arguments[1]) if len(node.arguments) > 1 else None
        if limit is not None and limit < 0:
            return an.error(node.span, f"str() cannot use negative length ({limit})")
        text = _first(text, limit)
        an.set_const(node, text)
        return ct.String(len(_bytes(text)) + 1)
    if not isinstance(found, (ct.Pointer, ct.Int, ct.String, ct.Array)):
        return an.error(source.span, f"str() expects an integer or a pointer type as first argument ({found} provided)")
    if len(node.arguments) > 1:
        limit = an.int_const(node.arguments[1])
        if limit is not None:
            if limit < 0:
                return an.error(node.arguments[1].span, f"str() cannot use negative length ({limit})")
            if limit > an.max_strlen:
                an.warning(
                    node.arguments[1].span,
                    f"length param ({limit}) is too long and will be shortened to {an.max_strlen} bytes "
                    "(see BPFTRACE_MAX_STRLEN)",
                )
                limit = an.max_strlen
            return ct.String(max(1, limit))
        return ct.String(an.max_strlen)
    if isinstance(found, ct.Array) and found.count > 0:
        return ct.String(found.size + 1)
    return ct.String(an.max_strlen + len(str(an.analysis.config["str_trunc_trailer"])) + 1)


def _is_parameter(node: n.Expr) -> bool:
    from ..lang import nodes as n

    return isinstance(node, n.PositionalParam) or (isinstance(node, n.Binary) and _is_parameter(node.left))


def _parameter_text(an: Analyzer, node: n.PositionalParam) -> str:
    """A parameter as it was given, also when it reads as a number; "" for a missing one."""
    params = an.options.params
    return params[node.index - 1] if 0 < node.index <= len(params) else ""


def _source(lo: Lowerer, node: n.Expr) -> tuple[Value, Space]:
    """Address and space of what str() or buf() reads."""
    t = lo.type(node)
    operand = lo.lower(node)
    if isinstance(operand, Mem) and not t.is_scalar:
        return lo.pointer(operand), operand.space
    if isinstance(operand, Deferred):
        return lo.pointer(lo.in_memory(operand)), Space.BPF
    space = t.space if isinstance(t, ct.Pointer) else lo.unit.context.space
    return lo.as_scalar(operand), space


def _str(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.memory import read_string, zero

    t = lo.type(node)
    assert isinstance(t, ct.String)
    source, space = _source(lo, _expr(node, 0))
    explicit = len(node.arguments) > 1
    size: Value = t.size
    if explicit and lo.const(node.arguments[1]) is None:
        size = capped(lo, lo.reg(lo.scalar(_expr(node, 1))), t.size)
    trailer = str(lo.analysis.config["str_trunc_trailer"])
    limit = int(lo.analysis.config["max_strlen"])

    def into(target: Mem, clean: bool) -> None:
        if clean:
            zero(lo, target, target.type.size)
        else:
            lo.b.store(target.base, target.offset, 1, 0)
        wanted = size if isinstance(size, Reg) else min(t.size, target.type.size)
        if explicit or not trailer or t.size <= limit or target.type.size < t.size:
            read_string(lo, target, wanted, source, space)
            return
        length = read_string(lo, target, limit + 2, source, space)
        with lo.when("sgt", length, limit + 1):
            _store_trailer(lo, target, limit, trailer)

    return Deferred(t, into)


def _store_trailer(lo: Lowerer, target: Mem, at: int, trailer: str) -> None:
    for index, byte in enumerate(trailer.encode() + b"\0"):
        lo.b.store(target.base, target.offset + at + index, 1, byte)


def capped(lo: Lowerer, value: Reg, limit: int) -> Reg:
    """The value, at most `limit`, so that the verifier sees the bound."""
    result = lo.b.reg()
    lo.b.move(result, value)
    with lo.when("gt", result, limit):
        lo.b.move(result, limit)
    return result


# -- buf --------------------------------------------------------------------------------------------------------


def _buf_infer(an: Analyzer, node: n.Call) -> CType:
    source = _expr(node, 0)
    found = an.unit.types[source]
    if not isinstance(found, (ct.Pointer, ct.Int, ct.String, ct.Array, ct.Buffer)):
        return an.error(source.span, f"buf() only supports int, string, array or pointer arguments ({found} provided)")
    length = an.int_const(node.arguments[1]) if len(node.arguments) > 1 else None
    if length is None and len(node.arguments) == 1:
        if isinstance(found, ct.Array):
            length = found.size
        else:
            return an.error(node.span, "buf() expects a length argument for this type")
    capacity = an.max_strlen if length is None else length
    if capacity < 0:
        return an.error(node.span, "buf() cannot use negative length")
    held = _bytes_held(source, found)
    if held is not None:
        capacity = min(capacity, held)
    if capacity > an.max_strlen:
        an.warning(
            node.span,
            f"buf() length is too long and will be shortened to {an.max_strlen} bytes (see BPFTRACE_MAX_STRLEN)",
        )
        capacity = an.max_strlen
    return ct.Buffer(capacity)


def _bytes_held(source: n.Expr, t: CType) -> int | None:
    """How many bytes there are to read of a value that is no pointer; None for what is an address."""
    from ..codegen.lower_strings import text_bytes
    from ..lang import nodes as n

    if isinstance(source, n.StringLiteral):
        return len(text_bytes(source.value)) + 1  # all of it: a buffer does not end at a NUL
    return t.size if isinstance(t, (ct.String, ct.Array)) and t.size else None


def _buf_source(lo: Lowerer, source: n.Expr) -> tuple[Value, Space]:
    from ..codegen.lower_strings import literal
    from ..lang import nodes as n

    if isinstance(source, n.StringLiteral):
        return lo.pointer(lo.in_memory(literal(lo, source.value))), Space.BPF
    return _source(lo, source)


def _buf(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.memory import check_read, zero

    t = lo.type(node)
    assert isinstance(t, ct.Buffer)
    source, space = _buf_source(lo, _expr(node, 0))
    length: Value = t.capacity
    if len(node.arguments) > 1 and lo.const(node.arguments[1]) is None:
        length = capped(lo, lo.reg(lo.scalar(_expr(node, 1))), t.capacity)
    helper = "probe_read_user" if space is Space.USER else "probe_read_kernel"

    def into(target: Mem, clean: bool) -> None:
        if clean:
            zero(lo, target, t.size)
        lo.b.store(target.base, target.offset, 4, length)
        data = target.at(4, ct.NONE)
        check_read(lo, lo.b.call(helper, lo.pointer(data), length, source), helper)

    return Deferred(t, into)


# -- comparing and searching ------------------------------------------------------------------------------------


def in_bpf(lo: Lowerer, node: n.Expr, name: str = "") -> Mem:
    """A value's bytes in frame memory that callbacks can see too."""
    from ..codegen.memory import store

    operand = lo.lower(node)
    t = operand.type
    slot = lo.b.slot(max(8, t.size), 8, captured=True, name=name)
    place = Mem(slot, 0, t, Space.BPF)
    store(lo, place, operand)
    return place


def _strncmp_infer(an: Analyzer, node: n.Call) -> CType:
    count = an.int_const(node.arguments[2])
    if count is not None and count < 0:
        return an.error(node.arguments[2].span, "Builtin strncmp requires a non-negative literal")
    a, b = an.const(node.arguments[0]), an.const(node.arguments[1])
    if isinstance(a, str) and isinstance(b, str) and count is not None:
        an.set_const(node, int(_first(a, count) != _first(b, count)))
    return ct.UINT64


def _prefix_equal(lo: Lowerer, a: Mem, b: Mem, count: int, same: object, different: object) -> None:
    """Branch on the equality of the first `count` characters (both ending at the same place counts as equal)."""
    from ..codegen.lower_strings import compare_memory
    from ..ir.ops import Block

    assert isinstance(same, Block) and isinstance(different, Block)
    bounded = min(count, a.type.size, b.type.size)
    if bounded < count:
        compare_memory(lo, a, b, same, different)
        return
    x, y = (Mem(m.base, m.offset, ct.Array(ct.UINT8, bounded), m.space) for m in (a, b))
    compare_memory(lo, x, y, same, different)


def _strncmp(lo: Lowerer, node: n.Call) -> Operand:
    count = lo.const(node.arguments[2])
    assert isinstance(count, int)
    a, b = lo.in_memory(lo.lower(_expr(node, 0))), lo.in_memory(lo.lower(_expr(node, 1)))
    result = lo.b.const(0)
    if count == 0:
        return Scalar(result, ct.UINT64)
    different, after = lo.b.block(), lo.b.block()
    _prefix_equal(lo, a, b, count, after, different)
    lo.b.start(different)
    lo.b.move(result, 1)
    lo.b.jump(after)
    lo.b.start(after)
    return Scalar(result, ct.UINT64)


def _strlen_infer(an: Analyzer, node: n.Call) -> CType:
    known = an.const(_expr(node, 0))
    if isinstance(known, str):
        an.set_const(node, len(_bytes(known)))
    found = an.unit.types[_expr(node, 0)]
    if not isinstance(found, (ct.String, ct.Pointer, ct.Array)):
        return an.error(node.span, "string-like values must be either strings, arrays or pointers")
    return ct.UINT64


def _strlen(lo: Lowerer, node: n.Call) -> Operand:
    """bpf_probe_read_*_str() returns the length with the terminator."""
    from ..codegen.memory import read_string

    t = lo.type(_expr(node, 0))
    size = t.size if isinstance(t, (ct.String, ct.Array)) else int(lo.analysis.config["max_strlen"]) + 1
    source, space = _source(lo, _expr(node, 0))
    place = lo.temporary(ct.String(size + (1 if isinstance(t, ct.Array) else 0)))
    length = read_string(lo, place, place.type.size, source, space)
    result = lo.b.const(0)
    with lo.when("sgt", length, 0):
        lo.b.move(result, lo.b.alu("sub", length, 1))
    return Scalar(result, ct.UINT64)


def require_text(an: Analyzer, node: n.Node) -> bool:
    """Report what is neither a string nor memory that may hold one."""
    if isinstance(an.unit.types[node], (ct.String, ct.Array, ct.Pointer)):
        return True
    an.error(node.span, "string-like values must be either strings, arrays or pointers")
    return False


def _search_infer(result: CType):  # type: ignore[no-untyped-def]
    def infer(an: Analyzer, node: n.Call) -> CType:
        a, b = an.const(_expr(node, 0)), an.const(_expr(node, 1))
        if not require_text(an, _expr(node, 0)) or not require_text(an, _expr(node, 1)):
            return ct.NONE
        if isinstance(a, str) and isinstance(b, str):
            at = _bytes(a).find(_bytes(b))
            an.set_const(node, at >= 0 if isinstance(result, ct.Bool) else at if at >= 0 else NOT_FOUND)
        return result

    return infer


NOT_FOUND = -2  # what bpftrace's strstr gives (-ENOENT)


def as_string(lo: Lowerer, node: n.Expr, name: str) -> Mem:
    """What is like a string as a string in frame memory that callbacks can see too."""
    t = lo.type(node)
    if isinstance(t, ct.String):
        return in_bpf(lo, node, name)
    from ..codegen.memory import read_string, zero

    size = t.size + 1 if isinstance(t, ct.Array) else int(lo.analysis.config["max_strlen"]) + 1
    source, space = _source(lo, node)
    place = Mem(lo.b.slot(size, 8, captured=True, name=name), 0, ct.String(size), Space.BPF)
    zero(lo, place, size)
    read_string(lo, place, size, source, space)
    return place


def _find(lo: Lowerer, node: n.Call) -> Reg:
    """The position of the needle in the haystack or NOT_FOUND: a loop over positions whose body compares bytes."""
    haystack = as_string(lo, _expr(node, 0), "haystack")
    needle = as_string(lo, _expr(node, 1), "needle")
    result = lo.b.slot(8, 8, captured=True, name="found")
    lo.b.store(result, 0, 8, NOT_FOUND)
    with lo.b.callback("search", 2, 1) as function:
        _search_step(lo, haystack, needle, result)
    lo.b.call("loop", haystack.type.size, lo.b.function_ref(function), lo.b.captures(), 0)
    return lo.b.load(result, 0, 8)


def _search_step(lo: Lowerer, haystack: Mem, needle: Mem, result: object) -> None:
    from ..ir.ops import Slot

    assert isinstance(result, Slot)
    start = lo.b.extend(lo.b.parameter(0), 4, False)
    index, position = lo.b.const(0), lo.b.reg()
    hay, pin = lo.pointer(haystack), lo.pointer(needle)
    head, body, inside, check, step, found, miss, out = (lo.b.block() for _ in range(8))
    lo.b.jump(head)
    lo.b.start(head)
    lo.b.branch("lt", index, needle.type.size, body, found)
    lo.b.start(body)
    wanted = lo.b.load(lo.b.alu("add", pin, index), 0, 1)
    lo.b.branch("eq", wanted, 0, found, inside)
    lo.b.start(inside)
    lo.b.move(position, lo.b.alu("add", start, index))
    lo.b.branch("lt", position, haystack.type.size, check, miss)
    lo.b.start(check)
    lo.b.branch("eq", lo.b.load(lo.b.alu("add", hay, position), 0, 1), wanted, step, miss)
    lo.b.start(step)
    lo.b.move(index, lo.b.alu("add", index, 1))
    lo.b.jump(head)
    lo.b.start(found)
    lo.b.store(result, 0, 8, start)
    lo.b.exit(1)
    lo.b.start(miss)
    lo.b.branch("lt", start, haystack.type.size, out, out)
    lo.b.start(out)
    lo.b.exit(0)


def _strstr(lo: Lowerer, node: n.Call) -> Operand:
    return Scalar(_find(lo, node), ct.INT64)


def _strcontains(lo: Lowerer, node: n.Call) -> Operand:
    result = lo.b.const(0)
    with lo.when("sge", _find(lo, node), 0):
        lo.b.move(result, 1)
    return Scalar(result, ct.BOOL)


def _strcap_infer(an: Analyzer, node: n.Call) -> CType:
    found = an.unit.types[_expr(node, 0)]
    if isinstance(found, (ct.String, ct.Array)):
        an.set_const(node, found.size)
        return ct.INT64
    return an.error(node.span, "string-like values must be either strings, arrays or pointers")


register(
    Function(
        "str",
        "string str(char *data [, uint64 length])",
        "A string read from memory.",
        ("any", "int"),
        1,
        _str_infer,
        _str,
    ),
    Function(
        "buf", "buffer buf(void *data [, int64 length])", "Bytes read from memory.", ("any", "int"), 1, _buf_infer, _buf
    ),
    Function(
        "strncmp",
        "uint64 strncmp(string a, string b, int n)",
        "0 when the first n characters are equal.",
        ("string", "string", "number"),
        3,
        _strncmp_infer,
        _strncmp,
    ),
    Function("strlen", "uint64 strlen(string s)", "Length of a string.", ("any",), 1, _strlen_infer, _strlen),
    Function("strcap", "int64 strcap(string s)", "Capacity of a string.", ("any",), 1, _strcap_infer, constant_only),
    Function(
        "strcontains",
        "bool strcontains(string haystack, string needle)",
        "Whether needle occurs in haystack.",
        ("any", "any"),
        2,
        _search_infer(ct.BOOL),
        _strcontains,
    ),
    Function(
        "strstr",
        "int64 strstr(string haystack, string needle)",
        "Position of needle in haystack.",
        ("any", "any"),
        2,
        _search_infer(ct.INT64),
        _strstr,
    ),
)
