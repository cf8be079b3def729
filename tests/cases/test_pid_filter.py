"""-p: programs of kinds that fire for every process leave at once for other processes."""

import pytest
from bare_target import BareTarget

from kloupe.base.source import Source
from kloupe.codegen.pipeline import compile_script
from kloupe.image import Image
from kloupe.sema.analyzer import CompileOptions


def _image(script: str, pid: int) -> Image:
    image = compile_script(Source("stdin", script), BareTarget(), CompileOptions(only_pid=pid)).image
    assert image is not None
    return image


@pytest.mark.parametrize("probe", ["software:cpu-clock:100", "profile:hz:9", "hardware:cycles:1000"])
def test_other_processes_are_left_out(probe: str) -> None:
    script = f"{probe} {{ @ = 1; }}"
    plain, filtered = _image(script, 0).programs[0].code, _image(script, 4321).programs[0].code
    assert len(filtered) > len(plain)
    assert (4321).to_bytes(4, "little") in filtered


@pytest.mark.parametrize("probe", ["begin", "interval:s:1"])
def test_probes_of_no_process_are_not(probe: str) -> None:
    script = f"{probe} {{ @ = 1; }}"
    assert _image(script, 4321).programs[0].code == _image(script, 0).programs[0].code
