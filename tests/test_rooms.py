"""Who may import whom: the table of docs/architecture.md, held against the imports in the code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "kloupe"
PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
ROW = re.compile(r"^\| `(\w+)` \|[^|]*\| ([\w, ]+) \|$", re.MULTILINE)


def read_table() -> dict[str, set[str]]:
    """Room -> the rooms it may import."""
    rows = {room: set(text.split(", ")) for room, text in ROW.findall(PAGE.read_text())}
    everything = set(rows)
    words = {"nothing": set(), "everything": everything}
    return {room: words.get(", ".join(names), names) if len(names) == 1 else names for room, names in rows.items()}


ALLOWED = read_table()


def room_of(path: Path) -> str:
    """The room a file is in: its folder below src/kloupe, or its own name."""
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else path.stem


def imported_rooms(path: Path) -> set[str]:
    """The rooms that a file imports, also inside functions."""
    package = ("kloupe", *path.relative_to(ROOT).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            modules = (
                [(*base, *(node.module or "").split("."))] if node.module else [(*base, a.name) for a in node.names]
            )
            found |= {parts[1] for parts in modules if len(parts) > 1 and parts[0] == "kloupe"}
    return {room for room in found if not room.startswith("__")} - {room_of(path)}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py")) if (ROOT / room).is_dir() else [ROOT / f"{room}.py"]
    assert files
    wrong = {str(path.relative_to(ROOT)): imported_rooms(path) - ALLOWED[room] for path in files}
    assert not {path: rooms for path, rooms in wrong.items() if rooms}


def test_only_host_touches_the_operating_system() -> None:
    for path in ROOT.rglob("*.py"):
        if room_of(path) == "host":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            assert "ctypes" not in names, path


def test_every_room_is_in_the_table() -> None:
    rooms = {room_of(path) for path in ROOT.rglob("*.py")} - {"__init__", "__main__"}
    assert rooms == set(ALLOWED)
