"""Split DWARF: units of which the program has only a skeleton, and a .dwo file or a .dwp package the rest.

Format: DWARF 5, sections 7.3.2 (split objects), 7.3.5 (packages), 7.5.1 (unit headers), 7.5.3 (abbreviations). pyelftools reads such
a unit like any other once it knows two bases that the unit itself does not name; they are put into its abbreviation as constants.
"""

from __future__ import annotations

import io
import os
import struct
from typing import Any

from ..base.errors import FormatError
from .elf import Elf

_SKELETON, _SPLIT_UNIT = "DW_UT_skeleton", 5
_STR_OFFSETS_BASE, _ADDR_BASE, _IMPLICIT_CONST = 0x72, 0x73, 0x21
_STR_OFFSETS_HEADER_BYTES = 8
_UNIT = struct.Struct("<IHBBIQ")  # length, version, unit type, address size, offset of the abbreviations, dwo id
_INDEX = struct.Struct("<HHIII")  # version, padding, columns, units, slots
# Sections that a unit has a part of, by the numbers of a package's index (DWARF 5, table 7.1).
_PARTS = {".debug_info.dwo": 1, ".debug_abbrev.dwo": 3, ".debug_str_offsets.dwo": 6}
_STRINGS = ".debug_str.dwo"


def is_skeleton(unit: Any) -> bool:
    """Whether a unit (of pyelftools) only says where the whole one is."""
    return bool(unit.header.version >= 5 and unit.header.unit_type == _SKELETON)


def whole_unit(skeleton: Any, path: str) -> Any:
    """The unit that a skeleton in the program at `path` stands for; None when its file is not there. Raises FormatError."""
    top = skeleton.get_top_DIE().attributes
    sections = _sections(path, top, skeleton.header.dwo_id)
    if sections is None:
        return None
    bases = {_STR_OFFSETS_BASE: _STR_OFFSETS_HEADER_BYTES, _ADDR_BASE: top["DW_AT_addr_base"].value}
    sections[".debug_abbrev.dwo"] = _with_constants(sections, bases)
    info = _dwarf_info(sections, skeleton.dwarfinfo)
    return next((unit for unit in info.iter_CUs() if unit.header.get("dwo_id") == skeleton.header.dwo_id), None)


def _sections(path: str, top: Any, dwo_id: int) -> dict[str, bytes] | None:
    for file in _dwo_files(path, top):
        if os.path.isfile(file):
            with open(file, "rb") as source:
                elf = Elf(source, file)
                found = {name: elf.named_content(name) for name in (*_PARTS, _STRINGS)}
            _, _, kind, _, _, identity = _UNIT.unpack_from(found[".debug_info.dwo"].ljust(_UNIT.size, b"\0"))
            if kind == _SPLIT_UNIT and identity == dwo_id:
                return found
    package = f"{path}.dwp"
    if not os.path.isfile(package):
        return None
    with open(package, "rb") as source:
        return _package_parts(Elf(source, package), dwo_id)


def _dwo_files(path: str, top: Any) -> list[str]:
    """Where the .dwo file may be: as named, below the folder of the compilation, beside the program."""
    name, folder = (
        os.fsdecode(top[attribute].value) if attribute in top else ""
        for attribute in ("DW_AT_dwo_name", "DW_AT_comp_dir")
    )
    return [os.path.join(folder, name), os.path.join(os.path.dirname(path), os.path.basename(name))] if name else []


def _package_parts(elf: Elf, dwo_id: int) -> dict[str, bytes] | None:
    """The parts of a package that belong to one unit."""
    index = elf.named_content(".debug_cu_index")
    version, _, columns, units, slots = _INDEX.unpack_from(index)
    if version != 5:
        raise FormatError(elf.path, 0, f"version {version} of a package's index")
    words = struct.unpack_from(f"<{slots}Q{slots}I{columns}I{2 * columns * units}I", index, _INDEX.size)
    rows = [words[slots + slot] for slot in range(slots) if words[slot] == dwo_id and words[slots + slot]]
    if not rows:
        return None
    kinds = words[2 * slots : 2 * slots + columns]
    at = 2 * slots + columns + columns * (rows[0] - 1)
    found = {_STRINGS: elf.named_content(_STRINGS)}
    for name, kind in _PARTS.items():
        column = at + kinds.index(kind)
        offset, size = words[column], words[column + columns * units]
        found[name] = elf.named_content(name)[offset : offset + size]
    return found


def _with_constants(sections: dict[str, bytes], constants: dict[int, int]) -> bytes:
    """The abbreviations, in which that of the unit's first entry has these attributes, too."""
    data, info = sections[".debug_abbrev.dwo"], sections[".debug_info.dwo"]
    at = _UNIT.unpack_from(info)[4]
    wanted, _ = _uleb(info, _UNIT.size)
    while at < len(data):
        code, at = _uleb(data, at)
        _, at = _uleb(data, at)
        end = at = at + 1  # whether it has children
        attribute = form = 1
        while attribute or form:
            end = at
            attribute, at = _uleb(data, at)
            form, at = _uleb(data, at)
            if form == _IMPLICIT_CONST:
                _, at = _uleb(data, at)
        if code == wanted:
            added = b"".join(bytes((name, _IMPLICIT_CONST)) + _sleb(value) for name, value in constants.items())
            return data[:end] + added + data[end:]
    raise FormatError("<dwo>", 0, f"no abbreviation {wanted}")


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _sleb(value: int) -> bytes:
    """A number that is not negative as a signed LEB128."""
    out = bytearray()
    while value > 0x3F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _dwarf_info(sections: dict[str, bytes], program: Any) -> Any:
    """pyelftools' view of the sections; addresses are looked up in the program's own table."""
    from inspect import signature

    from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DWARFInfo

    given: dict[str, Any] = {name: None for name in signature(DWARFInfo).parameters if name.endswith("_sec")}
    for name, data in sections.items():
        key = name.removesuffix(".dwo").removeprefix(".") + "_sec"
        given[key] = DebugSectionDescriptor(io.BytesIO(data), name, 0, len(data), 0)
    return DWARFInfo(config=program.config, **{**given, "debug_addr_sec": program.debug_addr_sec})
