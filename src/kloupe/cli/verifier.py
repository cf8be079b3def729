"""A program that the kernel refused, explained in terms of the script."""

from __future__ import annotations

import re

from ..base.errors import VerifierError
from ..image import Image, ProgramSpec, SourcePlace

TAIL_LINES = 12
_INSN = re.compile(r"^(\d+): \(")
_MARKED = re.compile(r"^\s*>>> (\d+) \| \(")  # how newer kernels point at the instruction among its neighbours
_HELPER = re.compile(r"call (bpf_\w+)#\d+")
_NOT_HERE = "helper call is not allowed in probe|Use the helper only from an allowed attach point"
REFUSED = "the kernel's verifier refused this"
# What the verifier says -> what it means and what helps. Patterns are parts of the kernel's own messages (kernel/bpf/verifier.c).
CAUSES: tuple[tuple[str, str], ...] = (
    (
        _NOT_HERE,
        "The kernel allows this function only in some probes (path(): in fentry of a few functions of the file system).",
    ),
    (
        "BPF program is too large",
        "The program is too long for the verifier: split it over several probes or shorten loops and unrolls.",
    ),
    (
        "loop is not bounded|infinite loop detected|back-edge",
        "A loop has no bound that the verifier can see: use `for $i : 0..n`.",
    ),
    (
        "combined stack size",
        "Too much memory is needed on the stack: use smaller strings, or fewer variables inside nested loops.",
    ),
    (
        "unknown func|program of this type cannot use helper",
        "This kernel or this kind of probe lacks a function that the script uses: try another kind of probe.",
    ),
    (
        "invalid mem access 'scalar'|invalid mem access 'inv'",
        "Memory is read through a number: cast it to a pointer to the right type.",
    ),
    (
        "unbounded memory access|unbounded min value",
        "A length or an index may be out of range: compare it with a limit first.",
    ),
    ("Permission denied|not permitted", "The kernel does not allow this to the user: see `kloupe doctor`."),
)


def failing_place(log: str, program: ProgramSpec) -> SourcePlace | None:
    """The script's place of the instruction that the log points at, else of the last one it names."""
    last = None
    for text in log.splitlines():
        marked = _MARKED.match(text)
        match = marked or _INSN.match(text)
        if match:
            last = int(match[1])
        if marked:
            break
    if last is None:
        return None
    best = None
    for index, place in program.lines:
        if index > last:
            break
        best = program.places[place]
    return best


def headline(log: str) -> str:
    """What was refused, in bpftrace's words where it has some."""
    if not re.search(_NOT_HERE, log):
        return REFUSED
    marked = next((text for text in log.splitlines() if _MARKED.match(text)), log)
    called = _HELPER.findall(marked)
    return f"helper {called[-1]} not allowed in probe" if called else REFUSED


def verdict(log: str) -> str:
    """What the verifier objected to: its last line that is no statistics."""
    lines = [text for text in log.splitlines() if text.strip()]
    for text in reversed(lines):
        if not text.startswith(("processed ", "verification time", "stack depth", "max_states")):
            return text.strip()
    return ""


def explain(error: VerifierError, *, whole: bool = False, image: Image | None = None) -> str:
    """The message for a refused program: the place with a caret, the objection, the likely cause, the log's tail (or all)."""
    objection = verdict(error.log)
    lines = []
    program = next((p for p in image.programs if p.name == error.program), None) if image else None
    place = failing_place(error.log, program) if program else None
    if place is not None:
        lines.append(f"{place.file}:{place.line}:{place.column}-{place.end_column}: ERROR: {headline(error.log)}")
        lines.append(place.text.replace("\t", "    "))
        tabs = place.text.encode()[: place.column - 1].count(b"\t")
        lines.append(" " * (place.column - 1 + 3 * tabs) + "~" * max(1, place.end_column - place.column))
    else:
        lines.append(f"ERROR: {error}")
    if objection:
        lines.append(f"It says: {objection}")
    cause = next((text for pattern, text in CAUSES if re.search(pattern, error.log)), error.hint)
    if cause:
        lines.append(f"HINT: {cause}")
    log = error.log.rstrip().splitlines()
    if whole:
        lines += ["The verifier's log:", *log]
    elif log:
        lines += [f"The end of the verifier's log (-v shows all of its {len(log)} lines):", *log[-TAIL_LINES:]]
    return "\n".join(lines) + "\n"
