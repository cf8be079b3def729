"""DWARF: function signatures, structs, line tables of a user-space file, read with pyelftools (imported when first needed).

Format: DWARF Debugging Information Format, versions 4 and 5. Type units, compressed sections, abstract origins and split units
(see split_dwarf.py) are followed. Pointers point into user space.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..base.ctype import CType, Function, Struct
from ..base.errors import FormatError, KloupeError
from .dwarf_types import DieTypes, origin, parameters, raw, spell, text
from .split_dwarf import is_skeleton, whole_unit

_T = TypeVar("_T")
_SUBPROGRAM = "DW_TAG_subprogram"
_STRUCT_TAGS = {
    "struct": ("DW_TAG_structure_type", "DW_TAG_class_type"),
    "union": ("DW_TAG_union_type",),
}


def guarded(method: Callable[..., _T]) -> Callable[..., _T]:
    """pyelftools meets damaged input with whatever exception comes up: make a FormatError of it."""

    def call(self: DebugInfo, *arguments: Any) -> _T:
        try:
            return method(self, *arguments)
        except KloupeError:
            raise
        except Exception as error:
            raise FormatError(self.path, 0, f"damaged DWARF: {type(error).__name__}: {error}") from None

    call.__doc__, call.__name__ = method.__doc__, method.__name__
    return call


class DebugInfo:
    """The DWARF of one file; without a path, or without any in the file, every answer is empty."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._info: Any = None
        self._opened = False
        self._functions: dict[tuple[str, int], Any] = {}
        self._structs: dict[tuple[str, str], Struct | None] = {}
        self._types: DieTypes | None = None
        self._split: dict[int, Any] = {}  # whole units by the offset of their skeletons

    # -- questions --------------------------------------------------------------------------------------------------

    @guarded
    def function(self, name: str, address: int = 0) -> Function | None:
        """A function's signature. `address` (virtual, of its symbol) finds the compilation unit without a search."""
        die = self._function_die(name, address)
        return self._maker().function(die) if die is not None else None

    @guarded
    def declarations(self, name: str, address: int = 0) -> tuple[str, ...]:
        """The parameters as text (`const char* first`); empty when unknown."""
        die = self._function_die(name, address)
        if die is None:
            return ()
        return tuple(f"{spell(p)} {text(origin(p))}".rstrip() for p in parameters(die))

    @guarded
    def struct(self, kind: str, name: str) -> Struct | None:
        """A struct, class or union with its members, from the first unit that defines it."""
        key = (kind, name)
        if key not in self._structs:
            self._structs[key] = None
            die = self._named_die(name, _STRUCT_TAGS.get(kind, ()))
            found = self._maker().type(die) if die is not None else None
            self._structs[key] = found if isinstance(found, Struct) else None
        return self._structs[key]

    @guarded
    def type(self, name: str) -> CType | None:
        """What a typedef or basic type names."""
        die = self._named_die(name, ("DW_TAG_typedef", "DW_TAG_base_type", "DW_TAG_enumeration_type"))
        return self._maker().type(die) if die is not None else None

    @guarded
    def addresses(self, file: str, line: int, column: int = 0) -> list[int]:
        """Virtual addresses of the statements at file:line (and column, if given), sorted. `file` may be a path's end."""
        found = set()
        for unit in self._own_units():
            program = self._info.line_program_for_CU(unit)
            folder = text(unit.get_top_DIE(), "DW_AT_comp_dir")
            wanted = _files(program, file, folder) if program is not None else set()
            if not wanted:
                continue
            for entry in program.get_entries():
                state = entry.state
                if state is None or state.end_sequence or state.line != line or state.file not in wanted:
                    continue
                if state.is_stmt and (not column or state.column == column):
                    found.add(int(state.address))
        return sorted(found)

    @guarded
    def load(self, make: Callable[[], _T]) -> _T:
        """What `make` gives: for parts of types that are read later."""
        return make()

    # -- finding ----------------------------------------------------------------------------------------------------

    def _units(self) -> Iterator[Any]:
        """All units, whole ones in place of their skeletons."""
        return map(self._whole, self._own_units())

    def _whole(self, unit: Any) -> Any:
        if not is_skeleton(unit):
            return unit
        if unit.cu_offset not in self._split:
            self._split[unit.cu_offset] = whole_unit(unit, self.path) or unit
        return self._split[unit.cu_offset]

    def _own_units(self) -> Iterator[Any]:
        if not self._opened:
            self._opened = True
            self._info = self._open()
        return iter(self._info.iter_CUs()) if self._info is not None else iter(())

    def _open(self) -> Any:
        if not self.path:
            return None
        from elftools.elf.elffile import ELFFile

        with open(self.path, "rb") as file:
            elf = ELFFile(file)
            # pyelftools copies the sections into memory here
            return elf.get_dwarf_info(follow_links=False) if elf.has_dwarf_info() else None

    def _maker(self) -> DieTypes:
        if self._types is None:
            self._types = DieTypes(self)
        return self._types

    def _unit_at(self, address: int) -> Any:
        next(self._own_units(), None)
        ranges = self._info.get_aranges() if address and self._info is not None else None
        offset = ranges.cu_offset_at_addr(address) if ranges is not None else None
        return self._whole(self._info.get_CU_at(offset)) if offset is not None else None

    def _function_die(self, name: str, address: int) -> Any:
        key = (name, address)
        if key not in self._functions:
            unit = self._unit_at(address)
            found = _find_function([unit], name, address) if unit is not None else None
            self._functions[key] = found if found is not None else _find_function(self._units(), name, 0)
        return self._functions[key]

    def _named_die(self, name: str, tags: tuple[str, ...]) -> Any:
        wanted = name.encode("utf-8", "surrogateescape")
        for unit in self._units():
            for die in unit.get_top_DIE().iter_children():
                if die.tag in tags and raw(die, "DW_AT_name") == wanted and "DW_AT_declaration" not in die.attributes:
                    return die
        return None


def _find_function(units: Any, name: str, address: int) -> Any:
    """The subprogram that starts at `address`, or without one the first with this name, one with code before others."""
    wanted, second = name.encode("utf-8", "surrogateescape"), None
    for unit in units:
        for die in _subprograms(unit.get_top_DIE()):
            start = raw(die, "DW_AT_low_pc")
            if address and start == address:
                return die
            whole = origin(die)
            names = (raw(whole, "DW_AT_name"), raw(whole, "DW_AT_linkage_name"))
            if not address and wanted in names and "DW_AT_declaration" not in die.attributes:
                if start is not None:
                    return die
                second = second or die
    return second


def _subprograms(top: Any) -> Iterator[Any]:
    for die in top.iter_children():
        if die.tag == _SUBPROGRAM:
            yield die
        elif die.tag == "DW_TAG_namespace":
            yield from _subprograms(die)


def _files(program: Any, file: str, top: str) -> set[int]:
    """The numbers of the files of a line program whose path ends in `file` (whole parts of the path); `top` is the unit's folder."""
    header, found = program.header, set()
    first = 0 if header.version >= 5 else 1
    for index, entry in enumerate(header.file_entry):
        base = entry.name.decode("utf-8", "replace")
        folder = ""
        number = entry.dir_index - (0 if header.version >= 5 else 1)
        if 0 <= number < len(header.include_directory):
            folder = header.include_directory[number].decode("utf-8", "replace")
        path = os.path.normpath(os.path.join(top, folder, base))
        if path == file or path.endswith("/" + os.path.normpath(file)):
            found.add(index + first)
    return found
