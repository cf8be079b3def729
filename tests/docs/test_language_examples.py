"""Every example of docs/language.md: run in the user-space machine, or compiled where it needs a kernel."""

import subprocess
import sys
from pathlib import Path

import pytest
from documented_machine import DocumentedTarget
from markdown import Example, read_examples

from kloupe.base.source import Source
from kloupe.codegen.pipeline import compile_script
from kloupe.stdlib.table import builtins, functions

PAGE = Path(__file__).parents[2] / "docs" / "language.md"
EXAMPLES = read_examples(PAGE)


def of_kind(how: str) -> list[Example]:
    return [example for example in EXAMPLES if example.how == how]


def name(example: Example) -> str:
    return f"line {example.line}"


def kloupe(example: Example, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command in the machine, the script from stdin."""
    command = [
        sys.executable,
        "-m",
        "kloupe",
        "--engine",
        "machine",
        "-q",
        "--no-warnings",
        *options,
        "-",
        *example.arguments,
    ]
    return subprocess.run(command, input=example.script, capture_output=True, text=True, timeout=60, check=False)


def lines(text: str) -> list[str]:
    """The lines that are not empty: the page does not show the empty ones around maps."""
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("example", of_kind("run"), ids=name)
def test_run(example: Example) -> None:
    done = kloupe(example)
    assert (done.stderr, done.returncode) == ("", 0)
    assert example.output is not None
    assert lines(done.stdout) == lines(example.output)


@pytest.mark.parametrize("example", of_kind("compile"), ids=name)
def test_compile(example: Example) -> None:
    compilation = compile_script(Source("stdin", example.script), DocumentedTarget())
    assert compilation.image is not None and compilation.image.programs


@pytest.mark.parametrize("example", of_kind("error"), ids=name)
def test_error(example: Example) -> None:
    done = kloupe(example)
    assert done.returncode == 1
    assert done.stderr == example.output


@pytest.mark.parametrize("example", of_kind("test"), ids=name)
def test_test(example: Example) -> None:
    assert kloupe(example, "--test").returncode == 0


def test_no_example_is_left_out() -> None:
    assert {example.how for example in EXAMPLES} == {"run", "compile", "error", "test"}
    assert PAGE.read_text().count("```bt") == len(EXAMPLES) > 30


@pytest.mark.parametrize("row", sorted({*builtins(), *functions()}))
def test_every_builtin_and_function_is_described(row: str) -> None:
    text = PAGE.read_text()
    assert f"`{row}`" in text or f"`{row}(" in text or f", {row}(" in text
