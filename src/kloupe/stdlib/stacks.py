"""Stacks: kstack and ustack with modes and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType
from ..codegen.operand import Deferred, Mem, Operand
from ..image import MapSpec
from .table import Builtin, Function, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..ir.ops import Reg
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

DEFAULT_LIMIT, MAX_LIMIT = 127, 1024  # frames; kernel.perf_event_max_stack defaults to 127
STACK_BUCKETS = 16384
BPF_F_STACK_BUILD_ID = 1 << 5  # of the map; linux/bpf.h
BPF_F_USER_STACK = 1 << 8  # of the helper
MODES = ("bpftrace", "perf", "raw", "build_id")
NO_BINARY = (1 << 64) - 1


def stack_map(user: bool, limit: int, mode: str) -> MapSpec:
    """The stack-trace map of stacks with this many frames; build ids take 32 bytes a frame (struct bpf_stack_build_id)."""
    if user and mode == "build_id":
        return MapSpec(f".ustack_build_id_{limit}", "stack_trace", 4, 32 * limit, STACK_BUCKETS, BPF_F_STACK_BUILD_ID)
    return MapSpec(f".{'u' if user else 'k'}stack_{limit}", "stack_trace", 4, 8 * limit, STACK_BUCKETS)


def _default(an: Analyzer, user: bool) -> ct.Stack:
    return ct.Stack(user, str(an.analysis.config["stack_mode"]), DEFAULT_LIMIT)


def _infer_call(user: bool):  # type: ignore[no-untyped-def]
    def infer(an: Analyzer, node: n.Call) -> CType:
        from ..lang import nodes as n

        mode, limit = str(an.analysis.config["stack_mode"]), DEFAULT_LIMIT
        if len(node.arguments) > 1 and not isinstance(node.arguments[0], (n.Identifier, n.TypeName)):
            return an.error(node.span, "Expected stack mode as first argument")
        for argument in node.arguments:
            name = argument.name if isinstance(argument, (n.Identifier, n.TypeName)) else None
            if name in MODES:
                mode = name or mode
                continue
            if name is not None and isinstance(argument, n.TypeName):
                return an.error(node.span, f"Invalid stack mode: {name}", hints=(f"One of {', '.join(MODES)}.",))
            if isinstance(argument, n.Identifier) and argument.name not in an.c_types.defines:
                return an.error(node.span, f"Invalid stack mode: {name}", hints=(f"One of {', '.join(MODES)}.",))
            assert isinstance(argument, n.Expr)
            an.type_of(argument)
            value = an.int_const(argument)
            if value is None:
                return an.error(argument.span, f"{node.name}() expects a int literal or a stack mode")
            if not 0 < value <= MAX_LIMIT:
                return an.error(
                    argument.span, f"{node.name}([int limit]): limit shouldn't exceed {MAX_LIMIT}, {value} given"
                )
            limit = value
        return ct.Stack(user, mode, limit)

    return infer


def _lower(lo: Lowerer, node: n.Expr) -> Operand:
    from .symbols import binary_index

    t = lo.type(node)
    assert isinstance(t, ct.Stack)
    binary = binary_index(lo) if t.user else -1

    def into(target: Mem, clean: bool) -> None:
        identifier = stack_id(lo, t)
        lo.b.store(target.base, target.offset, 8, identifier)
        lo.b.store(
            target.base,
            target.offset + 8,
            8,
            lo.b.alu("rsh", lo.task_fact("get_current_pid_tgid"), 32) if t.user else 0,
        )
        lo.b.store(target.base, target.offset + 16, 8, binary)

    return Deferred(t, into)


def stack_id(lo: Lowerer, t: ct.Stack) -> Reg:
    """The id of the current stack in its map; negative when there is none."""
    name = lo.need_map(stack_map(t.user, t.limit, t.mode))
    return lo.b.call("get_stackid", lo.b.context(), lo.b.map(name), BPF_F_USER_STACK if t.user else 0)


def stack_depth(lo: Lowerer, node: n.Expr) -> Reg:
    """The number of frames of the current stack."""
    t = lo.type(node)
    assert isinstance(t, ct.Stack)
    place = lo.temporary(ct.Array(ct.UINT64, t.limit))
    size = lo.b.call("get_stack", lo.b.context(), lo.pointer(place), 8 * t.limit, BPF_F_USER_STACK if t.user else 0)
    result = lo.b.const(0)
    with lo.when("sgt", size, 0):
        lo.b.move(result, lo.b.alu("rsh", size, 3))
    return result


for _user, _name in ((False, "kstack"), (True, "ustack")):
    _doc = f"The {'user' if _user else 'kernel'} stack."
    register(
        Builtin(_name, "stack", _doc, lambda an, node, user=_user: _default(an, user), _lower),  # type: ignore[misc]
        Function(_name, f"stack {_name}([mode, ][int limit])", _doc, ("lazy", "lazy"), 0, _infer_call(_user), _lower),
    )
