"""`-d STAGE`: what a stage of the compiler made, as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..base.errors import UsageError
from ..codegen.pipeline import Compilation


def _ast(compilation: Compilation) -> Iterator[str]:
    from ..lang.printer import dump_tree

    yield dump_tree(compilation.program)


def _types(compilation: Compilation) -> Iterator[str]:
    for info in compilation.analysis.maps.values():
        key = f"[{info.key_type}]" if info.key_type is not None else ""
        yield f"{info.name}{key}: {info.value_type}"
    for unit in compilation.analysis.units:
        yield f"\n{', '.join(point.name for point in unit.points)}"
        for variable in unit.declarations.values():
            yield f"    {variable.name}: {variable.type}"
        for node, found in unit.types.items():
            yield f"    {node.span.line}:{node.span.column} {type(node).__name__} `{_short(node.span.text)}`: {found}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."


def _ir(compilation: Compilation) -> Iterator[str]:
    from ..ir.text import render_program

    for ir in compilation.irs:
        yield from render_program(ir)


def _asm(compilation: Compilation) -> Iterator[str]:
    from ..bpf.asmtext import render_program
    from ..bpf.insn import decode_program

    assert compilation.image is not None
    for program in compilation.image.programs:
        yield f"{program.name}: {len(program.code) // 8} instructions"
        yield from render_program(decode_program(program.code))


STAGES: dict[str, Callable[[Compilation], Iterator[str]]] = {"ast": _ast, "types": _types, "ir": _ir, "asm": _asm}


VERIFIER = "verifier"  # printed when the programs are loaded
# bpftrace's names of what is nearest to its own stages
_ALIASES = {"parse": "ast", "codegen": "ir", "codegen-opt": "ir", "dis": "asm", "libbpf": VERIFIER}


def parse_stages(texts: Sequence[str]) -> list[str]:
    """The stages that `-d` names, in the compiler's order. Raises UsageError for an unknown one."""
    known, found = [*STAGES, VERIFIER], set()
    for name in (part for text in texts for part in text.split(",")):
        stage = _ALIASES.get(name, name)
        if stage not in (*known, "all"):
            raise UsageError(f"USAGE: invalid option for -d: {name}", hint=f"One of {', '.join(known)}, all.")
        found |= set(known) if stage == "all" else {stage}
    return [stage for stage in known if stage in found]


def print_stages(stages: Sequence[str], compilation: Compilation) -> None:
    """Print stages of the compiler; several ones with their names."""
    for stage in stages:
        if len(stages) > 1:
            print(f"-- {stage}")
        for text in STAGES[stage](compilation):
            print(text)
