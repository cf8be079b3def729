"""BTF records to the type model (base/ctype). Structs stay unresolved until their fields are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from ..base import ctype as ct
from ..base.errors import FormatError
from . import btf as b
from .btf_text import declaration

_ENUM_ARRAY_DEPTH = 64
_SIGNED, _BOOL = 1, 4


class TypeMaker:
    """Makes and remembers the types of one blob."""

    def __init__(self, btf: b.Btf) -> None:
        self._btf = btf
        self._made: dict[int, ct.CType] = {}
        self._depth = 0

    def by_id(self, type_id: int) -> ct.CType:
        """The type with this number; 0 is void."""
        if type_id == 0:
            return ct.VOID
        owner, position = self._btf.locate(type_id)
        return owner.maker.at(position)

    def at(self, position: int) -> ct.CType:
        """The type at a word position of the blob. Raises FormatError when it is broken."""
        made = self._made.get(position)
        if made is not None:
            return made
        words = self._btf.words
        if self._depth > _ENUM_ARRAY_DEPTH:
            raise FormatError(self._btf.path, 4 * position, "types nest too deeply")
        self._depth += 1
        self._made[position] = ct.VOID  # a type that reaches itself by anything but a struct is broken
        try:
            make = self._MAKERS.get(words[position + 1] >> 24 & 0x1F)
            made = self._made[position] = make(self, position) if make is not None else ct.VOID
        except IndexError:
            del self._made[position]
            raise FormatError(self._btf.path, 4 * position, "the type is cut off") from None
        except FormatError:
            del self._made[position]
            raise
        finally:
            self._depth -= 1
        return made

    # -- one maker per kind -----------------------------------------------------------------------------------------

    def _int(self, at: int) -> ct.CType:
        words = self._btf.words
        size, encoding = words[at + 2], words[at + 3] >> 24 & 0xF
        if size not in (1, 2, 4, 8, 16):
            raise FormatError(self._btf.path, 4 * at, f"integer of {size} bytes")
        if encoding & _BOOL:
            return ct.Bool(size)
        # Kernels since 6.2 are built with unsigned plain char; to the language char is text all the same.
        signed = bool(encoding & _SIGNED) or (size == 1 and self._btf.string(words[at]) == "char")
        return ct.Int(size, signed)

    def _float(self, at: int) -> ct.CType:
        return ct.Float(self._btf.words[at + 2])

    def _pointer(self, at: int) -> ct.CType:
        target, space = self._btf.words[at + 2], ct.Space.NONE
        for _ in range(_ENUM_ARRAY_DEPTH):
            if target == 0:
                break
            owner, where = self._btf.locate(target)
            kind = owner.words[where + 1] >> 24 & 0x1F
            if kind == b.TYPE_TAG and owner.string(owner.words[where]) == "user":
                space = ct.Space.USER
            elif kind not in (b.TYPE_TAG, b.CONST, b.VOLATILE, b.RESTRICT):
                break
            target = owner.words[where + 2]
        return ct.Pointer(self.by_id(target), space)

    def _array(self, at: int) -> ct.CType:
        words = self._btf.words
        return ct.Array(self.by_id(words[at + 3]), words[at + 5])

    def _struct(self, at: int) -> ct.CType:
        words = self._btf.words
        kind = "struct" if words[at + 1] >> 24 & 0x1F == b.STRUCT else "union"
        return ct.Struct(kind, self._btf.string(words[at]), words[at + 2], lambda: self._fields(at))

    def _forward(self, at: int) -> ct.CType:
        words = self._btf.words
        kind = "union" if words[at + 1] & b.KIND_FLAG else "struct"
        return ct.Struct(kind, self._btf.string(words[at]), 0)

    def _enum(self, at: int) -> ct.CType:
        words = self._btf.words
        signed = bool(words[at + 1] & b.KIND_FLAG)
        count, values = words[at + 1] & 0xFFFF, []
        wide = words[at + 1] >> 24 & 0x1F == b.ENUM64
        step = 3 if wide else 2
        bits = 64 if wide else 32
        for entry in range(at + 3, at + 3 + step * count, step):
            value = words[entry + 1] | (words[entry + 2] << 32 if wide else 0)
            if signed and value >> (bits - 1):
                value -= 1 << bits
            values.append((self._btf.string(words[entry]), value))
        size = words[at + 2]
        return ct.Enum(self._btf.string(words[at]), size if size in (1, 2, 4, 8) else 4, signed, tuple(values))

    def _alias(self, at: int) -> ct.CType:
        return self.by_id(self._btf.words[at + 2])

    def _function(self, at: int) -> ct.CType:
        found = self.by_id(self._btf.words[at + 2])
        if not isinstance(found, ct.Function):
            raise FormatError(self._btf.path, 4 * at, "a function without a prototype")
        return found

    def _prototype(self, at: int) -> ct.CType:
        words, string = self._btf.words, self._btf.string
        count = words[at + 1] & 0xFFFF
        entries = [(words[e], words[e + 1]) for e in range(at + 3, at + 3 + 2 * count, 2)]
        variadic = bool(entries) and entries[-1] == (0, 0)
        if variadic:
            entries.pop()
        return ct.Function(
            self.by_id(words[at + 2]), tuple((string(name), self.by_id(t)) for name, t in entries), variadic
        )

    def _fields(self, at: int) -> tuple[ct.Field, ...]:
        btf = self._btf
        words = btf.words
        count, packed_bits = words[at + 1] & 0xFFFF, bool(words[at + 1] & b.KIND_FLAG)
        if at + 3 + 3 * count > len(words):
            raise FormatError(btf.path, 4 * at, "the type is cut off")
        fields = []
        for entry in range(at + 3, at + 3 + 3 * count, 3):
            name, type_id, bits = btf.string(words[entry]), words[entry + 1], words[entry + 2]
            bit_size = 0
            if packed_bits:
                bits, bit_size = bits & 0xFFFFFF, bits >> 24
            else:
                extra, bit_size = self._old_bit_field(type_id)
                bits += extra
            fields.append(place_field(name, self.by_id(type_id), bits, bit_size, declaration(btf, type_id, name)))
        return tuple(fields)

    def _old_bit_field(self, type_id: int) -> tuple[int, int]:
        """(extra bit offset, bit size) that blobs without the kind flag keep in the integer's own record."""
        owner, at = self._btf.locate(type_id) if type_id else (self._btf, -1)
        if at < 0 or owner.words[at + 1] >> 24 & 0x1F != b.INT:
            return 0, 0
        data = owner.words[at + 3]
        bits, offset = data & 0xFF, data >> 16 & 0xFF
        return (offset, bits) if offset or bits != 8 * owner.words[at + 2] else (0, 0)

    _MAKERS: ClassVar[dict[int, Callable[[TypeMaker, int], ct.CType]]] = {
        b.INT: _int,
        b.PTR: _pointer,
        b.ARRAY: _array,
        b.STRUCT: _struct,
        b.UNION: _struct,
        b.ENUM: _enum,
        b.ENUM64: _enum,
        b.FWD: _forward,
        b.TYPEDEF: _alias,
        b.VOLATILE: _alias,
        b.CONST: _alias,
        b.RESTRICT: _alias,
        b.TYPE_TAG: _alias,
        b.VAR: _alias,
        b.FUNC: _function,
        b.FUNC_PROTO: _prototype,
        b.FLOAT: _float,
    }


def place_field(name: str, type: ct.CType, bits: int, bit_size: int, decl: str) -> ct.Field:
    """A field from its bit offset in the struct. A bit-field's unit is its type, or the bytes it lies in when it crosses one."""
    if not bit_size:
        return ct.Field(name, type, bits // 8, decl=decl)
    unit = 8 * max(1, type.size)
    offset, bit_offset = bits // unit * type.size, bits % unit
    if bit_offset + bit_size > unit:
        offset, bit_offset = bits // 8, bits % 8
    return ct.Field(name, type, offset, bit_offset, bit_size, decl)
