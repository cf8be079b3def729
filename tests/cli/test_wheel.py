"""The wheel: pure, complete, and good enough to run from with an empty environment."""

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SHARED = (
    "man/man1/kloupe.1",
    "bash-completion/completions/kloupe",
    "zsh/site-functions/_kloupe",
    "fish/vendor_completions.d/kloupe.fish",
)

pytestmark = pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="needs hatchling (the dev extra)")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, PROJECT]
    subprocess.run(command, check=True, timeout=120)
    (found,) = folder.glob("*.whl")
    return found


def test_pure_and_complete(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    source = PROJECT / "src"
    wanted = [path for path in (source / "kloupe").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {str(path.relative_to(source)) for path in wanted} <= inside
    for path in SHARED:
        assert any(name.endswith(f"/share/{path}") for name in inside)


def test_runs_from_the_wheel_with_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = "import sys; sys.path.insert(0, sys.argv.pop(1)); from kloupe.__main__ import main; sys.exit(main())"
    program = 'begin { printf("%d\\n", twice(4)); } macro twice(x) { x + x }'
    command = [sys.executable, "-S", "-I", "-c", script, str(tmp_path), "--engine", "machine", "-q", "-e", program]
    done = subprocess.run(command, capture_output=True, text=True, env={}, cwd="/", timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("8\n\n\n", "", 0)
