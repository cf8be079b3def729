"""A kernel tree and what can be asked about it: the class behind `kloupe.source.Tree` and the command."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ..base.errors import FormatError, MissingFacts, UsageError
from . import kconfig, structs, uses
from .answers import Answer, Call, Definition, Implementer, Member, Reference, definition_rank, place_rank
from .index.build import IndexReport, Progress, update_index
from .index.place import index_path
from .index.store import Store
from .kconfig import ConfigSymbol
from .parse.macros import argument_of
from .paths import call_path, call_tree, calls_once
from .patterns import parse_pattern
from .scan import Question, ask_files
from .walk import find_tree, is_code, is_kconfig, walk

T = TypeVar("T")
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_PATTERN_SIGNS = frozenset("*?[")
_MOST_NAMES = 2000


class Tree:
    """A source tree. Answers come from its files; an index, when there is one, tells which files to read.

    Without an index every question reads the whole tree: seconds instead of milliseconds.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = ".",
        index: str | os.PathLike[str] = "",
        machine: str = "",
        enclosing: bool = True,
    ) -> None:
        """Open the kernel tree that a folder is in, or with `enclosing` false the folder itself. `index`: the folder of the index. `machine`: whose arch/ folder comes first.

        Raises MissingFacts when the folder is not to be read.
        """
        given = os.path.abspath(os.fspath(path))
        self.root = (find_tree(given) if enclosing else None) or given
        self.machine = machine or ARCH_FOLDERS.get(os.uname().machine, os.uname().machine)
        self.index_path = index_path(self.root, os.fspath(index))
        self._store: Store | None = None
        self.index_fault = ""  # why an existing index is not used
        self._open_index()
        if self._store is None and not os.path.isdir(self.root):
            raise MissingFacts(f"no source tree {self.root}", hint="Give the folder of a kernel tree: --tree DIR")

    def _open_index(self) -> None:
        try:
            self._store = Store(self.index_path)
            self.index_fault = ""
        except FormatError as error:
            self.index_fault = str(error)
        except MissingFacts:
            pass

    @property
    def indexed(self) -> bool:
        """Whether an index is in use."""
        return self._store is not None

    def index(self, progress: Progress | None = None, jobs: int = 0) -> IndexReport:
        """Make or update the index. Raises TargetError when that cannot be done."""
        if self._store is not None:
            self._store.close()
            self._store = None
        report = update_index(self.root, self.index_path, progress, jobs)
        self._open_index()
        return report

    # Which files

    def paths(self) -> list[str]:
        """All files of the tree that an index covers."""
        if self._store is not None:
            try:
                return self._store.paths()
            except FormatError as error:
                self._drop_index(str(error))
        return [file.path for file in walk(self.root)]

    def candidates(self, words: Iterable[bytes], defining: bool = False) -> list[str]:
        """The files that may have one of some words (as indexed: `<name.h` for an included header), or may define it."""
        store = self._store
        if store is None:
            return self.paths()
        try:
            texts = {text for word in words for text, defines in store.texts_with(word) if defines or not defining}
            return sorted(set(store.files_of(texts)))
        except FormatError as error:
            self._drop_index(str(error))
            return self.paths()

    def _drop_index(self, fault: str) -> None:
        """Do without a damaged index, and take it away so that the next one is made anew."""
        self.index_fault = fault
        if self._store is not None:
            self._store.close()
            self._store = None
        with suppress(OSError):
            os.unlink(self.index_path)

    def ask(
        self, paths: Sequence[str], function: Callable[..., Iterable[T]], *arguments: Any, needs: Sequence[bytes] = ()
    ) -> Answer[T]:
        return ask_files(self.root, paths, Question(function, *arguments, needs=needs))  # type: ignore[return-value]

    # Questions

    def definitions(self, name: str) -> Answer[Definition]:
        """What a name means, best first. `name` may be a pattern with * and ?. `struct page` asks for that kind only."""
        kind, name = _kind_and_name(name)
        names = self.names(name)
        wanted, needs = frozenset(names), () if self.indexed else _needles(names)
        answer = self.ask(self.candidates(names, defining=True), uses.definitions_in, wanted, needs=needs)
        if self.indexed and not answer:  # the index knows nearly all definitions, not those of the strangest layout
            answer = self.ask(self.candidates(names), uses.definitions_in, wanted, needs=names)
        items = [item for item in answer if not kind or item.kind == kind]
        return Answer(sorted(items, key=lambda item: definition_rank(item, self.machine)), answer.partial)

    def names(self, pattern: str) -> list[bytes]:
        """The names that a pattern stands for. A name stands for itself."""
        if not _PATTERN_SIGNS & set(pattern):
            return [_word(pattern)]
        if self._store is None:
            raise UsageError("patterns of names need an index", hint="Make it with: kloupe source index")
        import fnmatch

        match = re.compile(fnmatch.translate(pattern).encode()).match
        prefix = re.split(r"[*?\[]", pattern)[0].encode()
        return _few(pattern, {w for block in self._store.blocks(prefix) for w in block.defined_words() if match(w)})

    def words_matching(self, pattern: re.Pattern[bytes]) -> list[str]:
        """The words of the tree that a pattern matches as a whole. Needs an index; raises UsageError for very many."""
        if self._store is None:
            raise UsageError("patterns of names need an index", hint="Make it with: kloupe source index")
        found = {w for block in self._store.blocks() for w in block.words if pattern.fullmatch(w)}
        return [word.decode() for word in _few(pattern.pattern.decode(), found) if _WORD.fullmatch(word.decode())]

    def near_names(self, name: str) -> list[str]:
        """A few defined names that are much like a name. Needs an index."""
        if self._store is None or len(name) < 3:
            return []
        from difflib import get_close_matches

        words = {w for block in self._store.blocks(name[:2].encode()) for w in block.defined_words()}
        close = {w.decode() for w in words if abs(len(w) - len(name)) < 4 and w[:2] == name[:2].encode()}
        return get_close_matches(name, sorted(close), 3, 0.8)

    def references(self, name: str) -> Answer[Reference]:
        """The lines of code that mention a name."""
        word = _word(name)
        return self.ask(self.candidates([word]), uses.references_in, word, needs=[word])

    def callers(self, name: str) -> Answer[Call]:
        """The calls of a function or macro."""
        word = _word(name)
        return self.ask(self.candidates([word]), uses.calls_in, word, needs=[word])

    def callees(self, name: str) -> Answer[Call]:
        """The calls that a function or macro makes."""
        word = _word(name)
        return self.ask(self.candidates([word], defining=True) or self.candidates([word]), uses.callees_in, word)

    def assignments(self, name: str) -> Answer[Reference]:
        """The lines that set a variable or member."""
        word = _word(name)
        return self.ask(self.candidates([word]), uses.assignments_in, word, needs=[word])

    def text(self, wanted: str) -> Answer[Reference]:
        """The lines with a text, also in comments and strings."""
        data = wanted.encode("utf-8", "surrogateescape")
        return self.ask(self._text_candidates(data), uses.lines_with, data, needs=[data])

    def regex(self, pattern: str) -> Answer[Reference]:
        """The lines that match a regular expression of Python or, where it is none, of grep. Raises UsageError for a bad one."""
        compiled, literal = parse_pattern(pattern)
        return self.ask(self.paths(), uses.lines_matching, compiled, needs=[literal] if literal else ())

    def files(self, pattern: str) -> list[str]:
        """The files whose path has a text or, with * or ?, matches a pattern."""
        if _PATTERN_SIGNS & set(pattern):
            import fnmatch

            return [
                p for p in self.paths() if fnmatch.fnmatch(p, pattern) or fnmatch.fnmatch(p.rsplit("/", 1)[-1], pattern)
            ]
        return [path for path in self.paths() if pattern in path]

    def includers(self, header: str) -> Answer[Reference]:
        """The lines that include a header, named by the end of its path."""
        header = header.removeprefix("include/")
        name = header.rsplit("/", 1)[-1].encode()
        return self.ask(self.candidates([b"<" + name]), uses.includes_in, header, needs=[name])

    def members(self, struct: str) -> Answer[Member]:
        """The members of a struct, union or typedef of one, in their order."""
        _, name = _kind_and_name(struct)
        word = _word(name)
        answer = self.ask(self.candidates([word], defining=True), structs.members_in, name, needs=[word])
        return Answer(sorted(answer, key=lambda m: (place_rank(m.file, self.machine), m.file, m.line)), answer.partial)

    def implementers(self, member: str) -> Answer[Implementer]:
        """The functions that are put into a member of a struct, named STRUCT.MEMBER."""
        struct, dot, field = member.removeprefix("struct ").strip().partition(".")
        if not dot:
            raise UsageError(f"{member!r} is no STRUCT.MEMBER", hint="For example: file_operations.read")
        words = _word(struct), _word(field)
        paths = sorted(set(self.candidates([words[0]])) & set(self.candidates([words[1]])))
        return self.ask(paths, structs.implementers_in, *words, needs=[words[1]])

    def calls(self, start: str, end: str, depth: int = 12) -> list[Call]:
        """A shortest chain of calls from one function to another; empty when none is found within `depth` calls."""
        _word(start), _word(end)
        return call_path(
            start,
            end,
            self._callees_once,
            lambda name: [call for call in self.callers(name) if not call.indirect],
            depth,
        )

    def call_tree(self, name: str, depth: int = 1) -> list[tuple[int, str]]:
        """(level, name) of a function and the functions that it calls down to a depth. Macros and unknown names are left out."""
        return list(call_tree(name, self._callees_once, depth))

    def _callees_once(self, name: str) -> list[Call]:
        if not _WORD.fullmatch(name):
            return []
        return list(calls_once([call for call in self.callees(name) if not call.indirect]))

    def config(self, symbol: str) -> ConfigSymbol:
        """All about a symbol of Kconfig, with or without CONFIG_."""
        name = symbol.removeprefix("CONFIG_")
        word = _word(name)
        plain, full = self.candidates([word]), self.candidates([b"CONFIG_" + word])
        configs = [path for path in plain if is_kconfig(path)]
        code = [path for path in full if is_code(path)]
        makefiles = [path for path in full if not is_code(path) and not is_kconfig(path)]
        pattern = re.compile(rb"^.*\bCONFIG_" + word + rb"\b.*", re.M)
        return ConfigSymbol(
            name,
            tuple(self.ask(configs, kconfig.entries_in, name, needs=[word])),
            tuple(self.ask(configs, kconfig.selections_in, name, needs=[word])),
            tuple(self.ask(code, uses.references_in, b"CONFIG_" + word, needs=[word])),
            tuple(self.ask(makefiles, uses.lines_matching, pattern, needs=[word])),
        )

    def _text_candidates(self, wanted: bytes) -> list[str]:
        """Files that have all the words which stand whole in a text."""
        inner = re.findall(rb"(?<=[^\w])[A-Za-z_]\w*(?=[^\w])", wanted, re.A)
        if self._store is None or not inner:
            return self.paths()
        sets = (set(self.candidates([word])) for word in set(inner))
        return sorted(set.intersection(*sets))


# Names of machines as uname gives them -> folders of arch/.
ARCH_FOLDERS = {
    **{"x86_64": "x86", "i686": "x86", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "powerpc", "s390x": "s390"},
    **{"riscv64": "riscv", "loongarch64": "loongarch", "mips64": "mips", "sparc64": "sparc", "parisc64": "parisc"},
}


def _needles(names: Iterable[bytes]) -> list[bytes]:
    """Bytes one of which stands in every text that defines one of some names; names that macros make stand there only in part."""
    return [b"##", *(part for name in names for part in (name, *argument_of(name)))]


def _kind_and_name(text: str) -> tuple[str, str]:
    """`struct page` taken apart; of a lone name the kind is ""."""
    kind, _, name = text.strip(" ").rpartition(" ")
    return (kind, name) if kind.isidentifier() else ("", text.strip(" "))


def _few(pattern: str, words: set[bytes]) -> list[bytes]:
    if len(words) > _MOST_NAMES:
        raise UsageError(f"{pattern} matches {len(words)} names", hint="Give a narrower pattern.")
    return sorted(words)


def _word(name: str) -> bytes:
    if not _WORD.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a name in C", hint="For lines that match use: kloupe source text, kloupe source regex"
        )
    return name.encode()
