"""The case files in the user-space machine: text -> compile -> machine -> rendered text, with no kernel."""

import pytest
from bare_target import BareTarget
from casefile import Case, read_cases, run_cases
from running import compiled, run_image

from kloupe.base.source import Source
from kloupe.cli.dumps import STAGES
from kloupe.codegen.pipeline import compile_script
from kloupe.engine.machine.engine import MachineEngine
from kloupe.imagefile import from_bytes, to_bytes


@pytest.mark.parametrize("case", run_cases(), ids=lambda case: case.id)
def test_run(case: Case) -> None:
    image, messages = compiled(case)
    assert image is not None, messages
    status, out, errors = run_image(image, MachineEngine(cpus=2))
    assert out == case.parts["stdout"]
    assert messages + errors == case.parts.get("stderr", "")
    assert status == case.status


@pytest.mark.parametrize("case", read_cases("errors.txt"), ids=lambda case: case.id)
def test_error(case: Case) -> None:
    image, messages = compiled(case)
    assert image is None
    assert messages == case.parts["stderr"]


def test_a_written_image_runs_the_same() -> None:
    for case in run_cases()[::7]:
        image, _ = compiled(case)
        assert image is not None
        again = from_bytes(to_bytes(image))
        assert to_bytes(again) == to_bytes(image)
        assert run_image(again, MachineEngine(cpus=2))[1] == case.parts["stdout"]


def test_same_input_same_image() -> None:
    case = run_cases()[0]
    first, second = compiled(case)[0], compiled(case)[0]
    assert first is not None and second is not None
    assert to_bytes(first) == to_bytes(second)


@pytest.mark.parametrize("case", read_cases("stages.txt"), ids=lambda case: case.id)
def test_stage(case: Case) -> None:
    compilation = compile_script(Source("stdin", case.script), BareTarget())
    for stage, expected in case.parts.items():
        assert "".join(f"{text}\n" for text in STAGES[stage](compilation)) == expected
