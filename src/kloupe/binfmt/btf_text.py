"""BTF types as C text, in the spelling that listings use (`const char * filename`, `struct sock * sk`)."""

from __future__ import annotations

from . import btf as b

_WORDS = {b.CONST: "const ", b.VOLATILE: "volatile ", b.RESTRICT: "", b.TYPE_TAG: ""}
_DEPTH = 32


def spell(btf: b.Btf, type_id: int, depth: int = 0) -> str:
    """The type's text without a name: `struct sock *`, `char[16]`, `int (*)(struct file *)`."""
    return declaration(btf, type_id, "", depth)


def declaration(btf: b.Btf, type_id: int, name: str, depth: int = 0) -> str:
    """A declaration of `name` with this type; pointers have spaces around their star, array bounds follow the name."""
    if type_id == 0:
        return f"void {name}".rstrip()
    if depth > _DEPTH:
        return name
    owner, at = btf.locate(type_id)
    words = owner.words
    kind, target = words[at + 1] >> 24 & 0x1F, words[at + 2]
    if kind == b.PTR:
        return _pointer(btf, target, name, depth)
    if kind == b.ARRAY:
        return declaration(btf, words[at + 3], f"{name}[{words[at + 5]}]", depth + 1)
    if kind == b.FUNC_PROTO:
        return _prototype(btf, owner, at, name, depth)
    if kind in _WORDS:
        return _WORDS[kind] + declaration(btf, target, name, depth + 1)
    own = owner.string(words[at])
    if kind in (b.STRUCT, b.UNION, b.FWD, b.ENUM, b.ENUM64):
        own = f"{_keyword(kind, words[at + 1])} {own}".rstrip()
    return own + name if name.startswith("[") else f"{own} {name}".rstrip()


def _keyword(kind: int, info: int) -> str:
    if kind in (b.ENUM, b.ENUM64):
        return "enum"
    return "union" if kind == b.UNION or (kind == b.FWD and info & b.KIND_FLAG) else "struct"


def _pointer(btf: b.Btf, target: int, name: str, depth: int) -> str:
    if target:
        owner, at = btf.locate(target)
        if owner.words[at + 1] >> 24 & 0x1F in (b.FUNC_PROTO, b.ARRAY):
            return declaration(btf, target, f"(*{name})", depth + 1)
    star = f"* {name}" if name and not name.startswith("*") else f"*{name}"
    return declaration(btf, target, star.rstrip(), depth + 1)


def _prototype(btf: b.Btf, owner: b.Btf, at: int, name: str, depth: int) -> str:
    words = owner.words
    texts = []
    for entry in range(at + 3, min(at + 3 + 2 * (words[at + 1] & 0xFFFF), len(words) - 1), 2):
        texts.append(
            "..." if words[entry : entry + 2].tobytes() == bytes(8) else spell(btf, words[entry + 1], depth + 1)
        )
    return f"{spell(btf, words[at + 2], depth + 1)} {name}({', '.join(texts) or 'void'})"


def parameter_declarations(btf: b.Btf, name: str) -> tuple[str, ...] | None:
    """The parameters of a function as text, and `RESULT retval` last unless it gives nothing; None for an unknown function."""
    position = btf.find(name, (b.FUNC,))
    if position is None:
        return None
    owner, at = btf.locate(btf.words[position + 2])
    words = owner.words
    if words[at + 1] >> 24 & 0x1F != b.FUNC_PROTO:
        return None
    found = [
        declaration(btf, words[entry + 1], owner.string(words[entry]))
        for entry in range(at + 3, at + 3 + 2 * (words[at + 1] & 0xFFFF), 2)
        if words[entry + 1]
    ]
    if words[at + 2]:
        found.append(declaration(btf, words[at + 2], "retval"))
    return tuple(found)
