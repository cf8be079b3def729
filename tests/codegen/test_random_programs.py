"""Random programs give the same as IR and as eBPF, for every kind of machine."""

from __future__ import annotations

import pytest
from agreement import check_agreement
from randomir import RandomProgram

from kloupe.codegen.emit import EmitOptions

OPTIONS = [EmitOptions(cpu_v4=v4, atomic_fetch=fetch) for v4 in (False, True) for fetch in (False, True)]


@pytest.mark.parametrize("start", range(0, 160, 20))
def test_ir_and_ebpf_agree(start: int) -> None:
    for seed in range(start, start + 20):
        program = RandomProgram(seed, size=15 + seed % 50, big_slots=seed % 3 == 0).build()
        check_agreement(program, OPTIONS[seed % 4])


@pytest.mark.parametrize("seed", range(3))
def test_long_programs_agree(seed: int) -> None:
    check_agreement(RandomProgram(10_000 + seed, size=800).build())


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (check_agreement(RandomProgram(7, size=60).build())[0] for _ in range(2))
    assert first.code == second.code
    assert first.relocations == second.relocations
