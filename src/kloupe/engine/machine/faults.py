"""From a Python exception in translated code to a fault that names program, instruction and script line."""

from __future__ import annotations

from bisect import bisect_right
from types import FrameType, TracebackType

from ...base.errors import InternalError, KloupeError, MachineFault, NotSupported
from ...bpf import isa
from ...image import ProgramSpec, SourcePlace
from .core import MASK64, Core
from .translate import Translation


class ProgramFault(MachineFault):
    """A program did something the kernel's verifier would have refused.

    `reason` is the bare cause, `program` its name, `insn` the instruction's index and `place` where the script says it, if known.
    """

    def __init__(self, reason: str, program: str, insn: int, text: str, place: SourcePlace | None) -> None:
        where = f"{place.file}:{place.line}:{place.column}-{place.end_column}: " if place else ""
        super().__init__(f"{where}program {program}, instruction {insn} ({text}): {reason}")
        self.reason = reason
        self.program = program
        self.insn = insn
        self.place = place


def place_of(spec: ProgramSpec, insn: int) -> SourcePlace | None:
    """Where in the script instruction `insn` comes from."""
    at = bisect_right(spec.lines, insn, key=lambda line: line[0]) - 1
    return spec.places[spec.lines[at][1]] if at >= 0 else None


def program_fault(error: Exception, translation: Translation, core: Core) -> KloupeError:
    """The error to raise for what came out of a translated program: a ProgramFault, or ours when it is no fault of the program."""
    from ...bpf.asmtext import render_instruction  # only when there is a fault

    frame, line, innermost = _translated_frame(error.__traceback__, translation.filename)
    if frame is None or isinstance(error, NotSupported):
        return error if isinstance(error, KloupeError) else InternalError(f"{type(error).__name__}: {error}")
    insn = translation.origin[line]
    if isinstance(error, MachineFault):
        reason = str(error)
    elif innermost or _is_missing_argument(error):
        reason = _reason(error, translation, core, frame, insn)
    else:
        return InternalError(f"{type(error).__name__} in a helper: {error}")
    code = translation.code
    text = render_instruction(code[insn], code[insn + 1] if insn + 1 < len(code) else None)
    return ProgramFault(reason, translation.spec.name, insn, text, place_of(translation.spec, insn))


def _translated_frame(trace: TracebackType | None, filename: str) -> tuple[FrameType | None, int, bool]:
    frame, line, innermost = None, 0, False
    while trace is not None:
        innermost = trace.tb_frame.f_code.co_filename == filename
        if innermost:
            frame, line = trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next
    return frame, line, innermost


def _is_missing_argument(error: Exception) -> bool:
    return isinstance(error, TypeError) and "positional argument" in str(error)


def _reason(error: Exception, translation: Translation, core: Core, frame: FrameType, insn: int) -> str:
    if isinstance(error, NameError):
        name = str(error).split("'")[1]
        return f"{name} has no value here (it was never written, or a call has spoiled it)"
    if _is_missing_argument(error):
        return "the called function reads more arguments than it is given"
    if isinstance(error, RecursionError):
        return "calls are nested too deeply"
    instruction = translation.code[insn]
    access = _ACCESSES.get(instruction.instruction_class)
    base = _register(frame, translation, instruction.dst if access == "write" else instruction.src)
    if access is None or base is None:
        return f"{type(error).__name__}: {error}"
    size = isa.BYTES_OF_SIZE[instruction.opcode & isa.SIZE_MASK]
    return str(core.space.fault(base + instruction.off & MASK64, size, write=access == "write"))


def _register(frame: FrameType, translation: Translation, number: int) -> int | None:
    if number == isa.FP:
        return translation.frames[int(frame.f_code.co_name[1:])]
    value = frame.f_locals.get(f"r{number}")
    return value if isinstance(value, int) else None


# What instructions of a class do to memory; loads through the source register, stores through the destination.
_ACCESSES = {isa.LDX: "read", isa.ST: "write", isa.STX: "write"}
