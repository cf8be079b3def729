"""The arena that places slots, line tables, constant arithmetic."""

from __future__ import annotations

import random

import pytest

from kloupe.base.source import NOWHERE, Source, Span
from kloupe.codegen.emit import emit_program
from kloupe.codegen.fold import fold_alu, fold_byte_swap, fold_compare, fold_extend
from kloupe.codegen.frame import Arena
from kloupe.codegen.lineinfo import merge_lines, span_at
from kloupe.ir.builder import Builder


def test_an_arena_never_hands_out_what_is_taken() -> None:
    pick, arena, taken = random.Random(1), Arena(), {}
    for _ in range(3000):
        if taken and pick.random() < 0.5:
            offset = pick.choice(list(taken))
            arena.give_back(offset, taken.pop(offset))
        else:
            size = 8 * pick.randint(1, 6)
            offset = arena.take(size)
            assert offset is not None
            assert all(offset + size <= start or start + length <= offset for start, length in taken.items())
            taken[offset] = size
    for offset, size in taken.items():
        arena.give_back(offset, size)
    assert arena.take(arena.used) == 0, "all of it is one free piece again"


def test_an_arena_keeps_its_limit() -> None:
    arena = Arena(32)
    assert arena.take(24) == 0
    assert arena.take(16) is None
    assert arena.take(8) == 24
    arena.give_back(0, 24)
    assert arena.take(16) == 0


def spans(count: int) -> list[Span]:
    source = Source("test.bt", "abcdefgh" * 10)
    return [Span(source, index, index + 1) for index in range(count)]


def test_lines_keep_changes_and_starts_of_functions() -> None:
    a, b, c = spans(3)
    merged = merge_lines([(0, [(2, a), (3, a), (5, NOWHERE), (6, b), (6, c)]), (10, [(0, c), (4, b)])])
    assert merged == [(0, a), (6, c), (10, c), (14, b)]
    assert span_at(merged, 5) is a
    assert span_at(merged, 12) is c
    assert span_at([(3, a)], 1) is None


def test_instructions_carry_the_spans_of_their_operations() -> None:
    first, second = spans(2)
    b = Builder("spans")
    with b.at(first):
        b.call("send_signal", 9)
    with b.at(second):
        b.store(b.map_value("m"), 0, 8, 1)
        b.exit(0)
    lines = emit_program(b.program).lines
    assert [(index, span.start) for index, span in lines] == [(0, 0), (2, 1)]


@pytest.mark.parametrize(
    ("op", "left", "right", "bits", "expected"),
    [
        ("add", (1 << 63) - 1, 1, 64, -(1 << 63)),
        ("sub", 0, 1, 32, 0xFFFFFFFF),
        ("div", -1, 2, 64, (1 << 63) - 1),
        ("div", 5, 0, 64, 0),
        ("mod", 5, 0, 64, 5),
        ("mod", -1, 0, 32, 0xFFFFFFFF),
        ("sdiv", -7, 2, 64, -3),
        ("smod", -7, 2, 64, -1),
        ("sdiv", -(1 << 63), -1, 64, -(1 << 63)),
        ("smod", -(1 << 63), -1, 64, 0),
        ("sdiv", 7, 0, 64, 0),
        ("smod", -7, 0, 64, -7),
        ("arsh", -8, 1, 64, -4),
        ("arsh", 0x80000000, 31, 32, 0xFFFFFFFF),
        ("rsh", -1, 65, 64, (1 << 63) - 1),
        ("lsh", 1, 33, 32, 2),
        ("neg", 5, 0, 32, 0xFFFFFFFB),
    ],
)
def test_arithmetic(op: str, left: int, right: int, bits: int, expected: int) -> None:
    assert fold_alu(op, left, right, bits) == expected


def test_comparisons_extensions_and_swaps() -> None:
    assert fold_compare("gt", -1, 1, 64)
    assert not fold_compare("sgt", -1, 1, 64)
    assert fold_compare("slt", 0xFFFFFFFF, 0, 32)
    assert not fold_compare("slt", 0xFFFFFFFF, 0, 64)
    assert fold_compare("set", 6, 2, 64)
    assert fold_byte_swap(0x11223344, 16) == 0x4433
    assert fold_byte_swap(1, 64) == 1 << 56
    assert fold_extend(0x80, 1, True) == -128
    assert fold_extend(0x1FF, 1, False) == 0xFF
