"""The uprobe probe: a user-space function's entry, an instruction, or a line of its source. uretprobe shares its expansion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..base.ctype import Space
from ..base.diag import Diagnostics, did_you_mean
from ..base.errors import FormatError, TargetError
from ..base.record import replace
from ..image import AttachSpec, Scalar
from ..kernel.target import Binary, BinaryNames, ProcessFacts, Symbol, Target
from ..lang.nodes import AttachPoint
from .asking import Asking
from .contexts import values_signature
from .flat_file import FlatFile
from .kprobe import register_context
from .model import Context, Kind, ProbeOptions, ProbePoint
from .uprobe_place import UserPlace, parse_place
from .user_arguments import entry_arguments
from .wildcard import has_wildcard, matcher

_FORCE = "Use --unsafe to force attachment. WARNING: This option could lead to data corruption in the target process."


def expand(ap: AttachPoint, target: Target, options: ProbeOptions, diagnostics: Diagnostics) -> Sequence[ProbePoint]:
    """`uprobe:BINARY:[cpp:]FUNCTION[+OFFSET]`, `uprobe:BINARY:ADDRESS`, `uprobe:BINARY@FILE:LINE[:COLUMN]`."""
    return expand_function(Asking("uprobe", ap, target, options, diagnostics), returns=False)


def expand_function(asking: Asking, *, returns: bool) -> Sequence[ProbePoint]:
    """The points of a uprobe or uretprobe."""
    place = parse_place(asking, returns=returns)
    if place is None:
        return ()
    by_offset = place.address is not None and asking.options.unsafe
    binaries = open_binaries(asking, place.binary, flat=by_offset)
    if place.file:
        return _at_source(asking, place, binaries[0]) if binaries else ()
    if place.address is not None:
        return _at_address(asking, place.address, binaries[0], returns=returns) if binaries else ()
    if has_wildcard(place.function) or has_wildcard(place.binary) or place.language:
        found = [(binary, symbol) for binary in binaries for symbol in _matching(asking, binary, place)]
        multi = len(found) > 1 and not place.offset and asking.target.has("uprobe_multi") is True
        return [_at_symbol(asking, place, b, s, returns=returns, multi=multi) for b, s in found]
    return _one_function(asking, place, binaries[0], returns=returns) if binaries else ()


def open_binaries(asking: Asking, written: str, *, flat: bool = False) -> list[Binary]:
    """The files that the binary part names: one for a plain name, any number for a wildcard; [] after a report.

    With `flat` a file need not be an ELF file.
    """
    target, wild = asking.target, has_wildcard(written)
    paths = binary_paths(target, written, asking.options.pid)
    if not paths and not wild:
        asking.error(f"{asking.kind} target file '{written}' does not exist or is not executable")
        return []
    if len(paths) > 1 and not wild:
        asking.warn(f"attaching to {asking.kind} target file '{paths[0]}' but matched {len(paths)} binaries")
        paths = paths[:1]
    binaries: list[Binary] = []
    for path in paths:
        try:
            binaries.append(target.binary(path))
        except (FormatError, TargetError) as error:
            if flat and isinstance(error, FormatError):
                binaries.append(FlatFile(path))
            elif not wild:
                broken = isinstance(error, FormatError)
                problem = "is no ELF file that can be read" if broken else "does not exist or is not executable"
                asking.error(f"{asking.kind} target file '{written}' {problem}", hints=(f"{error}.",))
    return binaries


def binary_paths(target: Target, written: str, pid: int) -> list[str]:
    """The files that a binary part names; `*` by itself is what the process (without one: any process) has mapped."""
    if written == "*" and isinstance(target, ProcessFacts):
        return target.mapped_files(pid or None)
    return target.resolve_library(written, pid or None) if written else []


def _matching(asking: Asking, binary: Binary, place: UserPlace) -> Iterable[Symbol]:
    if place.language == "cpp":
        return binary.demangled(place.function) if isinstance(binary, BinaryNames) else ()
    return [symbol for symbol in binary.symbols(place.function) if ".part." not in symbol.name]


def _one_function(asking: Asking, place: UserPlace, binary: Binary, *, returns: bool) -> Sequence[ProbePoint]:
    symbol = binary.symbol(place.function)
    if symbol is None:
        known = [near.name for near in binary.symbols(f"{place.function[:1]}*")]
        hints = did_you_mean(place.function, known)
        asking.report_missing(f"{binary.path}:{place.function}", hints=hints)
        return ()
    problem = ""
    if place.offset and place.offset >= symbol.size:
        problem = f"Offset outside the function bounds ('{symbol.name}' size is {symbol.size})"
    if symbol.size == 0:
        problem = f"Could not determine boundary for {symbol.name} (symbol has size 0)."
    if problem and (symbol.size or not asking.options.unsafe):
        asking.error(problem, hints=() if symbol.size else (_FORCE,))
        return ()
    return (_at_symbol(asking, place, binary, symbol, returns=returns),)


def _at_symbol(
    asking: Asking, place: UserPlace, binary: Binary, symbol: Symbol, *, returns: bool, multi: bool = False
) -> ProbePoint:
    parts = [asking.kind, binary.path, place.language, symbol.name]
    name = ":".join(part for part in parts if part) + (f"+{place.offset}" if place.offset else "")
    context = _context(asking, name, binary, "" if place.offset else symbol.name, returns=returns)
    offset = symbol.file_offset + place.offset
    return _point(asking, name, binary, offset, symbol.name, context, returns=returns, multi=multi)


def _at_address(asking: Asking, address: int, binary: Binary, *, returns: bool) -> Sequence[ProbePoint]:
    name = f"{asking.kind}:{binary.path}" + (f":{address}" if address else "")
    offset = binary.offset_of_address(address)
    symbol = binary.symbol_at(offset) if offset is not None else None
    if symbol is None:
        unclear = f"Could not determine instruction boundary for {name} (binary appears stripped)."
        if not asking.options.unsafe:
            asking.error(unclear, hints=(_FORCE,))
            return ()
        asking.warn(f"{unclear} Misaligned probes can lead to tracee crashes!")
    function = symbol.name if symbol is not None else ""
    at_entry = function if symbol is not None and symbol.file_offset == offset else ""
    context = _context(asking, name, binary, at_entry, returns=returns)
    return (_point(asking, name, binary, address if offset is None else offset, function, context, returns=returns),)


def _at_source(asking: Asking, place: UserPlace, binary: Binary) -> Sequence[ProbePoint]:
    offsets = binary.line_offsets(place.file, place.line, place.column)
    if not offsets:
        where = f"{place.file}:{place.line}" + (f":{place.column}" if place.column else "")
        asking.error(
            f"No DWARF line information for '{where}' in '{binary.path}', cannot attach by source code location."
        )
        return ()
    symbol = binary.symbol_at(offsets[0])
    address = offsets[0] - symbol.file_offset + symbol.address if symbol is not None else offsets[0]
    name = f"{asking.kind}:{binary.path}:{address}"
    function = symbol.name if symbol is not None else ""
    context = _context(asking, name, binary, "", returns=False)
    return (_point(asking, name, binary, offsets[0], function, context, returns=False),)


def _point(
    asking: Asking,
    name: str,
    binary: Binary,
    file_offset: int,
    symbol: str,
    context: Context,
    *,
    returns: bool,
    multi: bool = False,
) -> ProbePoint:
    params: dict[str, Scalar] = {
        "path": binary.path,
        "offset": file_offset,
        "symbol": symbol,
        "retval": returns,
        "pid": asking.options.pid or -1,
        "ref_ctr_offset": 0,
    }
    attach_type = "uprobe_multi" if multi else ""
    return ProbePoint(asking.kind, name, "kprobe", attach_type, AttachSpec("uprobe", name, params), context, symbol)


def _context(asking: Asking, name: str, binary: Binary, entered: str, *, returns: bool) -> Context:
    """The context; `entered` is the function whose entry this is, "" elsewhere (its arguments are no longer certain)."""
    context = register_context(asking.kind, asking.target, returns=returns, space=Space.USER)
    if returns or not asking.options.typed_args:
        return context
    function = binary.function_arguments(entered) if entered else None
    if function is None:
        reason = f"no debuginfo found for {binary.path}" if entered else "not at a function's entry"
        return replace(context, args_error=f'Could not parse arguments of "{name}": {reason}')
    args = entry_arguments(function, asking.target.arch)
    error = "" if args else "Cannot read function parameters"
    return replace(
        context, signature=values_signature("uprobe", args), args=args, has_args=bool(args), args_error=error
    )


def listing(pattern: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """`BINARY:FUNCTION`; without a binary all that the process of -p has mapped, or the programs on PATH."""
    binary, colon, function = pattern.rpartition(":")
    if not colon:
        binary, function = (pattern, "*") if "/" in pattern else ("*", pattern or "*")
    binary = binary.removesuffix(":cpp")
    found = []
    paths = binary_paths(target, binary, options.pid) if options.pid else target.resolve_library(binary)
    for path in paths:
        try:
            symbols = target.binary(path).symbols(function)
        except (FormatError, TargetError):
            continue
        found += [f"{path}:{symbol.name}" for symbol in symbols if ".part." not in symbol.name]
    keep = matcher(f"*:{function}")
    return [entry for entry in found if keep(entry)]


def details(entry: str, target: Target, options: ProbeOptions) -> Sequence[str]:
    """The parameters, from DWARF."""
    path, _, function = entry.rpartition(":")
    binary = target.binary(path)
    if isinstance(binary, BinaryNames):
        texts = binary.function_declarations(function)
        return texts[:-1] if texts and texts[-1].endswith(" retval") else texts
    signature = binary.function_arguments(function)
    return [f"{t} {n}" for n, t in signature.parameters] if signature is not None else ()


KIND = Kind(
    ("uprobe", "u"), "A user-space function's entry, or any instruction in it", expand, listing, details, "user"
)
