"""The example scripts: each says what it is for, and compiles on a machine that has what it names."""

from pathlib import Path

import pytest
from documented_machine import DocumentedTarget

from kloupe.base.source import Source
from kloupe.codegen.pipeline import compile_script
from kloupe.sema.analyzer import CompileOptions

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.bt"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_compiles(path: Path) -> None:
    text = path.read_text()
    shebang, comment, *_ = text.splitlines()
    assert shebang == "#!/usr/bin/env kloupe" and comment.startswith("// ")
    mode = "test" if "\ntest:" in text else "run"
    compilation = compile_script(Source(path.name, text), DocumentedTarget(), CompileOptions(mode=mode, child_pid=1))
    assert compilation.image is not None and compilation.image.programs
    assert [item.message for item in compilation.warnings] == []


def test_the_tour_is_numbered() -> None:
    assert [path.name[:2] for path in EXAMPLES] == [f"{number:02}" for number in range(1, len(EXAMPLES) + 1)]
