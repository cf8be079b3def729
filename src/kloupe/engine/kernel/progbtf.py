"""BTF of our own programs: function names, and for every instruction the script's line, which the verifier then quotes.

Sources: Documentation/bpf/btf.rst; `struct bpf_func_info` and `struct bpf_line_info` in the uapi header linux/bpf.h;
check_btf_func and check_btf_line in kernel/bpf/verifier.c (each function needs a line at its first instruction, lines ascend).
"""

from __future__ import annotations

import struct
from bisect import bisect_right

from ...binfmt.btf_write import GLOBAL, STATIC, BtfWriter
from ...image import ProgramSpec, SourcePlace

_MOST_COLUMN, _MOST_LINE = (1 << 10) - 1, (1 << 22) - 1


def _identifier(name: str) -> str:
    """A name as BTF allows it: a C identifier of at most 127 characters."""
    text = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)[:127]
    return text if text and not text[0].isdigit() else f"_{text}"


def _function_records(program: ProgramSpec, btf: BtfWriter) -> bytes:
    """func_info: {first instruction, type number} of each function. All arguments and results are u64."""
    word = btf.add_int("u64", 8)
    records = bytearray()
    prototypes: dict[int, int] = {}
    for index, function in enumerate(program.functions):
        count = function.arguments
        if count not in prototypes:
            prototypes[count] = btf.add_func_proto(word, [(f"a{number}", word) for number in range(count)])
        number = btf.add_func(_identifier(function.name), prototypes[count], STATIC if index else GLOBAL)
        records += struct.pack("=II", function.start_insn, number)
    return bytes(records)


def _line_records(program: ProgramSpec, btf: BtfWriter) -> bytes:
    """line_info: one record for each entry of `lines`, and one at the start of each function that lacks it."""
    if not program.lines:
        return b""
    at = [index for index, _ in program.lines]
    lines = dict(program.lines)
    for function in program.functions:
        if function.start_insn not in lines:
            before = max(bisect_right(at, function.start_insn) - 1, 0)
            lines[function.start_insn] = program.lines[before][1]
    records = bytearray()
    for index in sorted(lines):
        place: SourcePlace = program.places[lines[index]]
        position = min(place.line, _MOST_LINE) << 10 | min(place.column, _MOST_COLUMN)
        records += struct.pack("=IIII", index, btf.add_string(place.file), btf.add_string(place.text), position)
    return bytes(records)


def encode_program_btf(program: ProgramSpec) -> tuple[bytes, bytes, bytes]:
    """(BTF blob, func_info records, line_info records) of a program."""
    btf = BtfWriter()
    func_info = _function_records(program, btf)
    line_info = _line_records(program, btf)
    return btf.encode(), func_info, line_info
