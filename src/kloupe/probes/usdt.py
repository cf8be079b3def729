"""The usdt probe: markers that a user-space program's source has (ELF notes of owner `stapsdt`)."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.ctype import UINT64, Space
from ..base.diag import Diagnostics
from ..base.errors import FormatError, TargetError
from ..base.place import Constant, Memory, NamedValue, Place, Register
from ..image import AttachSpec, Scalar
from ..kernel.target import ArchTable, Binary, Target, UsdtArgument, UsdtProbe
from ..lang.nodes import AttachPoint
from .asking import Asking
from .contexts import no_arguments, registers_type, values_signature
from .model import Context, Kind, ProbeOptions, ProbePoint
from .uprobe import binary_paths, open_binaries
from .wildcard import has_wildcard, matcher


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`usdt:BINARY:[PROVIDER]:NAME`, wildcards in all; every location of a marker is a point of its own."""
    asking = Asking("usdt", ap, target, options, diagnostics)
    parts = list(ap.parts)
    if len(parts) == 1 and (options.pid or options.child_path):
        parts.insert(0, "")
    if len(parts) not in (2, 3):
        asking.check_count(2, 3)
        return ()
    written, provider, name = parts[0], parts[1] if len(parts) == 3 else "", parts[-1]
    if not name:
        asking.error("usdt probe must have a target function or wildcard")
        return ()
    if not written:
        if not options.pid and not options.child_path:
            asking.error(
                "usdt probe must specify at least path or pid to probe. To target all paths/pids set the path to '*'."
            )
            return ()
        written = "*" if options.pid else options.child_path
    found = []
    binaries = open_binaries(asking, written)
    for binary in binaries:
        seen: dict[tuple[str, str], int] = {}
        for probe in _matching(binary, provider or "*", name):
            marker = (probe.provider, probe.name)
            found.append(_point(asking, binary, probe, seen.get(marker, 0)))
            seen[marker] = seen.get(marker, 0) + 1
    if binaries and provider and not found and not any(map(has_wildcard, (written, provider, name))):
        known = [probe.name for binary in binaries for probe in _matching(binary, "*", "*")]
        asking.report_missing(f"{binaries[0].path}:{provider}:{name}", known)
    return found


def _matching(binary: Binary, provider: str, name: str) -> list[UsdtProbe]:
    owner, event = matcher(provider), matcher(name)
    try:
        return [probe for probe in binary.usdt() if owner(probe.provider) and event(probe.name)]
    except (FormatError, TargetError):
        return []


def _point(asking: Asking, binary: Binary, probe: UsdtProbe, location: int) -> ProbePoint:
    name = f"usdt:{binary.path}:{probe.provider}:{probe.name}"
    params: dict[str, Scalar] = {
        "path": binary.path,
        "offset": probe.file_offset,
        "symbol": probe.name,
        "retval": False,
        "pid": asking.options.pid or -1,
        "ref_ctr_offset": probe.semaphore_offset,
        "location": location,
    }
    context = _context(asking.target, probe)
    return ProbePoint("usdt", name, "kprobe", "", AttachSpec("uprobe", name, params), context)


def _context(target: Target, probe: UsdtProbe) -> Context:
    values = []
    for index, argument in enumerate(probe.arguments):
        place = _place(argument, probe.address, target.arch)
        values.append(NamedValue(f"arg{index}", UINT64, place, argument.text) if place is not None else None)

    def numbered(index: int) -> NamedValue | None:
        return values[index] if 0 <= index < len(values) else None

    return Context(
        values_signature("usdt", [value for value in values if value is not None]),
        Space.USER,
        args_error=no_arguments("usdt"),
        numbered=numbered,
        registers=True,
        type=registers_type(target),
    )


def _place(argument: UsdtArgument, address: int, arch: ArchTable) -> Place | None:
    """Where an argument is (argN is an unsigned 64-bit value of it, as in bpftrace); None when that is not known here.

    Memory without a base register is at a fixed place of the file: as far from the probe in memory as in the file.
    """
    if argument.constant is not None:
        unsigned = argument.constant & ((1 << 8 * argument.size) - 1)
        return Constant(argument.constant if argument.signed else unsigned)
    offset, name = argument.offset, argument.register
    if argument.is_memory and not name:
        offset, name = argument.offset - address, arch.instruction_pointer
    base = arch.registers.get(name)
    inner = arch.registers.get(argument.index_register)
    if base is None or (argument.index_register and inner is None):
        return None
    if not argument.is_memory:
        return Register(base, argument.size, argument.signed)
    index = Register(inner) if inner is not None else None
    return Memory(Register(base), offset, argument.size, argument.signed, index, argument.scale)


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """`BINARY:PROVIDER:NAME`; without a binary all that the process of -p has mapped, or the programs on PATH."""
    binary, colon, rest = pattern.partition(":")
    if not colon:
        binary, rest = (pattern, "*") if "/" in pattern else ("*", pattern or "*")
    keep = matcher(f"*:{rest}")
    found = set()
    paths = binary_paths(target, binary, options.pid) if options.pid else target.resolve_library(binary)
    for path in paths:
        try:
            found |= {f"{path}:{probe.provider}:{probe.name}" for probe in target.binary(path).usdt()}
        except (FormatError, TargetError):
            continue
    return sorted(entry for entry in found if keep(entry))


KIND = Kind(("usdt", "U"), "Markers in a user-space program's source", expand, listing, listed="user")
