"""Instructions survive encoding and decoding, and are what the format says."""

from __future__ import annotations

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kloupe.bpf import isa
from kloupe.bpf.helpers import HELPER_NAMES, HELPERS
from kloupe.bpf.insn import Instruction, decode_program, encode_program, imm64, load_imm64, signed32
from kloupe.bpf.program_types import ATTACH_TYPES, MAP_TYPES, PROGRAM_TYPES

INSTRUCTIONS = st.builds(
    Instruction,
    st.integers(0, 255),
    st.integers(0, 15),
    st.integers(0, 15),
    st.integers(-0x8000, 0x7FFF),
    st.integers(-0x80000000, 0x7FFFFFFF),
)


@given(st.lists(INSTRUCTIONS, max_size=20))
def test_what_is_encoded_decodes_to_the_same(program: list[Instruction]) -> None:
    code = encode_program(program)
    assert len(code) == 8 * len(program)
    assert decode_program(code) == program


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 9))
def test_a_wide_load_keeps_its_value(value: int, dst: int) -> None:
    first, second = load_imm64(dst, value)
    assert first.is_wide
    assert first.dst == dst
    assert imm64(first, second) == value


@pytest.mark.skipif(sys.byteorder != "little", reason="the bytes below are those of a little-endian machine")
def test_the_bytes_of_known_instructions() -> None:
    program = [
        Instruction(isa.ALU64 | isa.MOV | isa.K, 3, 0, 0, -2),
        Instruction(isa.STX | isa.MEM | isa.DW, 10, 1, -8),
    ]
    assert encode_program(program).hex() == "b7030000feffffff" + "7b1af8ff00000000"


def test_a_partial_slot_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        decode_program(b"\x95" + bytes(8))


def test_a_field_out_of_range_is_refused() -> None:
    with pytest.raises(struct.error):
        encode_program([Instruction(isa.JMP, 0, 0, 0x8000, 0)])


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (0x7FFFFFFF, 0x7FFFFFFF), (0x80000000, -0x80000000), (-1, -1)])
def test_signed32(value: int, expected: int) -> None:
    assert signed32(value) == expected


@pytest.mark.parametrize(
    ("name", "number", "arguments"),
    [
        ("map_lookup_elem", 1, 2),
        ("probe_read", 4, 3),
        ("get_stackid", 27, 3),
        ("probe_read_kernel_str", 115, 3),
        ("ringbuf_reserve", 131, 3),
        ("for_each_map_elem", 164, 4),
        ("get_attach_cookie", 174, 1),
        ("loop", 181, 4),
        ("ktime_get_tai_ns", 208, 0),
    ],
)
def test_helpers(name: str, number: int, arguments: int) -> None:
    assert HELPERS[name] == (number, arguments)
    assert HELPER_NAMES[number] == name


def test_helper_numbers_are_dense_and_take_what_a_call_can_pass() -> None:
    assert sorted(HELPER_NAMES) == list(range(1, 212))
    assert all(0 <= helper.arguments <= 5 for helper in HELPERS.values())


def test_type_numbers() -> None:
    assert (PROGRAM_TYPES["kprobe"], PROGRAM_TYPES["tracing"]) == (2, 26)
    assert (ATTACH_TYPES["trace_fentry"], ATTACH_TYPES["uprobe_multi"], ATTACH_TYPES["kprobe_session"]) == (24, 48, 56)
    assert (MAP_TYPES["percpu_array"], MAP_TYPES["ringbuf"]) == (6, 27)
