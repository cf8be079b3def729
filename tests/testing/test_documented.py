"""The example of docs/testing.md, run as it stands there, from the project's folder."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()


@pytest.mark.parametrize("number", range(2))
def test_the_example(kloupe, monkeypatch, number):
    monkeypatch.chdir(ROOT)
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    names: dict[str, object] = {}
    exec(compile(code, "docs/testing.md", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    tests[number](kloupe)


def test_every_option_exists():
    from kloupe.testbed.run import ScriptRun

    for name in re.findall(r"`(?:run|with run)\.(\w+)", PAGE):
        assert hasattr(ScriptRun, name) or name in ("maps", "commands", "memory"), name
