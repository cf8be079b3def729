"""The compiler: text to Image. Read this first; each stage is one call.

parse -> imports -> analyze (sema) -> lower (IR) -> emit (eBPF) -> Image
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..base.diag import Diagnostic, Diagnostics
from ..base.journal import EVENT_KIND, HEADER_BYTES
from ..base.layout import EventLayout
from ..base.record import field, record, replace
from ..base.source import NOWHERE, Source, Span
from ..image import AttachSpec, EventSpec, Image, MapSpec, ProgramSpec, SourcePlace
from ..ir.ops import ProgramIR
from ..kernel.target import Target
from ..lang import nodes as n
from ..lang.parser import parse_program
from ..sema.analyze import analyze
from ..sema.analyzer import CompileOptions
from ..sema.model import Analysis, Unit
from .emit import EmitOptions, EmittedProgram, emit_program
from .frame import SCRATCH_HEADER_BYTES
from .journal import JournalPlan
from .lower import Parts, place_of
from .lower_events import EVENTS_MAP, LOST_MAP
from .lower_maps import add_map
from .lower_unit import lower_unit
from .map_groups import group_maps
from .memory import ZERO_MAP

SCRATCH_MAP = ".scratch"
SCRATCH_PER_CPU = 4  # levels of nesting: task, softirq, hardirq, NMI
ENDING_CALLS = {"exit", "assert"}
RING_BYTES_SMALL, RING_BYTES, RING_BYTES_RECORD = 1 << 18, 1 << 22, 1 << 25
_NAME = re.compile(r"[^A-Za-z0-9_]")
Importer = Callable[[n.Program, Diagnostics], n.Program]


@record
class Compilation:
    """Everything the stages of one compilation produced, for dumps."""

    program: n.Program
    analysis: Analysis
    irs: list[ProgramIR] = field(default_factory=list)
    image: Image | None = None
    diagnostics: Diagnostics = field(default_factory=Diagnostics)

    @property
    def warnings(self) -> list[Diagnostic]:
        """What the compiler warns of."""
        return self.diagnostics.warnings


def compile_script(
    source: Source, target: Target, options: CompileOptions | None = None, importer: Importer | None = None
) -> Compilation:
    """Compile a script for `target`. Raises ScriptError with all findings, or NotSupported.

    `importer` merges what the program imports (it reads files, so it is the caller's).
    """
    options = options or CompileOptions()
    diagnostics = Diagnostics()
    program = parse_program(source, diagnostics, options.params)
    diagnostics.require_no_errors()
    if importer is not None and program.imports:
        program = importer(program, diagnostics)
        diagnostics.require_no_errors()
    analysis = analyze(program, target, options, diagnostics)
    compilation = Compilation(program, analysis, diagnostics=diagnostics)
    compilation.image = make_image(compilation, source.name, target, options)
    return compilation


def make_image(compilation: Compilation, name: str, target: Target, options: CompileOptions) -> Image:
    """Lower and emit every unit, and put the Image together."""
    analysis = compilation.analysis
    parts = Parts(analysis, target, options, can_end=any(map(_can_end, analysis.units)))
    group_maps(parts)
    if options.record:
        _add_journal(parts)
    programs, scratch_bytes = [], 0
    for number, unit in enumerate(analysis.units):
        program_name = _NAME.sub("_", unit.points[0].name)[:120] + f"_{number + 1}"
        ir = lower_unit(parts, unit, program_name, number)
        compilation.irs.append(ir)
        emitted = emit_program(ir, _emit_options(target))
        scratch_bytes = max(scratch_bytes, emitted.scratch_bytes)
        programs.append(_program_spec(unit, program_name, emitted))
    if parts.journal is not None:
        spec = parts.events[parts.journal.event_id]
        parts.events[spec.id] = replace(spec, params={"stack_maps": ",".join(parts.journal.stack_maps)})
    return Image(
        name,
        target.arch.name,
        tuple(programs),
        _all_maps(parts, scratch_bytes),
        tuple(parts.events),
        tuple(analysis.strings),
        dict(analysis.config),
        tuple(item.message for item in compilation.warnings),
        tuple(analysis.missing),
    )


def _can_end(unit: Unit) -> bool:
    return any(isinstance(node, n.Call) and node.name in ENDING_CALLS for node in unit.types)


def _add_journal(parts: Parts) -> None:
    """Make the journal of a run an event of the image (its records have no fixed layout)."""
    spec = EventSpec(len(parts.events), EVENT_KIND, EventLayout(HEADER_BYTES, ()), place_of(NOWHERE))
    parts.events.append(spec)
    parts.journal = JournalPlan(spec.id)


def _emit_options(target: Target) -> EmitOptions:
    return EmitOptions(
        cpu_v4=target.has("cpu_v4") is True,
        atomic_fetch=target.has("atomic_fetch") is not False,
    )


def _program_spec(unit: Unit, name: str, emitted: EmittedProgram) -> ProgramSpec:
    point = unit.points[0]
    program_type, attach_type = point.program_type, point.attach_type
    attach = tuple(AttachSpec(p.attach.kind, p.name, p.attach.params, cookie) for cookie, p in enumerate(unit.points))
    if unit.dispatched and point.dispatch is not None:
        program_type, attach_type = point.dispatch.program_type, point.dispatch.attach_type
        attach = (point.dispatch.attach,)
    lines, places = _places(emitted.lines)
    return ProgramSpec(
        name,
        program_type,
        attach_type,
        emitted.code,
        emitted.relocations,
        emitted.functions,
        lines,
        places,
        attach,
        probe_count=len(unit.points),
    )


def _places(lines: Sequence[tuple[int, Span]]) -> tuple[tuple[tuple[int, int], ...], tuple[SourcePlace, ...]]:
    """Instruction lines as indices into a table of places."""
    numbers: dict[SourcePlace, int] = {}
    cache: dict[int, int] = {}
    table = []
    for index, span in lines:
        number = cache.get(id(span))
        if number is None:
            number = cache[id(span)] = numbers.setdefault(place_of(span), len(numbers))
        table.append((index, number))
    return tuple(table), tuple(numbers)


def _all_maps(parts: Parts, scratch_bytes: int) -> tuple[MapSpec, ...]:
    """The maps in the order of their names' first use, internal ones sized by what the programs need."""
    analysis = parts.analysis
    for info in analysis.maps.values():
        if info.used:
            add_map(parts, info)
    maps = dict(parts.maps)
    maps.setdefault(LOST_MAP, MapSpec(LOST_MAP, "percpu_array", 4, 8, 1))
    if EVENTS_MAP in maps:
        pages = int(analysis.config["perf_rb_pages"])
        size = _ring_bytes(pages * parts.target.arch.page_size) if pages else _default_ring(analysis)
        if parts.journal is not None:
            size = max(size, RING_BYTES_RECORD)
        maps[EVENTS_MAP] = MapSpec(EVENTS_MAP, "ringbuf", 0, 0, size)
    if parts.zero_bytes:
        maps[ZERO_MAP] = MapSpec(ZERO_MAP, "array", 4, parts.zero_bytes, 1, read_only=True)
    if scratch_bytes:
        elements = SCRATCH_PER_CPU * parts.target.cpu_count
        maps[SCRATCH_MAP] = MapSpec(SCRATCH_MAP, "array", 4, SCRATCH_HEADER_BYTES + scratch_bytes, elements)
    return tuple(maps.values())


def _default_ring(analysis: Analysis) -> int:
    """Scripts whose programs only run once in user space's own time need little room."""
    quiet = all(unit.kind in ("begin", "end", "self", "test", "bench") for unit in analysis.units)
    return RING_BYTES_SMALL if quiet else RING_BYTES


def _ring_bytes(wanted: int) -> int:
    size = 4096
    while size < wanted:
        size *= 2
    return size
