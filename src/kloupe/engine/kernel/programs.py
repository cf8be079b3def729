"""Loading programs: relocations, targets named by BTF number, line information, verifier errors."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from ...base.errors import InternalError, MissingFacts
from ...bpf.insn import INSN_BYTES
from ...bpf.isa import CALL_KFUNC, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE
from ...bpf.program_types import ATTACH_TYPES, PROGRAM_FLAGS, PROGRAM_TYPES
from ...host import bpf
from ...image import AttachSpec, ProgramSpec, Relocation
from .btf_ids import BtfIds
from .maps import KernelMap
from .progbtf import encode_program_btf
from .refusal import explain_load

LogSink = Callable[[str, str], None]


class LoadedProgram(NamedTuple):
    """One program in the kernel and where it attaches. Owns `fd`.

    A ProgramSpec whose targets are named at load time (fentry, ...) makes one of these for each target.
    """

    spec: ProgramSpec
    fd: int
    attach: tuple[AttachSpec, ...]


class _Target(NamedTuple):
    """What a load names: BTF number of the function, tracepoint or iterator, and the descriptor of its module's BTF or its program."""

    btf_id: int = 0
    btf_fd: int = 0


_TargetOf = Callable[[BtfIds, AttachSpec], _Target]


def _function_target(ids: BtfIds, spec: AttachSpec) -> _Target:
    if "program" in spec.params:
        return _Target(int(spec.params["type_id"]), ids.program(int(spec.params["program"])))
    return _Target(*ids.function(str(spec.params["function"]), str(spec.params.get("module", ""))))


def _tracepoint_target(ids: BtfIds, spec: AttachSpec) -> _Target:
    return _Target(ids.raw_tracepoint(str(spec.params["event"])))


def _iterator_target(ids: BtfIds, spec: AttachSpec) -> _Target:
    return _Target(ids.iterator(str(spec.params["object"])))


# The attach types whose target is named when the program is loaded.
_TARGETS: dict[str, _TargetOf] = {
    "trace_raw_tp": _tracepoint_target,
    "trace_fentry": _function_target,
    "trace_fexit": _function_target,
    "trace_iter": _iterator_target,
}


def _set_immediate(code: bytearray, at: int, source: int, low: int, high: int | None) -> None:
    """Write the source register (keeping the destination) and the immediate of the instruction at byte `at`."""
    registers = code[at + 1]
    code[at + 1] = (registers & 0x0F | source << 4) if sys.byteorder == "little" else (registers & 0xF0 | source)
    struct.pack_into("=I", code, at + 4, low & 0xFFFFFFFF)
    if high is not None:
        struct.pack_into("=I", code, at + INSN_BYTES + 4, high & 0xFFFFFFFF)


def _relocate(code: bytearray, relocation: Relocation, maps: Mapping[str, KernelMap], ids: BtfIds) -> None:
    at = relocation.index * INSN_BYTES
    if relocation.kind in ("map", "map_value"):
        target = maps.get(relocation.name)
        if target is None:
            raise InternalError(f"a program refers to map {relocation.name}, which the Image does not have")
        whole = relocation.kind == "map"
        _set_immediate(
            code, at, PSEUDO_MAP_FD if whole else PSEUDO_MAP_VALUE, target.fd, 0 if whole else relocation.addend
        )
    elif relocation.kind == "kfunc":
        number, _ = ids.function(relocation.name)
        _set_immediate(code, at, CALL_KFUNC, number, None)
    elif relocation.kind == "ksym_id":
        struct.pack_into("=I", code, at + 4, ids.symbol(relocation.name))
    else:
        raise InternalError(f"unknown relocation {relocation.kind}")


def relocated_code(program: ProgramSpec, maps: Mapping[str, KernelMap], ids: BtfIds) -> bytes:
    """The program's code with descriptors and numbers filled in."""
    code = bytearray(program.code)
    for relocation in program.relocations:
        _relocate(code, relocation, maps, ids)
    return bytes(code)


def _load(load: bpf.ProgramLoad, program: ProgramSpec, log_sink: LogSink | None) -> int:
    """Load with BTF, or without it when the kernel does not take it. Raises VerifierError and TargetErrors."""
    btf_fd = -1
    if program.functions:
        blob, func_info, line_info = encode_program_btf(program)
        try:
            btf_fd = bpf.load_btf(blob)
        except OSError:
            btf_fd = -1  # no BTF_LOAD for this user or kernel: the program works without
        else:
            load = load._replace(btf_fd=btf_fd, func_info=func_info, line_info=line_info)
    try:
        fd = bpf.load_program(load)
        if log_sink is not None:
            log_sink(program.name, bpf.log_of_load(load))
        return fd
    except bpf.LoadRefused as error:
        # BTF is checked before the first instruction is looked at.
        looked_at_code = "processed " in error.log and "processed 0 insns" not in error.log
        if btf_fd < 0 or error.errno == errno.EPERM or looked_at_code:
            raise explain_load(error, program.name) from error
        try:
            return bpf.load_program(load._replace(btf_fd=-1))
        except bpf.LoadRefused as second:
            raise explain_load(second, program.name) from second
    finally:
        if btf_fd >= 0:
            os.close(btf_fd)


def _groups(
    program: ProgramSpec, ids: BtfIds, missing: list[tuple[AttachSpec, str]]
) -> list[tuple[_Target, tuple[AttachSpec, ...]]]:
    """The loads that a program needs: one, or one for each target. Targets that do not exist go to `missing`."""
    target_of = _TARGETS.get(program.attach_type) if program.type == "tracing" else None
    if target_of is None:
        return [(_Target(), program.attach)]
    groups: dict[_Target, list[AttachSpec]] = {}
    for spec in program.attach:
        try:
            groups.setdefault(target_of(ids, spec), []).append(spec)
        except MissingFacts as error:
            missing.append((spec, str(error)))
    return [(target, tuple(specs)) for target, specs in groups.items()]


def load_program(
    program: ProgramSpec,
    maps: Mapping[str, KernelMap],
    ids: BtfIds,
    missing: list[tuple[AttachSpec, str]],
    log_sink: LogSink | None = None,
) -> list[LoadedProgram]:
    """Load one ProgramSpec; `log_sink` gets its name and the verifier's log. Raises VerifierError, PermissionNeeded, NotSupported, MissingFacts; then nothing stays loaded."""
    if program.type not in PROGRAM_TYPES or program.attach_type not in ATTACH_TYPES:
        raise InternalError(f"program {program.name}: unknown type {program.type} {program.attach_type}")
    code = relocated_code(program, maps, ids)
    loaded: list[LoadedProgram] = []
    try:
        for target, specs in _groups(program, ids, missing):
            load = bpf.ProgramLoad(
                PROGRAM_TYPES[program.type],
                code,
                program.name,
                ATTACH_TYPES[program.attach_type],
                PROGRAM_FLAGS["sleepable"] if program.sleepable else 0,
                target.btf_id,
                target.btf_fd,
            )
            loaded.append(LoadedProgram(program, _load(load, program, log_sink), specs))
    except BaseException:
        for done in loaded:
            os.close(done.fd)
        raise
    return loaded
