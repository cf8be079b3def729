"""One function: liveness, homes, body and prologue put together."""

from __future__ import annotations

from ..base.record import record
from ..base.source import NOWHERE
from ..bpf import isa
from ..ir import ops
from ..ir.ops import Block, Op, Reg
from .claim import ClaimCode
from .frame import CONTEXT_WORD, SCRATCH_WORD, FramePlan
from .layout import Body, resolve_jumps
from .lineinfo import Lines
from .liveness import FRAME, SCRATCH, Liveness
from .regalloc import MOV_X, STORE_WORD, Homes, Insn, Registers, Snapshot, assign_homes
from .select import Selector
from .simplify import ARGUMENTS, CAPTURES, CONTEXT, Simplified

_AMBIENT = (CONTEXT, SCRATCH, CAPTURES)
_CAPTURES_WORD = -8  # frame offset in callbacks


@record
class EmittedFunction:
    """Resolved but for references to maps, kernel functions and other functions. Indices count from its start."""

    code: list[Insn]
    references: list[tuple[int, Op]]
    maps: list[tuple[int, str]]
    kfuncs: list[tuple[int, str]]
    lines: Lines
    frame_bytes: int
    ambient_reads: set[Reg]  # of context and scratch pointer


class _Ambient:
    """The context, the scratch pointer and the pointer to what is captured: where they come from in this function."""

    def __init__(self, plan: FramePlan, is_root: bool) -> None:
        block = -plan.captured_bytes
        self.loaded: dict[Reg, tuple[Reg, int]] = {}
        if is_root:
            self.words = {CONTEXT: block + CONTEXT_WORD, SCRATCH: block + SCRATCH_WORD}
        else:
            self.words = {CAPTURES: _CAPTURES_WORD}
            self.loaded = {CONTEXT: (CAPTURES, CONTEXT_WORD), SCRATCH: (CAPTURES, SCRATCH_WORD)}


def _derived(simplified: Simplified, plan: FramePlan) -> dict[Reg, tuple[Reg, int]]:
    """Registers that are an address at a distance from another register."""
    places = plan.places[simplified.function]
    result: dict[Reg, tuple[Reg, int]] = {}
    for reg, recipe in simplified.recipes.items():
        if isinstance(recipe, ops.Address):
            base, distance = places[recipe.slot]
            result[reg] = (base, distance + recipe.offset)
        elif isinstance(recipe, ops.Captures):
            result[reg] = (FRAME, -plan.captured_bytes)
    return result


def _analyse(
    simplified: Simplified,
    plan: FramePlan,
    derived: dict[Reg, tuple[Reg, int]],
    loaded: dict[Reg, tuple[Reg, int]],
    releases: bool,
) -> Liveness:
    """Liveness of the function, after registers that no path is sure to write have been given a value."""
    origins = {reg: base for reg, (base, _) in (*derived.items(), *loaded.items())}
    liveness = Liveness(
        simplified.blocks,
        plan.places[simplified.function],
        origins,
        {*simplified.recipes, *loaded},
        SCRATCH if releases else None,
    )
    entry = simplified.blocks[0]
    known = {*_AMBIENT, *ARGUMENTS}
    undefined = sorted((reg for reg in liveness.live_in[entry] if reg not in known), key=lambda reg: reg.number)
    if undefined:
        liveness.define_at_start([ops.Move(NOWHERE, reg, 0) for reg in undefined])
    return liveness


def _write_blocks(
    simplified: Simplified, liveness: Liveness, registers: Registers, selector: Selector, entry: Snapshot
) -> None:
    """All blocks in order; one with a single way in goes on with what the block before it left."""
    blocks, body = simplified.blocks, selector.body
    left: dict[Block, Snapshot] = {blocks[0]: entry}
    for index, block in enumerate(blocks):
        body.starts[block] = len(body.code)
        registers.enter(
            block, liveness.facts[block], liveness.live_in[block], liveness.live_out[block], left.pop(block, None)
        )
        selector.write(block.ops, blocks[index + 1] if index + 1 < len(blocks) else None)
        last = block.ops[-1]
        following = (
            (last.target,)
            if isinstance(last, ops.Jump)
            else (last.then, last.otherwise)
            if isinstance(last, ops.Branch)
            else ()
        )
        for target in following:
            if len(liveness.before[target]) == 1:
                left[target] = registers.leave()


def emit_function(
    simplified: Simplified,
    plan: FramePlan,
    *,
    is_root: bool,
    left_for_callbacks: set[Reg],
    cpu_v4: bool,
    atomic_fetch: bool,
    big_endian: bool,
) -> EmittedFunction:
    """Code for one function. `left_for_callbacks`: what the root has to put into the captured block."""
    claims = is_root and plan.scratch_bytes > 0
    ambient = _Ambient(plan, is_root)
    derived = _derived(simplified, plan)
    liveness = _analyse(simplified, plan, derived, ambient.loaded, claims)
    homes = assign_homes(liveness, ambient.words, -plan.area_bytes[simplified.function])
    body = Body()
    recipes = {**simplified.recipes, **dict.fromkeys(ambient.loaded)}
    registers = Registers(body.code, homes, recipes, derived, ambient.loaded)
    meetings = {block: liveness.live_in[block] for block in liveness.blocks if len(liveness.before[block]) > 1}
    selector = Selector(
        body,
        registers,
        plan.places[simplified.function],
        meetings,
        cpu_v4=cpu_v4,
        releases=claims,
        big_endian=big_endian,
    )
    arriving = _arrival(simplified, homes, is_root, claims)
    _write_blocks(simplified, liveness, registers, selector, Snapshot(arriving, {}, [], 0, set()))
    alive = liveness.live_in[simplified.blocks[0]]
    wanted = registers.read_words | (left_for_callbacks if is_root else set())
    if is_root:
        prologue, maps = _root_prologue(ambient, arriving, alive | wanted, wanted, claims, atomic_fetch)
    else:
        prologue, maps = _callback_prologue(simplified, arriving, wanted), []
    ambient_reads = {reg for reg in ambient.loaded if any(reg in facts.uses for facts in liveness.facts.values())}
    return _finish(body, registers, selector, prologue, maps, ambient_reads)


def _arrival(simplified: Simplified, homes: Homes, is_root: bool, claims: bool) -> dict[Reg, int]:
    """Where things are when the prologue has run."""
    if is_root and not claims:
        return {CONTEXT: homes.registers.get(CONTEXT, 1)}
    if claims:
        scratch_home = homes.registers.get(SCRATCH)
        context = homes.registers.get(CONTEXT, 7 if scratch_home == 6 else 6)
        return {CONTEXT: context, SCRATCH: scratch_home or (8 if context == 7 else 7)}
    index = simplified.function.context_index
    arriving = {reg: number for number, reg in enumerate(ARGUMENTS[: simplified.function.parameters], 1)}
    del arriving[ARGUMENTS[index]]
    arriving[CAPTURES] = homes.registers.get(CAPTURES, index + 1)
    return arriving


def _root_prologue(
    ambient: _Ambient, arriving: dict[Reg, int], used: set[Reg], stored: set[Reg], claims: bool, atomic_fetch: bool
) -> tuple[list[Insn], list[tuple[int, str]]]:
    """Keep the context, claim scratch memory, store what memory has to have."""
    code: list[Insn] = []
    maps: list[tuple[int, str]] = []
    context = arriving[CONTEXT]
    if CONTEXT in used and context != 1:
        code.append((MOV_X, context, 1, 0, 0))
    if claims:
        claim = ClaimCode(ambient.words[CONTEXT], atomic_fetch)
        maps = [(len(code) + index, name) for index, name in claim.maps]
        code += claim.code
        code.append((MOV_X, arriving[SCRATCH], 0, 0, 0))
    for reg in (CONTEXT, SCRATCH):
        if reg in stored and reg in arriving:
            code.append((STORE_WORD, isa.FP, arriving[reg], ambient.words[reg], 0))
    return code, maps


def _callback_prologue(simplified: Simplified, arriving: dict[Reg, int], stored: set[Reg]) -> list[Insn]:
    code: list[Insn] = []
    number, at = simplified.function.context_index + 1, arriving[CAPTURES]
    if at != number:
        code.append((MOV_X, at, number, 0, 0))
    if CAPTURES in stored:
        code.append((STORE_WORD, isa.FP, at, _CAPTURES_WORD, 0))
    return code


def _finish(
    body: Body,
    registers: Registers,
    selector: Selector,
    prologue: list[Insn],
    maps: list[tuple[int, str]],
    ambient_reads: set[Reg],
) -> EmittedFunction:
    """Resolve jumps and shift everything behind the prologue."""
    code, moved = resolve_jumps(body)
    shift = len(prologue)

    def at(index: int) -> int:
        return shift + (index if moved is None else moved[index])

    return EmittedFunction(
        prologue + code,
        [(at(index), op) for index, op in registers.references],
        maps,
        [(at(index), name) for index, name in selector.kfuncs],
        [(at(index), span) for index, span in selector.lines],
        registers.frame_bytes,
        ambient_reads,
    )
