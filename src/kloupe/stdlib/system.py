"""Functions that change or describe the system: signal, override, kptr, uptr, syscall_name, getopt and their kin."""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING, Any

from ..base import ctype as ct
from ..base.ctype import CType, Space
from ..base.errors import UsageError
from ..codegen.operand import Operand, Scalar
from .symbols import word
from .table import Function, constant_only, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

SYSCALL_NAME = ct.Opaque("syscall_name_t", 8)
SIGNAL_NAME = ct.Opaque("signal_name_t", 8)
_SIGNAL_KINDS = (
    "kprobe",
    "kretprobe",
    "uprobe",
    "uretprobe",
    "usdt",
    "tracepoint",
    "rawtracepoint",
    "profile",
    "fentry",
    "fexit",
    "software",
    "hardware",
    "watchpoint",
)


def _expr(node: n.Call, index: int) -> n.Expr:
    from ..lang import nodes as n

    argument = node.arguments[index]
    assert isinstance(argument, n.Expr)
    return argument


def signal_number(text: str) -> int | None:
    """The number of a signal by name, with or without SIG."""
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    try:
        return int(signals.Signals[name])
    except KeyError:
        return int(text) if text.isdecimal() and 0 < int(text) < 65 else None


def _signal_infer(an: Analyzer, node: n.Call) -> CType:
    argument = _expr(node, 0)
    known = an.const(argument)
    if an.unit.kind not in _SIGNAL_KINDS:
        return an.error(node.span, f"{node.name}() can not be used for this probetype {an.unit.kind}")
    if isinstance(known, str) and signal_number(known) is None:
        return an.error(argument.span, f"{known} is not a valid signal")
    if isinstance(known, int) and not 0 < known < 65:
        return an.error(argument.span, f"{known} is not a valid signal, allowed range: [1,64]")
    return ct.VOID


def _signal(helper: str):  # type: ignore[no-untyped-def]
    def lower(lo: Lowerer, node: n.Call) -> Operand:
        known = lo.const(node.arguments[0])
        number = signal_number(known) if isinstance(known, str) else None
        lo.b.call(helper, number if number is not None else lo.scalar(_expr(node, 0)))
        return lo.nothing()

    return lower


def _override_infer(an: Analyzer, node: n.Call) -> CType:
    if an.unit.kind not in ("kprobe", "kretprobe"):
        return an.error(node.span, f"The override function can only be used with 'kprobe' probes, not '{an.unit.kind}'")
    return ct.VOID


def _override(lo: Lowerer, node: n.Call) -> Operand:
    lo.b.call("override_return", lo.b.context(), lo.scalar(_expr(node, 0)))
    return lo.nothing()


def _space_infer(space: Space):  # type: ignore[no-untyped-def]
    def infer(an: Analyzer, node: n.Call) -> CType:
        found = an.unit.types[_expr(node, 0)]
        if isinstance(found, ct.Pointer):
            return ct.Pointer(found.target, space)
        if isinstance(found, ct.Int):
            return ct.Pointer(ct.UINT64, space) if found.size == 8 else found
        return an.error(node.span, f"{node.name}() only supports int and pointer arguments ({found} provided)")

    return infer


def _space(lo: Lowerer, node: n.Call) -> Operand:
    return Scalar(lo.scalar(_expr(node, 0)), lo.type(node))


def _getopt_infer(an: Analyzer, node: n.Call) -> CType:
    from ..sema.rules_basic import param_value

    name = str(an.const(node.arguments[0]))
    default = an.const(node.arguments[1]) if len(node.arguments) > 1 else False
    an.analysis.named[name] = str(an.const(node.arguments[2])) if len(node.arguments) > 2 else ""
    given = dict(an.options.named)
    value: int | bool | str | None = default
    if name in given:
        text = given[name]
        if isinstance(default, bool):
            words = {"true": True, "1": True, "false": False, "0": False, None: True}
            word = text.lower() if text is not None else None
            if word not in words:
                raise UsageError(
                    f"program command line option --{name} expects a boolean (e.g. 'true') (value: {text})"
                )
            value = words[word]
        elif isinstance(default, str):
            value = text or ""
        else:
            number = param_value(text or "")
            if isinstance(number, str):
                problem = "expects an integer (value: true)" if text is None else f"invalid integer (value: {text})"
                raise UsageError(f"program command line option --{name} {problem}")
            value = number & ((1 << 64) - 1) if number < 0 <= int(default or 0) else number
    if value is None:
        return an.error(node.span, "getopt() needs a literal as its default")
    an.set_const(node, value)
    if isinstance(value, bool):
        return ct.BOOL
    if isinstance(value, str):
        return ct.String(len(value.encode("utf-8", "surrogateescape")) + 1)
    return ct.INT64 if value < 1 << 63 else ct.UINT64


def _fail_infer(an: Analyzer, node: n.Call) -> CType:
    text = str(an.const(node.arguments[0]))
    values = [an.const(argument) for argument in node.arguments[1:]]
    if all(value is not None for value in values):
        from ..base.format import Conversion, parse_format

        rest = iter(values)
        text = "".join(str(next(rest, "")) if isinstance(piece, Conversion) else piece for piece in parse_format(text))
    an.error(node.span, text)
    return ct.VOID


def _nothing(lo: Lowerer, node: n.Call) -> Operand:
    return lo.nothing()


def _assert_infer(an: Analyzer, node: n.Call) -> CType:
    from ..sema.rules_ops import require_condition

    require_condition(an, _expr(node, 0))
    return ct.VOID


def _assert(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.lower_events import emit_event, emit_exit, settle
    from ..codegen.lower_expr import condition

    fine, failed = lo.b.block(), lo.b.block()
    condition(lo, _expr(node, 0), fine, failed)
    lo.b.start(failed)
    message = settle(lo, lo.lower(_expr(node, 1)))
    emit_event(lo, lo.event("errorf", [message.type], node.span, format="assert failed: %s"), [message])
    emit_exit(lo, Scalar(1, ct.INT64), node.span)
    lo.leave()
    lo.b.start(fine)
    return lo.nothing()


def _bswap_infer(an: Analyzer, node: n.Call) -> CType:
    found = an.unit.types[_expr(node, 0)]
    if isinstance(found, ct.Int):
        value = an.int_const(_expr(node, 0))
        if value is not None:
            an.set_const(
                node, int.from_bytes((value & ((1 << 8 * found.size) - 1)).to_bytes(found.size, "little"), "big")
            )
        return ct.Int(found.size, False)
    return ct.UINT64


def _bswap(lo: Lowerer, node: n.Call) -> Operand:
    t = lo.type(node)
    value = lo.reg(lo.scalar(_expr(node, 0)))
    return Scalar(value if t.size == 1 else lo.b.byte_swap(value, 8 * t.size), t)


def _type_test(test: Any) -> Any:
    def infer(an: Analyzer, node: n.Call) -> CType:
        from ..sema.typenames import type_of_operand

        found = type_of_operand(an, node.arguments[0])
        an.set_const(node, bool(found is not None and test(an, node.arguments[0], found)))
        return ct.BOOL

    return infer


_TESTS = {
    "is_integer": lambda an, node, t: isinstance(t, ct.Int),
    "is_unsigned_integer": lambda an, node, t: isinstance(t, ct.Int) and not t.signed,
    "is_str": lambda an, node, t: isinstance(t, ct.String),
    "is_ptr": lambda an, node, t: isinstance(t, ct.Pointer),
    "is_array": lambda an, node, t: isinstance(t, ct.Array),
    "is_literal": lambda an, node, t: an.const(node) is not None,
}

register(
    Function(
        "signal",
        "void signal(int | string signal)",
        "Send a signal to the current process.",
        ("any",),
        1,
        _signal_infer,
        _signal("send_signal"),
        unsafe=True,
    ),
    Function(
        "signal_thread",
        "void signal_thread(int | string signal)",
        "Send a signal to the current thread.",
        ("any",),
        1,
        _signal_infer,
        _signal("send_signal_thread"),
        unsafe=True,
    ),
    Function(
        "override",
        "void override(uint64 value)",
        "Make the probed function return at once.",
        ("int",),
        1,
        _override_infer,
        _override,
        unsafe=True,
    ),
    Function(
        "kptr", "T * kptr(T *pointer)", "A pointer into kernel memory.", ("any",), 1, _space_infer(Space.KERNEL), _space
    ),
    Function(
        "uptr", "T * uptr(T *pointer)", "A pointer into user memory.", ("any",), 1, _space_infer(Space.USER), _space
    ),
    Function(
        "syscall_name",
        "string syscall_name(int nr)",
        "Name of a system call.",
        ("int",),
        1,
        lambda an, node: SYSCALL_NAME,
        word(SYSCALL_NAME),
    ),
    Function(
        "signal_name",
        "string signal_name(int nr)",
        "Description of a signal.",
        ("int",),
        1,
        lambda an, node: SIGNAL_NAME,
        word(SIGNAL_NAME),
    ),
    Function(
        "getopt",
        "getopt(string name [, default [, string description]])",
        "A named parameter of the script.",
        ("literal", "any", "literal"),
        1,
        _getopt_infer,
        constant_only,
    ),
    Function(
        "fail",
        "void fail(string format, ...)",
        "Stop the compilation with a message.",
        ("literal", "rest any"),
        1,
        _fail_infer,
        _nothing,
    ),
    Function(
        "assert",
        "void assert(bool condition, string message)",
        "End the session with an error when false.",
        ("any", "string"),
        2,
        _assert_infer,
        _assert,
    ),
    Function(
        "bswap", "uint bswap(uint n)", "The bytes of an integer in reverse order.", ("int",), 1, _bswap_infer, _bswap
    ),
    *(
        Function(
            name,
            f"bool {name}(expr)",
            "A test of an expression's type.",
            ("lazy",),
            1,
            _type_test(test),
            constant_only,
        )
        for name, test in _TESTS.items()
    ),
)
