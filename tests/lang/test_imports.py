"""Imports, read from a file system made of a dictionary."""

from kloupe.base.diag import Diagnostics
from kloupe.base.source import Source
from kloupe.lang import nodes as n
from kloupe.lang.imports import resolve_imports
from kloupe.lang.parser import parse_program


class Files:
    def __init__(self, files: dict[str, str], writable: tuple[str, ...] = ()) -> None:
        self.files = files
        self.writable = writable

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def entries(self, path: str) -> list[str] | None:
        inside = [name[len(path) + 1 :] for name in self.files if name.startswith(path + "/")]
        return sorted({name.split("/")[0] for name in inside}) or None

    def is_world_writable(self, path: str) -> bool:
        return path in self.writable


def resolve(text: str, files: dict[str, str], writable: tuple[str, ...] = ()) -> tuple[n.Program, list[str]]:
    diagnostics = Diagnostics()
    program = parse_program(Source("main.bt", text), diagnostics)
    program = resolve_imports(program, "dir", Files(files, writable), diagnostics)
    return program, [item.message for item in diagnostics.items]


def test_scripts_are_merged_in_dependency_order() -> None:
    program, messages = resolve(
        'import "a.bt"; import "c.bt"; begin { print("main"); }',
        {
            "dir/a.bt": 'import "sub/b.bt"; begin { print("a"); } macro f() { 1 }',
            "dir/sub/b.bt": 'import "c.bt"; let @m = hash(3); begin { print("b"); }',
            "dir/c.bt": 'begin { print("c1"); } begin { print("c2"); }',
        },
    )
    assert messages == []
    texts = [s.value.arguments[0].value for p in program.probes for s in p.body]  # type: ignore[attr-defined]
    assert texts == ["c1", "c2", "b", "a", "main"]
    assert [m.name for m in program.macros] == ["f"] and [d.map.name for d in program.map_decls] == ["@m"]


def test_headers_and_folders() -> None:
    program, messages = resolve(
        'import "lib"; begin { import "x.h"; }',
        {"dir/lib/a.bt": "struct s { int x; }; begin { }", "dir/lib/b.h": "typedef int t;", "dir/lib/c.txt": "", "dir/x.h": "union u { int y; };"},
    )  # fmt: skip
    assert messages == []
    assert [h.text for h in program.headers] == ["struct s { int x; };", "typedef int t;", "union u { int y; };"]
    assert len(program.probes) == 2


def test_mistakes() -> None:
    files = {"dir/a.bt": "config = { a = 1 } begin { }", "dir/b.txt": "", "dir/c.bpf.c": "", "dir/d.bt": "begin {"}
    assert resolve('import "no.bt"; begin { }', files)[1] == ["Unable to find suitable path for import"]
    assert resolve('import "a.bt"; begin { }', files)[1] == ["invalid `config` within import"]
    assert resolve('import "b.txt"; begin { }', files)[1] == ['unknown import type: "b.txt"']
    assert resolve('import "d.bt"; begin { }', files)[1] == ["syntax: expected '}'"]
    assert "compiler" in resolve('import "c.bpf.c"; begin { }', files)[1][0]
    assert "global write permissions" in resolve('import "a.bt"; begin { }', files, ("dir/a.bt",))[1][0]
    assert "not at the root" in resolve('begin { import "a.bt"; }', files)[1][0]


def test_a_script_that_imports_itself() -> None:
    program, messages = resolve('import "a.bt"; begin { }', {"dir/a.bt": 'import "a.bt"; end { }'})
    assert messages == [] and len(program.probes) == 2
