"""The back half of the compiler: IR to eBPF. Simplify, place slots, allocate registers, select, resolve, encode."""

from __future__ import annotations

from ..base.errors import InternalError
from ..base.record import record
from ..base.source import Span
from ..bpf import isa
from ..bpf.insn import encode_instructions
from ..image import FunctionInfo, Relocation
from ..ir import ops
from ..ir.ops import Function, Op, ProgramIR, Reg
from .frame import BUDGETS, FramePlan, deepest_stack, find_slot_uses, plan_frames
from .function import EmittedFunction, emit_function
from .lineinfo import Lines, merge_lines
from .regalloc import Insn
from .simplify import Simplified, simplify_function


@record(frozen=True)
class EmitOptions:
    """What the machine that will run the code can do.

    `cpu_v4`: sign-extending loads, signed division (Linux 6.6). `atomic_fetch`: xchg and fetching atomics (5.12).
    `scratch`: whether there may be scratch memory. `big_endian`: byte order of the machine.
    """

    cpu_v4: bool = False
    atomic_fetch: bool = True
    scratch: bool = True
    big_endian: bool = False


@record(frozen=True)
class EmittedProgram:
    """eBPF with what is left to fill in at load time.

    `lines` are (instruction index, span) wherever the span changes. `scratch_bytes` is the room an element of map
    .scratch must have behind its busy word (0: the program does not use it); `stack_bytes` what the deepest chain of
    functions takes of the 512.
    """

    code: bytes
    relocations: tuple[Relocation, ...]
    functions: tuple[FunctionInfo, ...]
    lines: tuple[tuple[int, Span], ...]
    scratch_bytes: int
    stack_bytes: int

    @property
    def scratch_claim_needed(self) -> bool:
        """True when the program uses maps .scratch and .lost."""
        return self.scratch_bytes > 0


def emit_program(program: ProgramIR, options: EmitOptions | None = None) -> EmittedProgram:
    """Compile one program. Raises InternalError when it fits no stack frame."""
    options = options or EmitOptions()
    functions, captured = _simplify(program, options)
    slot_uses = find_slot_uses(functions)
    previous: FramePlan | None = None
    for budget in BUDGETS:
        plan = plan_frames(functions, captured, slot_uses, budget)
        if previous is None and plan.scratch_bytes and options.scratch:
            previous = plan  # with everything allowed on the stack it does not fit: use the other budgets
            continue
        if plan.scratch_bytes and not options.scratch:
            break
        emitted = _emit_functions(functions, plan, options)
        depth = deepest_stack(
            functions, {f.function: code.frame_bytes for f, code in zip(functions, emitted, strict=True)}
        )
        if depth <= isa.STACK_BYTES:
            return _assemble(functions, emitted, plan.scratch_bytes, depth)
    raise InternalError(f"program {program.name} needs more than {isa.STACK_BYTES} bytes of stack")


def _simplify(program: ProgramIR, options: EmitOptions) -> tuple[list[Simplified], list[ops.Slot]]:
    """Simplified functions that can be reached, root first, and the slots that they share."""
    alone = len(program.functions) == 1
    captured = [] if alone else program.captured
    root = simplify_function(
        program.functions[0], is_root=True, cpu_v4=options.cpu_v4, shared=program.captured if alone else []
    )
    result = [root]
    seen: set[Function] = {root.function}
    for simplified in result:
        for recipe in simplified.recipes.values():
            if isinstance(recipe, ops.FunctionRef) and recipe.function not in seen:
                seen.add(recipe.function)
                result.append(simplify_function(recipe.function, is_root=False, cpu_v4=options.cpu_v4, shared=[]))
    return result, captured


def _emit_functions(functions: list[Simplified], plan: FramePlan, options: EmitOptions) -> list[EmittedFunction]:
    """Callbacks first: what they read tells the root what to leave for them."""
    emitted = []
    reads: set[Reg] = set()
    for simplified in reversed(functions):
        code = emit_function(
            simplified,
            plan,
            is_root=simplified is functions[0],
            left_for_callbacks=reads,
            cpu_v4=options.cpu_v4,
            atomic_fetch=options.atomic_fetch,
            big_endian=options.big_endian,
        )
        reads |= code.ambient_reads
        emitted.append(code)
    emitted.reverse()
    return emitted


def _assemble(
    functions: list[Simplified], emitted: list[EmittedFunction], scratch_bytes: int, depth: int
) -> EmittedProgram:
    """Put the functions one behind the other and resolve what refers from one to another."""
    starts: dict[Function, int] = {}
    code: list[Insn] = []
    for simplified, part in zip(functions, emitted, strict=True):
        starts[simplified.function] = len(code)
        code += part.code
    relocations: list[Relocation] = []
    infos = []
    line_parts: list[tuple[int, Lines]] = []
    for simplified, part in zip(functions, emitted, strict=True):
        start = starts[simplified.function]
        for index, op in part.references:
            at = start + index
            if isinstance(op, ops.FunctionRef):
                code[at] = (isa.LD_IMM64, code[at][1], isa.PSEUDO_FUNC, 0, starts[op.function] - at - 1)
            else:
                source, relocation = _relocate(op, at)
                code[at] = (isa.LD_IMM64, code[at][1], source, 0, 0)
                relocations.append(relocation)
        relocations += [Relocation(start + index, "map", name) for index, name in part.maps]
        relocations += [Relocation(start + index, "kfunc", name) for index, name in part.kfuncs]
        infos.append(FunctionInfo(simplified.function.name, start, simplified.function.parameters))
        line_parts.append((start, part.lines))
    if len(code) > isa.MAX_INSNS:
        raise InternalError(f"{len(code)} instructions are more than the kernel takes ({isa.MAX_INSNS})")
    relocations.sort(key=lambda relocation: relocation.index)
    return EmittedProgram(
        encode_instructions(code),
        tuple(relocations),
        tuple(infos),
        tuple(merge_lines(line_parts)),
        scratch_bytes,
        depth,
    )


def _relocate(op: Op, index: int) -> tuple[int, Relocation]:
    if isinstance(op, ops.MapHandle):
        return isa.PSEUDO_MAP_FD, Relocation(index, "map", op.name)
    if isinstance(op, ops.MapValue):
        return isa.PSEUDO_MAP_VALUE, Relocation(index, "map_value", op.name, op.offset)
    raise InternalError(f"{type(op).__name__} is no reference")
