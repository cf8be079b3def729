"""Types as C definitions, in the form of bpftool and bpftrace: members on lines of their own, indented by tabs."""

from __future__ import annotations

import re

from ..base.ctype import Array, CType, Enum, Field, Function, Pointer, Struct


def define_enum(found: Enum) -> str:
    """`enum e {` and its constants."""
    lines = [f"enum {found.name} {{", *(f"\t{name} = {value}," for name, value in found.values), "};"]
    return "\n".join(lines)


def define_struct(found: Struct) -> str:
    """`struct s {` and its members; unnamed members are spelled out in place."""
    return "\n".join([f"{found.kind} {found.name} {{", *_members(found, 1), "};"])


def _members(found: Struct, depth: int) -> list[str]:
    lines: list[str] = []
    tabs = "\t" * depth
    for field in found.fields:
        inner, bounds = _element(field.type)
        width = f": {field.bit_size}" if field.bit_size else ""
        if isinstance(inner, Struct) and not inner.name and not _has_typedef(field):
            lines += [f"{tabs}{inner.kind} {{", *_members(inner, depth + 1)]
            lines.append(f"{tabs}}} {field.name}{bounds}".rstrip() + ";")
        else:
            lines.append(f"{tabs}{_declare(field)}{width};")
    return lines


def _has_typedef(field: Field) -> bool:
    """Whether the source names the member's unnamed struct by a typedef (`file_ref_t f_ref`)."""
    words = [word for word in field.decl.split() if word not in ("const", "volatile")]
    return bool(words) and words[0] not in ("struct", "union")


def _element(t: CType) -> tuple[CType, str]:
    """What an array (of arrays) is made of, and its bounds as text; any other type itself."""
    bounds = ""
    while isinstance(t, Array):
        bounds += f"[{t.count}]"
        t = t.element
    return t, bounds


def _declare(field: Field) -> str:
    """The member; a star sticks to the name (`void *sival_ptr`)."""
    text = field.decl or _spell(field.type, field.name)
    if not re.search(rf"\b{re.escape(field.name)}\b", text):
        text = f"{text} {field.name}"
    return re.sub(r"\* (?=[\w*(])", "*", text)


def _spell(t: CType, name: str) -> str:
    if isinstance(t, Array):
        return _spell(t.element, f"{name}[{t.count}]")
    if isinstance(t, Pointer):
        if isinstance(t.target, Function):
            arguments = ", ".join(_spell(p, "").rstrip() for _, p in t.target.parameters) or "void"
            return f"{_spell(t.target.result, '').rstrip()} (*{name})({arguments})"
        return _spell(t.target, f"*{name}")
    return f"{t} {name}"
