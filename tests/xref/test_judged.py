"""Every construct of the judged tree, with and without an index."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kloupe.source import Definition, Tree

JUDGED = (Path(__file__).parent / "judged.txt").read_text()
DEFINITIONS = re.findall(r"^def (\S+) = (.*)$", JUDGED, re.M)
VERBS = {"refs": "references", "assigns": "assignments", "file": "files"}


def read_questions() -> Iterator[tuple[str, list[str]]]:
    """(question, its answers) of the second part."""
    question, answers = "", []
    for line in JUDGED.partition("# Other questions")[2].split("\n")[1:]:
        if line.startswith("    "):
            answers.append(line.strip())
        elif line:
            if question:
                yield question, answers
            question, answers = line, []
    yield question, answers


def spelled(item: Definition) -> str:
    by = f" by {item.macro}" if item.macro else ""
    scope = f" of {item.scope}" if item.scope else ""
    condition = f" #if {' && '.join(item.condition)}" if item.condition else ""
    return f"{item.kind} {item.file}:{item.line}{by}{scope}{condition}"


@pytest.mark.parametrize(("name", "meaning"), DEFINITIONS, ids=[name for name, _ in DEFINITIONS])
def test_a_name_leads_to_its_definitions(indexed: Tree, name: str, meaning: str) -> None:
    assert [spelled(item) for item in indexed.definitions(name)] == meaning.split("; ")


def test_nothing_else_is_defined(indexed: Tree) -> None:
    """Of all words in the tree, exactly the judged ones are defined."""
    words = {
        word
        for path in indexed.paths()
        for word in re.findall(r"[A-Za-z_]\w+", (Path(indexed.root) / path).read_text())
    }
    judged = {name for name, _ in DEFINITIONS}
    assert {word for word in words if indexed.definitions(word)} == words & judged


@pytest.mark.parametrize(
    ("question", "answers"), list(read_questions()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_questions(indexed: Tree, question: str, answers: list[str]) -> None:
    verb, _, argument = question.partition(" ")
    found = getattr(indexed, VERBS.get(verb, verb))(argument)
    lines = [item if isinstance(item, str) else " ".join(str(getattr(item, f)) for f in item.FIELDS) for item in found]
    assert [line.strip() for line in lines] == answers


def test_the_same_without_an_index(indexed: Tree, folder: Path) -> None:
    plain = Tree(folder, machine="x86")
    assert not plain.indexed
    for name in (
        "demo_read",
        "sys_demo_read",
        "trace_demo_start",
        "value_open",
        "demo_made_one",
        "dev_attr_level",
        "demo_item",
    ):
        assert list(plain.definitions(name)) == list(indexed.definitions(name)), name
    assert list(plain.text("demo_open(")) == list(indexed.text("demo_open("))
    assert list(plain.callers("demo_open")) == list(indexed.callers("demo_open"))


def test_a_pattern_of_names_and_a_kind(indexed: Tree) -> None:
    assert {item.name for item in indexed.definitions("plain_*")} == {"plain_read", "plain_open", "plain_operations"}
    assert [item.kind for item in indexed.definitions("struct demo_item")] == ["struct", "struct"]
    assert not indexed.definitions("enum demo_item")


def test_chains_of_calls(indexed: Tree) -> None:
    chain = indexed.calls("sys_demo_read", "plain_read")
    assert [(call.caller, call.callee) for call in chain] == [
        ("sys_demo_read", "ksys_demo_read"),
        ("ksys_demo_read", "plain_read"),
    ]
    assert [call.callee for call in indexed.calls("demo_init", "demo_choose")] == [
        "demo_loop",
        "demo_gnu_style",
        "demo_branches",
        "demo_choose",
    ]
    assert indexed.calls("plain_read", "sys_demo_read") == []
    assert indexed.call_tree("ksys_demo_read", 3) == [(0, "ksys_demo_read"), (1, "plain_read")]


def test_config_symbols(indexed: Tree) -> None:
    driver = indexed.config("CONFIG_DEMO_DRIVER")
    (entry,) = driver.entries
    assert (entry.type, entry.prompt) == ("tristate", "A driver that does nothing")
    assert entry.depends == ("DEMO_CORE && !DEMO_OFF",)
    assert entry.selects == ("DEMO_CORE",)
    assert entry.defaults == ("m",)
    assert [(use.file, use.line) for use in driver.code] == [
        ("drivers/demo/driver.c", 11),
        ("include/linux/demo.h", 44),
        ("kernel/demo.c", 50),
    ]
    assert [(use.file, use.line) for use in driver.builds] == [("Makefile", 2)]
    core = indexed.config("DEMO_CORE")
    assert [(use.function, use.line) for use in core.selected_by] == [("DEMO_DRIVER", 10), ("DEMO_OFF", 18)]
    assert indexed.config("DEMO_OFF").entries[0].type == "bool"
    assert not indexed.config("DEMO_HELP").entries, "help text is no entry"
