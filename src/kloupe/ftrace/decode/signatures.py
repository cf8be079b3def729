"""Arguments of kernel functions by their BTF types: names, signs, enums."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from ...base import ctype as ct
from ...base.errors import FormatError
from ...binfmt.btf import Btf
from .values import FieldValue


def words_of(data: bytes, order: str, width: int) -> list[int]:
    """Whole words of `width` bytes as numbers."""
    byte_order: Literal["little", "big"] = "little" if order == "<" else "big"
    return [int.from_bytes(data[at : at + width], byte_order) for at in range(0, len(data) - width + 1, width)]


class Constant(str):
    """The name of an enum's constant."""


def typed(kind: ct.CType, value: int) -> FieldValue:
    """A register's value as a value of a C type: cut to its size, with its sign; the name of an enum's constant."""
    if isinstance(kind, ct.Bool):
        return int(value & 0xFF != 0)
    if isinstance(kind, ct.Enum):
        signed = _cut(value, kind.size, True)
        name = kind.name_of(signed) or kind.name_of(_cut(value, kind.size, False))
        return Constant(name) if name else signed
    if isinstance(kind, ct.Int):
        return _cut(value, kind.size, kind.signed)
    return value


def _cut(value: int, size: int, signed: bool) -> int:
    value &= (1 << 8 * size) - 1
    return value - (1 << 8 * size) if signed and value >> 8 * size - 1 else value


def show(value: FieldValue) -> str:
    """A value in an argument list: addresses in hexadecimal, names of constants as they are, other text in quotes."""
    if isinstance(value, int):
        return f"0x{value:x}" if value >= 1 << 31 else str(value)
    return (
        str(value)
        if not isinstance(value, str) or isinstance(value, Constant)
        else json.dumps(value, ensure_ascii=False)
    )


def show_arguments(args: dict[str, FieldValue]) -> str:
    """`fd=3, count=832`."""
    return ", ".join(f"{name}={show(value)}" for name, value in args.items())


def report_arguments(signature: ct.Function | None, values: list[int], long_bytes: int) -> str:
    """Arguments as trace-cmd's library prints them: by name where types are known, plain hexadecimal numbers otherwise.

    Integers are cut to their size, signed ones are decimal and not extended by their sign, constants are numbers.
    """
    if signature is None:
        return ", ".join(f"{value:x}" for value in values)
    shown = []
    rest = list(values)
    for name, kind in signature.parameters:
        if not rest:
            shown.append("...")
            break
        shown.append(f"{name}={_report_value(kind, rest, long_bytes)}")
    return ", ".join(shown)


def _report_value(kind: ct.CType, rest: list[int], long_bytes: int) -> str:
    """The text of a parameter, whose words are taken."""
    value = rest.pop(0)
    if isinstance(kind, ct.Enum):
        return str(_cut(value, 8, True))
    if isinstance(kind, ct.Int | ct.Bool):
        cut = _cut(value, kind.size, False)
        return str(_cut(cut, 8, True)) if isinstance(kind, ct.Int) and kind.signed else f"0x{cut:x}"
    if not isinstance(kind, ct.Struct):
        return f"0x{value:x}"
    words = [value]
    while len(words) * long_bytes < kind.size and rest:
        words.append(rest.pop(0))
    return f"({kind.kind})[{':'.join(f'0x{word:x}' for word in words)}]"


class Signatures:
    """Decodes arguments; `read` gives the kernel's BTF (nothing: then arguments are numbered and plain)."""

    def __init__(self, read: Callable[[], bytes], long_bytes: int) -> None:
        self._read = read
        self._long_bytes = long_bytes
        self._btf: Btf | None = None
        self._is_read = False
        self._known: dict[str, ct.Function | None] = {}

    def function(self, name: str) -> ct.Function | None:
        """A function's signature, or None."""
        if not self._is_read:
            self._is_read = True
            data = self._read()
            try:
                self._btf = Btf(data) if data else None
            except FormatError:
                self._btf = None
        if name not in self._known:
            try:
                self._known[name] = self._btf.function(name) if self._btf is not None else None
            except FormatError:
                self._known[name] = None
        return self._known[name]

    def decode(self, name: str, values: list[int]) -> dict[str, FieldValue]:
        """Arguments by name; `arg1`, `arg2`, ... where the function's types are not known."""
        signature = self.function(name)
        if signature is None:
            return {f"arg{number}": value for number, value in enumerate(values, 1)}
        pairs = zip(signature.parameters, values, strict=False)
        return {label or f"arg{n}": typed(kind, value) for n, ((label, kind), value) in enumerate(pairs, 1)}

    def name_constants(self, name: str, args: dict[str, FieldValue]) -> dict[str, FieldValue]:
        """Arguments that a probe has recorded, with the names of constants where the function's types say so."""
        signature = self.function(name)
        kinds = dict(signature.parameters) if signature is not None else {}
        return {
            label: typed(kinds[label], value)
            if isinstance(value, int) and isinstance(kinds.get(label), ct.Enum)
            else value
            for label, value in args.items()
        }
