"""The man page and the completions are those that the option table gives."""

import runpy
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
FILES = runpy.run_path(str(PROJECT / "scripts" / "make_command_docs.py"))["FILES"]


@pytest.mark.parametrize("path", FILES)
def test_up_to_date(path: str) -> None:
    assert (PROJECT / path).read_text() == FILES[path](), "run scripts/make_command_docs.py"


def test_bash_reads_its_completion() -> None:
    subprocess.run(["bash", "-n", PROJECT / "completions" / "kloupe.bash"], check=True)
