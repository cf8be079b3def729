"""The examples of a Markdown page: fenced blocks marked `bt HOW [ARGUMENTS]`, each with the `output` block right behind it."""

from dataclasses import dataclass
from pathlib import Path

FENCE = "```"


@dataclass
class Example:
    """One example: `how` is run, compile, error or test; `arguments` are the script's."""

    line: int
    how: str
    arguments: list[str]
    script: str
    output: str | None = None


def read_examples(path: Path) -> list[Example]:
    """All examples of a page."""
    examples: list[Example] = []
    marker, body, start = "", [], 0
    for number, line in enumerate(path.read_text().splitlines(keepends=True), 1):
        if not line.startswith(FENCE):
            body.append(line)
            continue
        if marker:
            _add(examples, marker, "".join(body), start)
            marker = ""
        else:
            marker, body, start = line[len(FENCE) :].strip() or "plain", [], number
    return examples


def _add(examples: list[Example], marker: str, text: str, line: int) -> None:
    kind, *rest = marker.split()
    if kind == "bt":
        examples.append(Example(line, rest[0], rest[1:], text))
    elif kind == "output":
        assert examples and examples[-1].output is None, f"line {line}: output of nothing"
        examples[-1].output = text
