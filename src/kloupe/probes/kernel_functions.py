"""What the probes on kernel functions share: how a function is written, whether it is there, near names."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import did_you_mean
from ..base.record import record
from ..kernel.target import ListingFacts, Target
from .asking import Asking
from .integers import parse_integer
from .wildcard import matcher

VMLINUX = "vmlinux"
# Functions that the kernel lets one trace and that can bring it down, as its own tests of kprobe_multi list them
# (tools/testing/selftests/bpf/prog_tests/kprobe_multi_test.c).
_DANGEROUS = {"arch_cpu_idle", "default_idle", "bpf_dispatcher_xdp_func"}
_DANGEROUS_PREFIXES = ("rcu_", "__ftrace_invalid_address__")
_UNTRACEABLE = (
    'is not traceable (either non-existing, inlined, or marked as "notrace"); attaching to it will likely fail'
)


@record(frozen=True)
class FunctionPlace:
    """`[module:]function[+offset]` or a bare address as written; `function` is "" for an address."""

    module: str = ""
    function: str = ""
    offset: int = 0
    address: int = 0


def split_offset(asking: Asking, text: str, *, offset_allowed: bool) -> tuple[str, int] | None:
    """(name, offset) of `name+offset`; None after a report."""
    if "+" not in text:
        return text, 0
    problem = ""
    name, _, tail = text.partition("+")
    if not offset_allowed:
        problem = "Offset not allowed"
    elif "+" in tail:
        problem = "Cannot take more than one offset"
    elif not name or not tail:
        problem = "Invalid offset"
    offset = parse_integer(tail) if not problem else 0
    if isinstance(offset, str):
        problem = f"Invalid offset: {offset}"
    if problem or isinstance(offset, str):
        asking.error(problem)
        return None
    return name, offset


def parse_function(asking: Asking, *, offset_allowed: bool) -> FunctionPlace | None:
    """The place that a kprobe's parts name; None after a report."""
    if not asking.check_count(1, 2):
        return None
    module = asking.parts[0] if len(asking.parts) == 2 else ""
    text = asking.parts[-1]
    address = parse_integer(text)
    if isinstance(address, int):
        if not asking.options.unsafe:
            asking.error("Probing by address requires --unsafe")
            return None
        if address > 0:
            return FunctionPlace(module, address=address)
    named = split_offset(asking, text, offset_allowed=offset_allowed) if isinstance(address, str) else ("", 0)
    if named is None:
        return None
    if not named[0]:
        asking.error("kprobes should be attached to a function or an address")
        return None
    return FunctionPlace(module, named[0], named[1])


def module_loaded(target: Target, module: str) -> bool:
    """Whether a module is loaded; true when the target cannot say."""
    if module in ("", VMLINUX) or not isinstance(target, ListingFacts):
        return True
    return module in target.modules()


def matching_functions(target: Target, pattern: str, module: str = "") -> list[tuple[str, str]]:
    """(module or "", function) of all probe-able functions that match, sorted; a wildcard module is expanded.

    Pieces that the compiler split off (`f.part.0`) cannot be traced and are left out, and so is what would be dangerous.
    """
    modules = [module]
    if "*" in module:
        keep = matcher(module)
        modules = [name for name in _modules_with(target, pattern) if keep(name)]
    found = [(m, f) for m in modules for f in target.functions(pattern, m)]
    return [(m, f) for m, f in found if ".part." not in f and not is_dangerous(f)]


def is_dangerous(function: str) -> bool:
    """Whether probes on a function are known to bring kernels down."""
    return function in _DANGEROUS or function.startswith(_DANGEROUS_PREFIXES)


def _modules_with(target: Target, pattern: str) -> list[str]:
    """The loaded modules; only "vmlinux" when it has all functions that match, which spares a search in every module."""
    if not isinstance(target, ListingFacts):
        return [VMLINUX]
    if set(target.functions(pattern)) <= set(target.functions(pattern, VMLINUX)):
        return [VMLINUX]
    return target.modules()


def near_functions(target: Target, name: str) -> tuple[str, ...]:
    """A hint naming functions like `name`, or the entry of the system call that it looks like."""
    call = name.removeprefix("__").removeprefix("sys_").removeprefix("SyS_")
    entry = target.arch.syscall_prefix + call
    if name != entry and call in target.arch.syscall_numbers and any(target.functions(entry)):
        return (f"The system call's entry is {entry!r}.",)
    return did_you_mean(name, target.functions(f"{name[:2]}*")) if len(name) > 2 else ()


def warn_untraceable(asking: Asking, function: str) -> None:
    """Warn that a kprobe on `function` will fail."""
    if asking.options.missing_probes != "ignore":
        asking.warn(f"{function} {_UNTRACEABLE}")


def list_functions(pattern: str, target: Target, *, with_module: bool) -> Sequence[str]:
    """`FUNCTION` or `MODULE:FUNCTION` of all that match; a pattern without colon is for the function."""
    module, colon, function = pattern.rpartition(":")
    if ":" in module:
        return ()
    if not colon and with_module:
        module = "*"
    found = matching_functions(target, function or "*", module)
    return [f"{m}:{f}" if m else f for m, f in found]


def parameter_texts(target: Target, function: str, module: str = "") -> Sequence[str]:
    """The parameters as C text and `TYPE retval` last (absent for void)."""
    if isinstance(target, ListingFacts):
        return target.function_declarations(function, module) or ()
    signature = target.function(function, module)
    if signature is None:
        return ()
    texts = [f"{t} {n}" for n, t in signature.parameters]
    return texts if not signature.result.size else [*texts, f"{signature.result} retval"]
