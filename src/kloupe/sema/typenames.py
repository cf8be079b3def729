"""Types as scripts write them, resolved: the language's names, the script's C part, the kernel's types."""

from __future__ import annotations

from ..base import ctype as ct
from ..base.ctype import CType
from ..base.diag import did_you_mean
from ..base.errors import KloupeError
from ..kernel.target import ListingFacts
from ..lang import nodes as n
from .analyzer import Analyzer

# C's basic types under the LP64 model of the x86-64 and AArch64 ABIs, and the kernel's and stdint's fixed-width names.
C_NAMES: dict[str, CType] = {
    **ct.INTEGER_NAMES,
    "void": ct.VOID,
    "bool": ct.BOOL,
    "_Bool": ct.BOOL,
    "char": ct.INT8,
    "signed char": ct.INT8,
    "unsigned char": ct.UINT8,
    "short": ct.INT16,
    "unsigned short": ct.UINT16,
    "int": ct.INT32,
    "signed": ct.INT32,
    "unsigned": ct.UINT32,
    "unsigned int": ct.UINT32,
    "long": ct.INT64,
    "unsigned long": ct.UINT64,
    "long long": ct.INT64,
    "unsigned long long": ct.UINT64,
    "size_t": ct.UINT64,
    "ssize_t": ct.INT64,
    "uintptr_t": ct.UINT64,
    "intptr_t": ct.INT64,
    **{f"{'' if t.signed else 'u'}int{8 * t.size}_t": t for t in ct.INTEGER_NAMES.values()},
    **{f"{'s' if t.signed else 'u'}{8 * t.size}": t for t in ct.INTEGER_NAMES.values()},
    **{f"__{'s' if t.signed else 'u'}{8 * t.size}": t for t in ct.INTEGER_NAMES.values()},
}
_SIZED = {"string": (ct.String, 0), "buffer": (ct.Buffer, 0)}
_OPAQUE = {
    "inet": ct.INET,
    "timestamp": ct.TIMESTAMP,
    "mac_address": ct.MAC,
    "ksym_t": ct.KSYM,
    "usym_t": ct.USYM,
    "username": ct.USERNAME,
    "cgroup_path_t": ct.CGROUP_PATH,
}
_LANGUAGE_FIRST = {*ct.INTEGER_NAMES, "bool", "void", "string", "buffer", "inet"}


def resolve_type(an: Analyzer, written: n.TypeName | n.TypeOf) -> CType | None:
    """The type that `written` names; reports an unknown one and gives None."""
    if isinstance(written, n.TypeOf):
        return type_of_operand(an, written.operand)
    modifiers = list(written.modifiers)
    if written.name in _SIZED:
        make, _ = _SIZED[written.name]
        size = modifiers.pop(0) if modifiers and isinstance(modifiers[0], int) else 0
        base: CType | None = make(int(size))
    else:
        if written.name == "inet" and modifiers and isinstance(modifiers[0], int):
            modifiers.pop(0)
        base = _named(an, written.name)
    if base is None:
        an.error(written.span, f'Cannot resolve unknown type "{written.name}"', hints=_hints(an, written.name))
        return None
    for modifier in modifiers:
        base = ct.Pointer(base) if modifier == "*" else ct.Array(base, int(modifier))
    return base


def _hints(an: Analyzer, name: str) -> tuple[str, ...]:
    """What may have been meant by a type that there is not, or why it is not known."""
    known = [*C_NAMES, *an.c_types.typedefs, *(f"{k} {name}" for k, name in an.c_types.structs)]
    kind, _, tag = name.partition(" ")
    if tag and an.reporting:
        if not an.target.has_btf:
            return (f"This kernel offers no type information (BTF): define the {kind} in the script.",)
        if isinstance(an.target, ListingFacts):
            known += an.target.type_names(f"{kind} {tag[:1]}*")
    return did_you_mean(name, known)


def _named(an: Analyzer, name: str) -> CType | None:
    if name in _LANGUAGE_FIRST or name in _OPAQUE:
        return C_NAMES.get(name) or _OPAQUE.get(name)
    kind, _, tag = name.partition(" ")
    if kind in ("struct", "union") and tag:
        return an.c_types.structs.get((kind, tag)) or _in_binary(an, kind, tag) or an.target.struct(kind, tag)
    if kind == "enum" and tag:
        return an.c_types.enums.get(tag) or an.target.enum(tag)
    found = an.c_types.typedefs.get(name) or C_NAMES.get(name) or an.target.typedef(name)
    if found is not None:
        return found
    for kind in ("struct", "union"):
        struct = an.c_types.structs.get((kind, name)) or an.target.struct(kind, name)
        if struct is not None:
            return struct
    return an.c_types.enums.get(name) or an.target.enum(name)


def _in_binary(an: Analyzer, kind: str, tag: str) -> CType | None:
    """A type of the program that a user-space probe is in."""
    path = an.unit.points[0].attach.params.get("path")
    if path is None:
        return None
    try:
        return an.target.binary(str(path)).struct(kind, tag)
    except KloupeError:
        return None


def type_of_operand(an: Analyzer, operand: n.Expr | n.TypeName | n.TypeOf) -> CType | None:
    """The type of what sizeof, offsetof and typeof take: a type or an expression (which is not run)."""
    if isinstance(operand, n.TypeName) and not operand.modifiers:
        constant = an.c_types.constants.get(operand.name) or an.target.enum_constant(operand.name)
        if constant is not None and _named(an, operand.name) is None:
            return ct.UINT64  # an enum's constant is a 64-bit number, whatever its enum's size
    if isinstance(operand, (n.TypeName, n.TypeOf)):
        return resolve_type(an, operand)
    if isinstance(operand, n.Map):
        info = an.map(operand)
        return info.value_type if info.scalar else (info.key_type or info.value_type)
    found = an.type_of(operand)
    return None if isinstance(found, ct.NoneType) else found
