"""The watchpoint probe: fires when a memory address is read, written or executed."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.diag import Diagnostics
from ..image import AttachSpec, Scalar
from ..kernel.target import Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .contexts import perf_context
from .integers import parse_integer
from .model import Kind, ProbeOptions, ProbePoint

# arch/x86/kernel/hw_breakpoint.c and arch/arm64/kernel/hw_breakpoint.c: arch_build_bp_info
_MODES = {"x86_64": ("x", "w", "rw"), "aarch64": ("r", "w", "x", "rw")}
_LENGTHS = (1, 2, 4, 8)
_BAD_MODE = "watchpoint mode must be combination of (r,w,x)"


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`watchpoint:ADDRESS:LENGTH:MODE`; MODE is made of r, w and x."""
    asking = Asking("watchpoint", ap, target, options, diagnostics)
    if not asking.check_count(3):
        return ()
    address, length = parse_integer(ap.parts[0]), parse_integer(ap.parts[1])
    if isinstance(address, str):
        asking.error(f"Invalid function/address argument: {address}")
        return ()
    if isinstance(length, str):
        asking.error(f"Invalid length argument: {length}")
        return ()
    mode = "".join(sorted(ap.parts[2]))
    if not _check(asking, address, length, mode):
        return ()
    parts = ["watchpoint", options.child_path, str(address), str(length), mode]
    name = ":".join(part for part in parts if part)
    params: dict[str, Scalar] = {"address": address, "length": length, "mode": mode, "pid": options.pid or -1}
    context = perf_context("watchpoint", target, registers=True)
    return (ProbePoint("watchpoint", name, "perf_event", "", AttachSpec("watchpoint", name, params), context),)


def _check(asking: Asking, address: int, length: int, mode: str) -> bool:
    """True when the processor can watch that; reports everything that is wrong."""
    before = len(asking.diagnostics.errors)
    if address <= 0:
        asking.error("watchpoint must be attached to a non-zero address")
    if length not in _LENGTHS:
        asking.error("watchpoint length must be one of (1,2,4,8)")
    if not mode or set(mode) - set("rwx"):
        asking.error(_BAD_MODE)
    if len(set(mode)) != len(mode):
        asking.error("watchpoint modes may not be duplicated")
    modes = _MODES.get(asking.target.arch.name, ())
    if not modes:
        asking.error("watchpoints not supported")
    elif mode not in modes:
        asking.error(f"invalid watchpoint mode: {mode}", hints=(f"supported modes: {','.join(modes)}",))
    return len(asking.diagnostics.errors) == before


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """Nothing: addresses are not listed."""
    return ()


KIND = Kind(("watchpoint", "w"), "Reads, writes or execution of an address", expand, listing)
