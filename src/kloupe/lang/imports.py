"""Imports: other scripts and C headers merged into a program. Files are read by what the caller brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from ..base.diag import Diagnostics
from ..base.source import Source, Span
from . import nodes as n
from .parser import parse_program

_COMPILED = (".bpf.c", ".bpf.o", ".c", ".o")
_BLOCK_LIMIT = (
    "Import statements that are not at the root are limited to specific "
    "object (.o), header (.h), or C source (.c or bpf.c) files"
)


class ImportReader(Protocol):
    """The file system as imports see it. Paths are as given in the script, joined to the base folder."""

    def read(self, path: str) -> str | None:
        """A file's text, or None when there is no such file."""

    def entries(self, path: str) -> list[str] | None:
        """The names in a folder, or None when `path` is no folder."""

    def is_world_writable(self, path: str) -> bool:
        """Whether anyone may write to the file or folder itself or to the folder that holds it."""


def resolve_imports(
    program: n.Program, base_dir: str, reader: ImportReader, diagnostics: Diagnostics, params: Sequence[str] = ()
) -> n.Program:
    """`program` with everything it imports.

    Paths, also of nested imports, are relative to `base_dir` (the main script's folder); each is imported once. What an import
    brings stands before what the importing script has, so its begin and end probes run first. Headers go to `headers`.
    """
    resolver = _Resolver(base_dir, reader, diagnostics, params)
    resolver.visit(program)
    if not (resolver.programs or resolver.headers):
        return program
    order = [*resolver.programs, program]
    return n.Program(
        program.span,
        program.shebang,
        program.c_text,
        program.config,
        program.imports,
        tuple(decl for one in order for decl in one.map_decls),
        tuple(macro for one in order for macro in one.macros),
        tuple(probe for one in order for probe in one.probes),
        program.config_span,
        tuple(resolver.headers),
    )


class _Resolver:
    def __init__(self, base_dir: str, reader: ImportReader, diagnostics: Diagnostics, params: Sequence[str]) -> None:
        self.base_dir = base_dir
        self.reader = reader
        self.diagnostics = diagnostics
        self.params = params
        self.seen: set[str] = set()
        self.programs: list[n.Program] = []
        self.headers: list[n.CText] = []

    def visit(self, program: n.Program) -> None:
        """Imports of the root and of all blocks, those of imported scripts first."""
        for statement in program.imports:
            self._import(statement.path, statement.span)
        if "import" in program.span.source.text:
            for statement in _inner_imports(program):
                if statement.path.endswith(".bt") or self.reader.entries(self._join(statement.path)) is not None:
                    self.diagnostics.error(statement.span, _BLOCK_LIMIT)
                else:
                    self._import(statement.path, statement.span)

    def _join(self, path: str) -> str:
        return path if path.startswith("/") or not self.base_dir else f"{self.base_dir}/{path}"

    def _import(self, name: str, span: Span) -> None:
        if name in self.seen or name == "stdlib" or name.startswith("stdlib/"):
            return
        self.seen.add(name)
        path = self._join(name)
        entries = self.reader.entries(path)
        if entries is None and self.reader.read(path) is None:
            message = "Unable to find suitable path for import"
            self.diagnostics.error(span, message, hints=(f"checked: {path}",))
            return
        if self.reader.is_world_writable(path):
            message = f'cowardly refusing to import from a directory with global write permissions: "{path}"'
            self.diagnostics.error(span, message)
            return
        if entries is None:
            self._import_file(name, path, span, strict=True)
            return
        for entry in sorted(entries):
            inner = f"{path}/{entry}"
            if self.reader.entries(inner) is None and f"{name}/{entry}" not in self.seen:
                self.seen.add(f"{name}/{entry}")
                self._import_file(f"{name}/{entry}", inner, span, strict=False)

    def _import_file(self, name: str, path: str, span: Span, strict: bool) -> None:
        text = self.reader.read(path)
        if text is None:
            self.diagnostics.error(span, f"error reading import '\"{path}\"': No such file or directory")
        elif name.endswith(".bt"):
            self._import_script(Source(name, text))
        elif name.endswith(".h"):
            source = Source(name, text)
            self.headers.append(n.CText(Span(source, 0, len(text)), text))
        elif name.endswith(_COMPILED):
            if strict:
                message = "imports of C programs and objects need a C compiler: kloupe has none"
                self.diagnostics.error(span, message, hints=("Write it as a macro in a .bt file.",))
        elif strict:
            self.diagnostics.error(span, f'unknown import type: "{name.rsplit("/", 1)[-1]}"')

    def _import_script(self, source: Source) -> None:
        program = parse_program(source, self.diagnostics, self.params)
        if program.config:
            self.diagnostics.error(program.config_span or program.span, "invalid `config` within import")
        self.visit(program)
        if program.c_text is not None:
            self.headers.append(program.c_text)
        self.programs.append(program)


def _inner_imports(program: n.Program) -> Iterator[n.ImportStmt]:
    work: list[n.Node] = [*reversed(program.probes), *reversed(program.macros)]
    while work:
        node = work.pop()
        if isinstance(node, n.ImportStmt):
            yield node
        work += reversed(list(node.children()))
