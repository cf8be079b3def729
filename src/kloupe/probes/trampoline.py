"""What a BPF trampoline (fentry, fexit) can carry, and where it puts arguments.

The context is an array of u64: one element per argument, a struct passed by value takes one per 8 bytes, and behind them the
result (fexit). Facts: btf_distill_func_proto and btf_ctx_access in kernel/bpf/btf.c, arch_prepare_bpf_trampoline.
"""

from __future__ import annotations

from ..base.ctype import UINT64, VOID, CType, Float, Function, Pointer, Space, Struct
from ..base.place import BtfArgument, ContextField, NamedValue, Place
from ..kernel.target import Target
from .contexts import array_arguments, no_arguments, values_signature
from .model import Context

_MAX_STRUCT_BYTES = 16


def why_not(function: Function, target: Target) -> str:
    """Why no trampoline carries this function; "" when one does."""
    if function.variadic:
        return "it takes a variable number of arguments"
    for name, parameter in function.parameters:
        if isinstance(parameter, Float) or (parameter.size > 8 and not isinstance(parameter, Struct)):
            return f"its argument {name!r} fits no general register"
        if isinstance(parameter, Struct) and parameter.size > _MAX_STRUCT_BYTES:
            return f"its argument {name!r} is a large value on the stack"
    if _slots(function) > len(target.arch.arguments):
        return "it takes arguments on the stack"
    if isinstance(function.result, (Struct, Float)):
        return "it returns a value that fits no general register"
    return ""


def _elements(t: CType) -> int:
    return max(1, -(-t.size // 8))


def _slots(function: Function) -> int:
    return sum(_elements(t) for _, t in function.parameters)


def typed_context(kind: str, function: Function, *, returns: bool) -> Context:
    """The context with `args` by name, and `retval` at an exit. Raw argN are not offered, as in bpftrace."""
    args, slot = [], 0
    for name, t in function.parameters:
        place: Place = ContextField(8 * slot, t.size) if isinstance(t, Struct) else BtfArgument(slot)
        args.append(NamedValue(name, t, place))
        slot += _elements(t)
    retval = None
    if returns and function.result.size:
        retval = NamedValue("retval", function.result, BtfArgument(slot))
    return Context(
        (values_signature(kind, args), retval),
        Space.KERNEL,
        tuple(args),
        has_args=bool(args),
        args_error="" if args else "Cannot read function parameters",
        retval=retval,
        type=Pointer(VOID),
    )


def raw_context(target: Target, name: str, module: str, *, returns: bool) -> Context | None:
    """A kprobe's context (argN or retval as raw u64) from a trampoline's array; None when none carries the function."""
    function = target.function(name, module)
    if function is None or why_not(function, target) or any(isinstance(t, Struct) for _, t in function.parameters):
        return None
    slots = _slots(function)
    return Context(
        ("trampoline", slots, returns),
        Space.KERNEL,
        args_error=no_arguments("kretprobe" if returns else "kprobe"),
        numbered=array_arguments(0 if returns else slots),
        retval=NamedValue("retval", UINT64, BtfArgument(slots)) if returns else None,
        type=Pointer(VOID),
    )
