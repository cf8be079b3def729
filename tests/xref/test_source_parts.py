"""A question about a word is put to parts of a file; the answers are those of the whole."""

import re
from pathlib import Path

from kloupe.source import Tree
from kloupe.xref.text import SourceText

COMMENTED = b"""int first(void)
{
\treturn wanted();
}

/* not now:
int second(void)
{
\treturn wanted();
}

int third(void)
{
\treturn wanted();
}
*/
int fourth(void)
{
\treturn wanted();
}
"""
MACRO_INSIDE = b"""int outer(void)
{
\twanted();
#define CHECK(x) do { \\
\tcheck(x); \\
}
\twanted();
#undef CHECK
\twanted();
}
"""


def places(text: SourceText, name: bytes) -> list[tuple[int, str]]:
    found = []
    for at in text.words(name):
        scope = text.scope_at(at)
        found.append((text.line_at(at), scope.name if scope else ""))
    return found


def in_parts(text: SourceText, name: bytes) -> list[tuple[int, str]]:
    return [place for part in text.parts_with(name) for place in places(part, name)]


def test_parts_of_every_file_answer_like_the_whole(indexed: Tree) -> None:
    cut = 0
    for path in indexed.paths():
        data = (Path(indexed.root) / path).read_bytes()
        for word in sorted(set(re.findall(rb"[A-Za-z_]\w+", data))):
            assert in_parts(SourceText(path, data), word) == places(SourceText(path, data), word), (path, word)
            cut += len(SourceText(path, data).parts_with(word)) > 1
    assert cut > 50


def test_a_cut_in_a_comment_is_not_made() -> None:
    text = SourceText("kernel/a.c", COMMENTED)
    assert in_parts(text, b"wanted") == [(3, "first"), (19, "fourth")] == places(text, b"wanted")


def test_a_cut_behind_a_macro_in_a_function_is_not_made() -> None:
    text = SourceText("kernel/a.c", MACRO_INSIDE)
    assert in_parts(text, b"wanted") == [(3, "outer"), (7, "outer"), (9, "outer")]


def test_parts_are_small() -> None:
    other = b"int other(void)\n{\n\treturn 0;\n}\n\n"
    text = SourceText("kernel/a.c", other * 50 + b"int user(void)\n{\n\treturn wanted();\n}\n\n" + other * 50)
    (part,) = text.parts_with(b"wanted")
    assert len(part.data) < 60
    assert places(part, b"wanted") == [(253, "user")]
