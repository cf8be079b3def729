"""DWARF entries to the type model. Structs load their members when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ..base import ctype as ct
from .btf_types import place_field

if TYPE_CHECKING:
    from .dwarf import DebugInfo

_DEEPEST = 64
# DW_ATE_boolean, float, signed and signed_char (DWARF 5, table 7.11)
_BOOLEAN, _FLOAT, _SIGNED = 2, (3, 4), (5, 6, 13)
_POINTERS = ("DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_rvalue_reference_type")
_WORDS = {
    "DW_TAG_const_type": "const ",
    "DW_TAG_volatile_type": "volatile ",
    "DW_TAG_restrict_type": "",
    "DW_TAG_atomic_type": "",
}
_KEYWORDS = {
    "DW_TAG_structure_type": "struct ",
    "DW_TAG_union_type": "union ",
    "DW_TAG_enumeration_type": "enum ",
}


def raw(die: Any, attribute: str) -> Any:
    """An attribute's value, or None."""
    found = die.attributes.get(attribute)
    return found.value if found is not None else None


def text(die: Any, attribute: str = "DW_AT_name") -> str:
    """A string attribute, "" without one."""
    found = raw(die, attribute)
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else ""


def origin(die: Any) -> Any:
    """The entry that has the name and type: itself, its abstract origin or its declaration."""
    for _ in range(4):
        for attribute in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if attribute in die.attributes:
                die = die.get_DIE_from_attribute(attribute)
                break
        else:
            break
    return die


def target(die: Any) -> Any:
    """The entry of its type, or None for void."""
    whole = die if "DW_AT_type" in die.attributes else origin(die)
    return whole.get_DIE_from_attribute("DW_AT_type") if "DW_AT_type" in whole.attributes else None


def parameters(function: Any) -> Iterator[Any]:
    """The formal parameters of a subprogram or function type; those of its origin when it has none of its own."""
    own = [child for child in function.iter_children() if child.tag == "DW_TAG_formal_parameter"]
    whole = origin(function)
    if not own and whole is not function:
        own = [child for child in whole.iter_children() if child.tag == "DW_TAG_formal_parameter"]
    return iter(own)


def spell(die: Any, depth: int = 0) -> str:
    """The text of an entry's type: `const char*`, `struct Foo*`, `int[3]`."""
    return _spell_type(target(die), depth)


def _spell_type(kind: Any, depth: int) -> str:
    if kind is None:
        return "void"
    if depth > _DEEPEST:
        return "?"
    if kind.tag in _POINTERS:
        star = "*" if kind.tag == "DW_TAG_pointer_type" else "&" if kind.tag == "DW_TAG_reference_type" else "&&"
        return spell(kind, depth + 1) + star
    if kind.tag in _WORDS:
        return _WORDS[kind.tag] + spell(kind, depth + 1)
    if kind.tag == "DW_TAG_array_type":
        return spell(kind, depth + 1) + "".join(f"[{count}]" for count in _dimensions(kind))
    if kind.tag == "DW_TAG_subroutine_type":
        return f"{spell(kind, depth + 1)} ({', '.join(spell(p, depth + 1) for p in parameters(kind))})"
    return _KEYWORDS.get(kind.tag, "") + text(kind)


def _dimensions(array: Any) -> list[int]:
    counts = []
    for child in array.iter_children():
        if child.tag == "DW_TAG_subrange_type":
            count, upper = raw(child, "DW_AT_count"), raw(child, "DW_AT_upper_bound")
            if isinstance(count, int):
                counts.append(count)
            else:
                counts.append(upper + 1 if isinstance(upper, int) and upper < 1 << 40 else 0)
    return counts


class DieTypes:
    """Makes and remembers types by the offset of their entry."""

    def __init__(self, info: DebugInfo) -> None:
        self._info = info
        self._made: dict[int, ct.CType] = {}
        self._depth = 0

    def type(self, die: Any) -> ct.CType:
        """The type of a type entry; None is void."""
        if die is None:
            return ct.VOID
        made = self._made.get(die.offset)
        if made is None:
            make = self._MAKERS.get(die.tag)
            if make is None or self._depth > _DEEPEST:
                return ct.VOID
            self._made[die.offset] = ct.VOID
            self._depth += 1
            try:
                made = self._made[die.offset] = make(self, die)
            except Exception:
                del self._made[die.offset]
                raise
            finally:
                self._depth -= 1
        return made

    def function(self, die: Any) -> ct.Function:
        """The signature of a subprogram or function type."""
        variadic = any(child.tag == "DW_TAG_unspecified_parameters" for child in die.iter_children())
        found = tuple((text(origin(p)), self.type(target(p))) for p in parameters(die))
        return ct.Function(self.type(target(die)), found, variadic)

    def _base(self, die: Any) -> ct.CType:
        size, encoding = int(raw(die, "DW_AT_byte_size") or 0), raw(die, "DW_AT_encoding")
        if encoding == _BOOLEAN:
            return ct.Bool(size or 1)
        if encoding in _FLOAT:
            return ct.Float(size)
        # plain char is text to the language, whatever its sign on the machine
        signed = encoding in _SIGNED or text(die) == "char"
        return ct.Int(size, signed) if size in (1, 2, 4, 8, 16) else ct.VOID

    def _pointer(self, die: Any) -> ct.CType:
        return ct.Pointer(self.type(target(die)), ct.Space.USER)

    def _alias(self, die: Any) -> ct.CType:
        return self.type(target(die))

    def _array(self, die: Any) -> ct.CType:
        found = self.type(target(die))
        for count in reversed(_dimensions(die) or [0]):
            found = ct.Array(found, count)
        return found

    def _enum(self, die: Any) -> ct.CType:
        children = (c for c in die.iter_children() if c.tag == "DW_TAG_enumerator")
        values = tuple((text(c), int(raw(c, "DW_AT_const_value") or 0)) for c in children)
        size = int(raw(die, "DW_AT_byte_size") or 4)
        return ct.Enum(text(die), size if size in (1, 2, 4, 8) else 4, any(v < 0 for _, v in values), values)

    def _struct(self, die: Any) -> ct.CType:
        kind = "union" if die.tag == "DW_TAG_union_type" else "struct"
        name = text(die)
        if "DW_AT_declaration" in die.attributes:
            return ct.Struct(kind, name, 0, lambda: self._defined(kind, name))
        return ct.Struct(
            kind, name, int(raw(die, "DW_AT_byte_size") or 0), lambda: self._info.load(lambda: self._fields(die))
        )

    def _defined(self, kind: str, name: str) -> tuple[ct.Field, ...]:
        found = self._info.struct(kind, name) if name else None
        return found.fields if found is not None else ()

    def _fields(self, die: Any) -> tuple[ct.Field, ...]:
        fields = []
        for child in die.iter_children():
            if child.tag == "DW_TAG_member" and not {"DW_AT_external", "DW_AT_declaration"} & child.attributes.keys():
                fields.append(self._field(child))
            elif child.tag == "DW_TAG_inheritance":  # a base class reads like an anonymous member
                where = raw(child, "DW_AT_data_member_location")
                fields.append(ct.Field("", self.type(target(child)), where if isinstance(where, int) else 0))
        return tuple(fields)

    def _field(self, die: Any) -> ct.Field:
        kind = self.type(target(die))
        where, name = raw(die, "DW_AT_data_member_location"), text(die)
        words, bracket, bounds = spell(die).partition("[")
        decl = f"{words} {name}".rstrip() + bracket + bounds
        offset = where if isinstance(where, int) else 0
        bit_size, bits = raw(die, "DW_AT_bit_size"), raw(die, "DW_AT_data_bit_offset")
        if bit_size is None:
            return ct.Field(name, kind, offset, decl=decl)
        if bits is None:  # DWARF 3: bits from the most significant end of the unit
            from_top = int(raw(die, "DW_AT_bit_offset") or 0)
            bits = 8 * offset + 8 * kind.size - from_top - int(bit_size)
        return place_field(name, kind, int(bits), int(bit_size), decl)

    _MAKERS: ClassVar[dict[str, Callable[[DieTypes, Any], ct.CType]]] = {
        "DW_TAG_base_type": _base,
        **dict.fromkeys(_POINTERS, _pointer),
        **dict.fromkeys((*_WORDS, "DW_TAG_typedef"), _alias),
        "DW_TAG_array_type": _array,
        "DW_TAG_enumeration_type": _enum,
        "DW_TAG_structure_type": _struct,
        "DW_TAG_class_type": _struct,
        "DW_TAG_union_type": _struct,
        "DW_TAG_subroutine_type": function,
    }
