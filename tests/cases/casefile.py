"""Case files: many small scripts with what they must print.

    === name
    script
    --- stdout        (or `--- stderr`, `--- status N`; `--- params A B` and `--- unsafe` before these)
    expected text, up to the next line that begins with `===` or `---`

The last newline of a part belongs to the file format: a part's text is its lines, each ended.
"""

from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
RUN_FILES = ("run.txt", "statements.txt", "library.txt", "output.txt")


@dataclass
class Case:
    """One case: `parts` are the expected streams by name."""

    file: str
    name: str
    script: str
    parts: dict[str, str] = field(default_factory=dict)
    status: int = 0
    params: tuple[str, ...] = ()
    unsafe: bool = False

    @property
    def id(self) -> str:
        """Its name in test reports."""
        return f"{self.file}:{self.name}"


def run_cases() -> list[Case]:
    """The cases of all files whose scripts run."""
    return [case for file in RUN_FILES for case in read_cases(file)]


def read_cases(file: str) -> list[Case]:
    """All cases of a file of this folder."""
    cases: list[Case] = []
    part = ""
    for line in (HERE / file).read_text().splitlines(keepends=True):
        if line.startswith("=== "):
            cases.append(Case(file, line[4:].strip(), ""))
            part = "script"
        elif line.startswith("--- status "):
            cases[-1].status = int(line[11:])
        elif line.startswith("--- params "):
            cases[-1].params = tuple(line[11:].split())
        elif line.startswith("--- unsafe"):
            cases[-1].unsafe = True
        elif line.startswith("--- "):
            part = line[4:].strip()
            cases[-1].parts[part] = ""
        elif part == "script":
            cases[-1].script += line
        elif part:
            cases[-1].parts[part] += line
    return cases
