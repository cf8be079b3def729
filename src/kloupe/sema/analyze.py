"""The driver of the analysis: C part, probes, units, then walks until nothing changes, and one that reports."""

from __future__ import annotations

import re
from collections.abc import Hashable

from ..base import ctype as ct
from ..base.diag import Diagnostics
from ..base.errors import UsageError
from ..base.record import replace
from ..base.source import Source, Span
from ..kernel.target import Target
from ..lang import nodes as n
from ..lang.macros import Macros
from ..lang.parser import parse_defines
from ..probes import check_attach_points, expand_attach_point, near_points
from ..probes.model import ProbePoint
from ..stdlib.library import library_macros
from . import calls, rules_basic, rules_ops, rules_stmt  # noqa: F401  (they register their rules)
from .analyzer import Analyzer, CompileOptions, CTypes, ReadInclude
from .config import read_config
from .model import Analysis, MapInfo, Unit
from .rules_ops import require_condition

MAX_WALKS = 12
DISPATCH_FROM = 8  # system-call tracepoints from which one program with a dispatch is cheaper
_NO_POINTS = (
    "Probe has no valid attach points. If this is expected, set the 'missing_probes' config variable to 'warn'."
)
_CONTEXT_NAMES = {"args", "retval", "ctx", "func", "probe", "cpid", "kstack", "ustack", "reg"}
MAP_KINDS = ("hash", "lruhash", "percpuhash", "percpulruhash")


def analyze(program: n.Program, target: Target, options: CompileOptions, diagnostics: Diagnostics) -> Analysis:
    """Everything codegen needs to know about `program`. Raises ScriptError when something is wrong."""
    config = read_config(program.config, options.environment, diagnostics)
    analysis = Analysis(program, [], {}, config)
    c_types = read_c_part(program, target, options, diagnostics)
    diagnostics.require_no_errors()
    macros = Macros(program.macros, diagnostics, load=library_macros)
    check_attach_points(program.probes, diagnostics)
    _declare_maps(analysis, diagnostics)
    for probe in program.probes:
        analysis.units += _units(probe, target, options, analysis, macros, diagnostics)
    _check_counts(analysis, diagnostics)
    diagnostics.require_no_errors()
    _infer(analysis, target, options, c_types, macros, diagnostics)
    _check_maps(analysis, diagnostics)
    _check_named(analysis, options)
    diagnostics.require_no_errors()
    return analysis


def read_c_part(program: n.Program, target: Target, options: CompileOptions, diagnostics: Diagnostics) -> CTypes:
    """The declarations before the first probe. Mistakes go to `diagnostics`."""
    types = CTypes()
    given = [n.CText(Span(Source(name, text), 0, len(text)), text) for name, text in options.includes]
    parts = [*given, *program.headers, *([program.c_text] if program.c_text is not None else [])]
    if not parts:
        return types
    from ..cfront import parse_c  # most scripts have no C part

    read_include = _with_syscalls(options.read_include, target) if options.read_include is not None else None
    declarations = parse_c(parts, target, diagnostics, machine=target.arch.name, read_include=read_include)
    types.structs = declarations.structs
    types.enums = declarations.enums
    types.typedefs = declarations.typedefs
    types.defines = parse_defines(declarations.defines)
    for enum in declarations.all_enums:
        types.constants.update({name: (enum, value) for name, value in enum.values})
    return types


def _with_syscalls(read_include: ReadInclude, target: Target) -> ReadInclude:
    """Includes with the headers that define the numbers of system calls: of the target, not of this machine."""
    from ..cfront.headers import SYSCALL_HEADERS

    def read(path: str, quoted: bool) -> tuple[str, str] | None:
        found = read_include(path, quoted)
        if found is not None or path not in SYSCALL_HEADERS:
            return found
        numbers = target.arch.syscall_numbers.items()
        return path, "".join(f"#define __NR_{name} {number}\n#define SYS_{name} {number}\n" for name, number in numbers)

    return read


def _declare_maps(analysis: Analysis, diagnostics: Diagnostics) -> None:
    for declaration in analysis.program.map_decls:
        info = MapInfo(declaration.map.name, declaration.span)
        info.kind, info.max_entries, info.declared = declaration.kind, declaration.max_entries, True
        if declaration.kind not in MAP_KINDS:
            diagnostics.error(
                declaration.span,
                f"Invalid bpf map type: {declaration.kind}",
                hints=(f"Valid map types: {', '.join(reversed(MAP_KINDS))}",),
            )
        analysis.maps[info.name] = info


def _uses_context(node: n.Node, macros: Macros) -> bool:
    if isinstance(node, n.Identifier):
        name = node.name
        return name in _CONTEXT_NAMES or name.lstrip("s").startswith("arg") or macros.lookup(name, ()) is not None
    if isinstance(node, n.Call) and (node.name in _CONTEXT_NAMES or macros.lookup(node.name, node.arguments)):
        return True
    return any(_uses_context(child, macros) for child in node.children())


def _units(
    probe: n.Probe,
    target: Target,
    options: CompileOptions,
    analysis: Analysis,
    macros: Macros,
    diagnostics: Diagnostics,
) -> list[Unit]:
    context_matters = _uses_context(probe, macros)
    policy = str(analysis.config["missing_probes"])
    asked = replace(
        options.probe,
        missing_probes=policy,
        typed_args=context_matters or options.whole_contexts,
        unsafe=options.unsafe,
    )
    points: list[ProbePoint] = []
    served = False
    before = len(diagnostics.items)
    for attach_point in probe.attach_points:
        found = expand_attach_point(attach_point, target, asked, diagnostics)
        if not found:
            analysis.missing.append(attach_point.text)
        points += [point for point in found if _is_wanted(point, options)]
        served = served or bool(found)
    if not served:
        if len(diagnostics.items) == before and policy == "error":
            hints = [hint for ap in probe.attach_points for hint in near_points(ap, target, asked)]
            diagnostics.error(probe.span, _NO_POINTS, hints=hints)
        elif policy == "warn":
            diagnostics.warning(
                probe.span,
                "Probe has no valid attach points. It is being removed which may cause issues with program behavior.",
            )
    return _grouped(probe, points, target, context_matters, options)


def _is_wanted(point: ProbePoint, options: CompileOptions) -> bool:
    if point.kind in ("begin", "end"):
        return True
    if options.probe_filter and not re.search(options.probe_filter, point.name):
        return False
    return point.kind not in ("test", "bench") or point.kind == options.mode


def _grouped(
    probe: n.Probe, points: list[ProbePoint], target: Target, context_matters: bool, options: CompileOptions
) -> list[Unit]:
    """One unit for all points that can share a program."""
    groups: dict[Hashable, list[ProbePoint]] = {}
    dispatchable = options.dispatch and sum(point.dispatch is not None for point in points) >= DISPATCH_FROM
    for number, point in enumerate(points):
        key: Hashable = (point.kind, point.program_type, point.attach_type)
        if dispatchable and point.dispatch is not None:
            key = ("dispatch", point.dispatch.group, point.dispatch.context.signature if context_matters else None)
        elif _alone(point):
            key = ("alone", number)
        elif context_matters or options.whole_contexts:
            key = (key, point.context.signature, number if target.has("bpf_cookie") is False else 0)
        groups.setdefault(key, []).append(point)
    return [
        Unit(probe, tuple(members), dispatched=isinstance(key, tuple) and key[0] == "dispatch")
        for key, members in groups.items()
    ]


def _alone(point: ProbePoint) -> bool:
    """Kinds with one point a program: those that user space runs, and tracing programs, which name their target at load."""
    return point.kind in ("begin", "end", "self", "test", "bench", "iter") or point.program_type == "tracing"


def _infer(
    analysis: Analysis,
    target: Target,
    options: CompileOptions,
    c_types: CTypes,
    macros: Macros,
    diagnostics: Diagnostics,
) -> None:
    before: object = None
    for _ in range(MAX_WALKS):
        silent = Diagnostics()
        for unit in analysis.units:
            _walk(Analyzer(analysis, unit, target, options, c_types, macros, silent))
        state = _state(analysis)
        if state == before and not _settle_unwritten(analysis):
            break
        before = state
    for unit in analysis.units:
        for info in unit.declarations.values():
            if isinstance(info.type, ct.NoneType):
                info.grows.known = ct.INT64  # never assigned: it reads as 0
        analyzer = Analyzer(analysis, unit, target, options, c_types, macros, diagnostics)
        analyzer.reporting = True
        _walk(analyzer)
        for info in unit.declarations.values():
            if not info.assigned and info.grows.declared is None:
                diagnostics.warning(info.span, f"Variable {info.name} was never assigned to.")


def _settle_unwritten(analysis: Analysis) -> bool:
    """Maps that are read but never written hold integers (and read as 0); True when there was one."""
    unknown = [m for m in analysis.maps.values() if m.read_in_kernel and isinstance(m.value_type, ct.NoneType)]
    for info in unknown:
        info.value.known = ct.INT64
    return bool(unknown)


def _walk(analyzer: Analyzer) -> None:
    probe = analyzer.unit.probe
    analyzer.unit.stray_updates.clear()
    for info in analyzer.unit.declarations.values():
        info.assigned = info.used = False
    if probe.predicate is not None:
        require_condition(analyzer, probe.predicate)
    with analyzer.scope():
        analyzer.statements(probe.body)
    for call in analyzer.unit.stray_updates:
        analyzer.error(call.span, f"{call.name}() must be assigned directly to a map")


def _state(analysis: Analysis) -> object:
    maps = [(m.name, m.key.type, m.value.type, m.scalar) for m in analysis.maps.values()]
    variables = [
        (info.type, info.captured, info.addressed) for unit in analysis.units for info in unit.declarations.values()
    ]
    return (maps, variables, len(analysis.strings))


def _check_counts(analysis: Analysis, diagnostics: Diagnostics) -> None:
    """Neither more attach points nor more programs than the config allows."""
    limit, total = int(analysis.config["max_probes"]), 0
    for unit in analysis.units:
        total += len(unit.points)
        if total > limit:
            total = sum(len(each.points) for each in analysis.units)
            diagnostics.error(
                unit.probe.span,
                f"Can't attach to {total} probes because it exceeds the current limit of {limit} probes.",
                hints=("You can increase the limit through the BPFTRACE_MAX_PROBES environment variable.",),
            )
            return
    limit = int(analysis.config["max_bpf_progs"])
    if len(analysis.units) > limit:
        diagnostics.error(
            analysis.units[limit].probe.span,
            f"Your program is trying to generate more than {limit} BPF programs, which exceeds the current limit of {limit}",
            hints=("You can increase the limit through the BPFTRACE_MAX_BPF_PROGS environment variable.",),
        )


def _check_named(analysis: Analysis, options: CompileOptions) -> None:
    """The named parameters that were given are those the script asks for; `--help` lists them. Raises UsageError."""
    known = analysis.named
    unexpected = [f"--{name}" for name, _ in options.named if name not in known]
    if not unexpected:
        return
    if "--help" in unexpected:
        lines = [f"--{name}: {text}" if text else f"--{name}" for name, text in known.items()]
        raise UsageError("", hint="\n".join(["expected program options:", *lines]))
    expected = ", ".join(f"--{name}" for name in known)
    raise UsageError(
        f"unexpected program command line options: {', '.join(unexpected)}",
        hint=f"expected program options: {expected}" if expected else "the script has no options",
    )


def _is_per_cpu(value: ct.CType) -> bool:
    return isinstance(value, ct.Aggregate) or ct.is_bucketed(value)


def _check_maps(analysis: Analysis, diagnostics: Diagnostics) -> None:
    for info in analysis.maps.values():
        if not info.used:
            diagnostics.warning(info.span, f"Unused map: {info.name}")
        elif isinstance(info.value_type, ct.NoneType) and not diagnostics.errors:
            diagnostics.error(info.span, f"Undefined map: {info.name}")
        elif info.declared and _is_per_cpu(info.value_type) != info.kind.startswith("percpu"):
            kind = "percpuhash" if _is_per_cpu(info.value_type) else "hash"
            diagnostics.error(
                info.span,
                f"Incompatible map types. Type from declaration: {info.kind}. Type from value/key type: {kind}",
            )
