"""The kernel of a test: the packaged system-call tracepoints, tracepoints that the test declares, and any function."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ..base.errors import UsageError
from ..base.layout import align_up
from ..kernel.packaged import PackagedTarget
from ..kernel.patterns import is_pattern, matcher
from ..kernel.recorded import RecordedTracing
from ..kernel.target import TracepointFormat

_SIZES = {
    **dict.fromkeys(("char", "u8", "s8", "bool", "__u8", "__s8", "uint8_t", "int8_t"), 1),
    **dict.fromkeys(("short", "u16", "s16", "__u16", "__s16", "uint16_t", "int16_t"), 2),
    **dict.fromkeys(("int", "u32", "s32", "__u32", "__s32", "uint32_t", "int32_t", "pid_t", "uid_t", "gid_t"), 4),
    **dict.fromkeys(("long", "u64", "s64", "__u64", "__s64", "uint64_t", "int64_t", "size_t", "ssize_t", "dev_t"), 8),
}
_DEV_BYTES = 4  # dev_t in the kernel (include/linux/types.h)
_UNSIGNED = re.compile(r"\b(unsigned|bool|size_t|uid_t|gid_t|dev_t|_*u(int)?\d+(_t)?)\b")
_FIELD = re.compile(r"(?P<type>.*?[\s*])(?P<name>\w+)\s*(\[(?P<count>\d*)\])?$")
_COMMON = "\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
_START = 8  # of a record's own fields


def format_text(event: str, declarations: str) -> str:
    """A tracepoint's format file from `char comm[16]; pid_t pid; __data_loc char[] name`. Raises UsageError."""
    lines, at = [f"name: {event}\nID: 1\nformat:\n{_COMMON}"], _START
    for declaration in filter(None, (part.strip() for part in declarations.split(";"))):
        size, align, text = _measure(declaration)
        at = align_up(at, align)
        signed = int("*" not in text and not _UNSIGNED.search(text))
        lines.append(f"\tfield:{text};\toffset:{at};\tsize:{size};\tsigned:{signed};\n")
        at += size
    return "".join([*lines, '\nprint fmt: ""\n'])


def _measure(declaration: str) -> tuple[int, int, str]:
    """(bytes, alignment, the declaration) of a field."""
    if declaration.startswith(("__data_loc ", "__rel_loc ")):
        return 4, 4, declaration
    found = _FIELD.match(declaration)
    if found is None:
        raise UsageError(f"not a field of a tracepoint: {declaration}")
    words = found["type"].replace("*", " * ").split()
    size = (
        8 if "*" in words else next((_SIZES[word] for word in words if word in _SIZES), 4 if "unsigned" in words else 0)
    )
    if "dev_t" in words:
        size = _DEV_BYTES
    if not size:
        raise UsageError(
            f"the size of {declaration!r} is not known: use an integer type, a pointer or an array of those"
        )
    return size * int(found["count"] or 1), size, declaration


class _Tracing(RecordedTracing):
    """Declared tracepoints first, then the packaged ones."""

    def __init__(self, formats: Mapping[str, str], packaged: PackagedTarget) -> None:
        super().__init__(formats)
        self._packaged = packaged.tracing

    def tracepoint(self, category: str, event: str, known: object = None) -> TracepointFormat | None:
        """See TracingDir."""
        found = super().tracepoint(category, event, known)
        return found or self._packaged.tracepoint(category, event, known)  # type: ignore[arg-type]

    def tracepoints(self, category: str, event: str) -> list[tuple[str, str]]:
        """See TracingDir."""
        return sorted({*super().tracepoints(category, event), *self._packaged.tracepoints(category, event)})


class ScriptTarget(PackagedTarget):
    """A Target for tests, the same on every machine of the architecture.

    `tracepoints`: "category:event" -> its format file, or its fields as declarations (see format_text). Every function
    without a wildcard exists; `functions` are those that wildcards find.
    """

    def __init__(self, tracepoints: Mapping[str, str] | None = None, functions: Iterable[str] = ()) -> None:
        super().__init__()
        formats = {
            name: text if "field:" in text else format_text(name.partition(":")[2], text)
            for name, text in (tracepoints or {}).items()
        }
        self.cpu_count = 1
        self.release = "6.12.0"
        self.tracing = _Tracing(formats, PackagedTarget())
        self._listed = sorted(functions)

    def functions(self, pattern: str, module: str = "") -> Iterable[str]:
        """See Target."""
        return list(filter(matcher(pattern), self._listed)) if is_pattern(pattern) else [pattern]

    def ksym(self, name: str) -> int | None:
        """No symbol has an address that a test could rely on."""
        return None
