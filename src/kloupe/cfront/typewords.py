"""C's type words to types: the basic types under LP64 and the names that need no header (stdint, the kernel's own)."""

from __future__ import annotations

from ..base import ctype as ct

# Plain char is signed here on every machine: char arrays are the language's strings and are told by it.
_CANONICAL: dict[str, ct.CType] = {
    "void": ct.VOID,
    "_Bool": ct.BOOL,
    "char": ct.INT8,
    "signed char": ct.INT8,
    "unsigned char": ct.UINT8,
    "short": ct.INT16,
    "unsigned short": ct.UINT16,
    "int": ct.INT32,
    "unsigned int": ct.UINT32,
    "long": ct.INT64,
    "unsigned long": ct.UINT64,
    "long long": ct.INT64,
    "unsigned long long": ct.UINT64,
    "__int128": ct.Int(16, True),
    "unsigned __int128": ct.Int(16, False),
    "float": ct.Float(4),
    "double": ct.Float(8),
    "long double": ct.Float(16),
}
_WORDS = "void _Bool bool char short int long signed unsigned float double __int128 __signed__ __signed"
TYPE_WORDS = frozenset(_WORDS.split())
NAMED: dict[str, ct.CType] = {
    "size_t": ct.UINT64,
    "ssize_t": ct.INT64,
    "uintptr_t": ct.UINT64,
    "intptr_t": ct.INT64,
    "ptrdiff_t": ct.INT64,
    "pid_t": ct.INT32,
    "uid_t": ct.UINT32,
    "gid_t": ct.UINT32,
    "loff_t": ct.INT64,
    "dev_t": ct.UINT32,
    "ino_t": ct.UINT64,
    "umode_t": ct.UINT16,
    **{f"{'' if t.signed else 'u'}int{8 * t.size}_t": t for t in ct.INTEGER_NAMES.values()},
    **{f"{p}{'s' if t.signed else 'u'}{8 * t.size}": t for t in ct.INTEGER_NAMES.values() for p in ("", "__")},
    **{f"__{e}{n}": t for e in ("le", "be") for n, t in ((16, ct.UINT16), (32, ct.UINT32), (64, ct.UINT64))},
    "uint": ct.UINT32,
    "ulong": ct.UINT64,
    "ushort": ct.UINT16,
}


def from_words(words: list[str]) -> ct.CType | None:
    """The type of a list of type words in any order (`long unsigned int`), or None when they make no type."""
    words = [{"__signed__": "signed", "__signed": "signed", "bool": "_Bool"}.get(word, word) for word in words]
    longs = words.count("long")
    base = [word for word in words if word in ("void", "_Bool", "char", "float", "double", "__int128")]
    sign = "unsigned " if "unsigned" in words else "signed " if base == ["char"] and "signed" in words else ""
    if len(base) > 1 or longs > 2 or len(words) > 4:
        return None
    if base:
        return _CANONICAL.get(f"{'long ' * longs}{sign}{base[0]}")
    kind = "short" if "short" in words else " ".join(["long"] * longs) or "int"
    return _CANONICAL.get(sign + kind)
