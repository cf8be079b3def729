"""`ElfBinary`: a user-space ELF file as probes see it (the Binary protocol)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..base.ctype import Function, Struct
from ..base.errors import FormatError, MissingFacts, PermissionNeeded
from ..binfmt.elf import Elf, debug_file
from ..binfmt.symtab import TABLES, SymbolRow, SymbolTable
from .patterns import matcher
from .target import Symbol, UsdtArgument, UsdtProbe

if TYPE_CHECKING:
    from ..binfmt.dwarf import DebugInfo

_FARTHEST_NEST = 1 << 20
_T = TypeVar("_T")


class ElfBinary:
    """Symbols of all tables, USDT probes, debug information; each read when first asked for."""

    def __init__(self, elf: Elf) -> None:
        self.path = elf.path
        self.elf = elf
        self.is_position_independent = elf.is_position_independent
        self._tables: list[SymbolTable | None] = [None] * len(TABLES)
        self._functions: list[Symbol] | None = None
        self._starts: list[int] = []
        self._debug: DebugInfo | None = None
        self._usdt: list[UsdtProbe] | None = None

    # -- symbols ----------------------------------------------------------------------------------------------------

    def _table(self, index: int) -> SymbolTable:
        table = self._tables[index]
        if table is None:
            try:
                table = TABLES[index](self.elf)
            except FormatError:
                if index < 2:  # the file's own tables must be sound; the extra ones are a gift
                    raise
                table = SymbolTable()
            self._tables[index] = table
        return table

    def _first(self, ask: Callable[[SymbolTable], _T | None]) -> _T | None:
        for index in range(len(TABLES)):
            found = ask(self._table(index))
            if found is not None:
                return found
        return None

    def symbol(self, name: str) -> Symbol | None:
        """A defined function or object: from symtab, then dynsym, then .gnu_debugdata, then a separate debug file."""
        found = self._first(lambda table: table.find(name))
        return self._placed(found) if found is not None else None

    def _placed(self, row: SymbolRow) -> Symbol:
        offset = self.elf.offset_of_address(row.address)
        return Symbol(row.name, offset if offset is not None else 0, row.address, row.size, row.is_function)

    def functions(self) -> list[Symbol]:
        """All function symbols of all tables by address, one per name and address."""
        if self._functions is None:
            rows = {(row.name, row.address): row for i in range(len(TABLES)) for row in self._table(i).functions()}
            self._functions = [self._placed(row) for row in sorted(rows.values(), key=_alias_order)]
            self._starts = [symbol.address for symbol in self._functions]
        return self._functions

    def symbols(self, pattern: str) -> list[Symbol]:
        """Function symbols whose name matches the glob, sorted by name; one per name."""
        wanted = matcher(pattern)
        return sorted({s.name: s for s in self.functions() if wanted(s.name)}.values(), key=lambda s: s.name)

    def symbol_at(self, file_offset: int) -> Symbol | None:
        """The function that covers a file offset."""
        address = self.elf.address_of_offset(file_offset)
        return self.symbol_at_address(address) if address is not None else None

    def symbol_at_address(self, address: int) -> Symbol | None:
        """The function that covers a virtual address; one without a size reaches to the next. Of several the largest."""
        functions = self.functions()
        index = bisect_right(self._starts, address) - 1
        while index >= 0:
            start = functions[index].address
            if address - start > _FARTHEST_NEST:
                break
            first = self._first_at(index)
            if not functions[first].size or address < start + functions[first].size:
                return functions[first]
            index = first - 1
        return None

    def _first_at(self, index: int) -> int:
        start = self._starts[index]
        while index and self._starts[index - 1] == start:
            index -= 1
        return index

    def demangled(self, pattern: str) -> list[Symbol]:
        """Function symbols whose C++ or Rust name matches the glob, with or without its parameter list, sorted by symbol."""
        from ..binfmt.demangle import demangle, may_match

        wanted, found = matcher(pattern), {}
        for symbol in self.functions():
            if may_match(symbol.name, pattern):
                text = demangle(symbol.name)
                if wanted(text) or wanted(text.split("(", 1)[0]):
                    found[symbol.name] = symbol
        return sorted(found.values(), key=lambda s: s.name)

    def offset_of_address(self, address: int) -> int | None:
        """The file offset of a virtual address, or None outside the loaded segments."""
        return self.elf.offset_of_address(address)

    # -- notes and debug information --------------------------------------------------------------------------------

    def usdt(self) -> list[UsdtProbe]:
        """All USDT probes, in the order of the notes; those outside the loaded segments are left out."""
        if self._usdt is None:
            from ..binfmt.usdt import read_notes

            self._usdt = []
            for note in read_notes(self.elf):
                offset = self.elf.offset_of_address(note.address)
                semaphore = self.elf.offset_of_address(note.semaphore) if note.semaphore else None
                arguments = tuple(UsdtArgument(*argument) for argument in note.arguments)
                if offset is not None:
                    self._usdt.append(
                        UsdtProbe(note.provider, note.name, offset, note.address, semaphore or 0, arguments)
                    )
        return self._usdt

    def debug_info(self) -> DebugInfo:
        """The DWARF of the file itself or of its separate debug file."""
        if self._debug is None:
            from ..binfmt.dwarf import DebugInfo

            own = self.elf.section(".debug_info") is not None
            self._debug = DebugInfo(self.path if own else debug_file(self.elf))
        return self._debug

    def function_arguments(self, name: str) -> Function | None:
        """The function's signature from DWARF, with struct types; None without debug information."""
        return self.debug_info().function(name, self._address(name))

    def function_declarations(self, name: str) -> tuple[str, ...]:
        """The function's parameters as C text (`const char* first`); empty when unknown."""
        return self.debug_info().declarations(name, self._address(name))

    def _address(self, name: str) -> int:
        found = self.symbol(name)
        return found.address if found is not None else 0

    def line_offsets(self, file: str, line: int, column: int = 0) -> list[int]:
        """File offsets of the statements that DWARF lists for file:line[:col], sorted."""
        found = (self.elf.offset_of_address(a) for a in self.debug_info().addresses(file, line, column))
        return sorted({offset for offset in found if offset is not None})

    def struct(self, kind: str, name: str) -> Struct | None:
        """A struct or union from DWARF."""
        return self.debug_info().struct(kind, name)


def _alias_order(row: SymbolRow) -> tuple[int, int, bool, int, str]:
    """By address; of several names for one place the largest, then global ones, then those with fewer leading underscores."""
    return row.address, -row.size, not row.is_global, len(row.name) - len(row.name.lstrip("_")), row.name


def open_binary(path: str, debug_folders: Sequence[str] = ()) -> ElfBinary:
    """The ELF file at `path`. Raises FormatError, MissingFacts, PermissionNeeded."""
    try:
        return ElfBinary(Elf(open(path, "rb"), path, debug_folders))
    except PermissionError as error:
        raise PermissionNeeded(f"cannot read {path}: {error.strerror}") from None
    except OSError as error:
        raise MissingFacts(f"cannot read {path}: {error.strerror}") from None
