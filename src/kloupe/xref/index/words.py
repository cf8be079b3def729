"""What the index knows of a file: the words in it, and which of them it may define. Made for speed, by whole-file regular expressions.

A word is marked as defined generously: the index only chooses which files to read, and `parse.definitions` decides. That
nothing is left out is tested against it.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from ..parse.macros import made_names
from ..parse.pasting import pasted_names
from ..walk import is_assembly, is_code, is_kconfig

# Everything but the bytes of C identifiers becomes a space.
_SEPARATE = bytes(c if c < 128 and (chr(c).isalnum() or c == 0x5F) else 0x20 for c in range(256))
_FIRST_LETTER = b":"  # digits sort before it, letters and _ behind

_PASTE = re.compile(rb"##")  # finds it in half the time of `in`
_PLAIN_DEFINE = b"\n#define "
_SAMPLE_BYTES = 4096
_NUMBER = re.compile(rb"\n#define +(\w++)[ \t]++\d\w*+(?=\n)")
# Nearly all of these begin with a line break, and look at the next byte first: that is what makes them fast.
_DEFINE = re.compile(rb"#[ \t]*define[ \t]+(\w+)")
_FLUSH_LINE = re.compile(rb"\n[A-Za-z_][^\n]*")
_HEAD = re.compile(rb"\n(?=[A-Za-z_])(?:[A-Za-z_][\w \t*]*[ \t*])?(\w+)[ \t]*(?=[=;\[(,{\n:])")
_CONTINUED = re.compile(rb"\n[A-Za-z_][\w \t*]*\n[ \t*(]+(\w+)[ \t]*[=\[(;)]")  # the type in a line of its own
_LIST = re.compile(rb"\n[A-Za-z_}][^;(){}\n,]*,[^;{}]{0,1000};")  # a limit, since in a long enum every line begins so
_MACRO = re.compile(
    rb"\n(?=[A-Za-z_])(?:(?:static|extern|const|inline|noinline|notrace|asmlinkage|__\w+)[ \t]+)*+"
    rb"(_*[A-Z]\w*|__setup|early_param|\w+initcall|_*module_\w+|\w+_param\w*)[ \t]*\((?=([^;{}]{1,240}))"
)
_ATTRIBUTED = re.compile(rb"\n([A-Za-z_][^\n(;=]*)_(?<=[ \t]_)\w+[ \t(=;]")
_POINTER = re.compile(rb"\n[A-Za-z_][^;{}=\n]*\([ \t]*\*+[ \t]*(?:const[ \t]+|__\w+[ \t]+)*(\w+)")
_TYPEDEF = re.compile(rb"\n(?:typedef|register)\b([^;{}]*(?:\{[^{}\n]*\}[^;{}]*)?);")
_RECORD = re.compile(
    rb"\n(?=[a-z_])(?:(?!struct|union)[a-z_]++[ \t]++)*+(?:struct|union)\b[^{;()=]*+(?:\([^;{}]*\)[^{;()=]*)?"
    rb"(?<!\)\n)\{([^\n]*(?:\n(?!\})[^\n]*)*)\n\}([^;{]*)"  # no function that returns one
)
_ENUM = re.compile(rb"enum\b[^{;()=]*\{([^}]*)\}")
_INNER_NAME = re.compile(rb"(?:struct|union|enum)\s+(?:__\w+\s+)*(\w+)\s*\{")
_MEMBER = re.compile(rb"[ \t*(](\w+)(?=\s*(?:[;,\[:)=(]|__))")
_TAIL = re.compile(rb"\n[ \t]*\}[ \t]*([^;{}()\n]+)[;,=]")
_LABEL = re.compile(rb"\n([A-Za-z_.][\w.$]*)[ \t]*:")
_ASM_MACRO = re.compile(rb"\.macro[ \t]+(\w+)")
_INCLUDE = re.compile(rb"#[ \t]*include[ \t]*[<\"]([^>\"\n]+)")
_CONFIG = re.compile(rb"\n[ \t]*(?:menu)?config[ \t]+(\w+)")


def file_words(path: str, data: bytes) -> tuple[Collection[bytes], set[bytes]]:
    """The words that a file may define, and its words; some of the former may lack in the latter."""
    if is_kconfig(path):
        return config_words(data), words_of(data)
    if not is_code(path):
        return set(), words_of(data)
    numbers, data = take_numbers(data) if path.endswith(".h") else ([], data)
    words, defined = words_of(data), defined_words(data, is_assembly(path))
    if b"include" in words:
        words |= include_keys(data)
    if not numbers:
        return defined, words
    # In the order of the text: neighbours in memory that are used together make all that follows twice as fast.
    return dict.fromkeys(numbers) | dict.fromkeys(defined), words | {b"define"}


def take_numbers(data: bytes) -> tuple[list[bytes], bytes]:
    """Of a header of register numbers, the macros that are a number, and the text without their lines. Of other texts none, and all.

    A third of the kernel is such headers, and this reads them twice as fast.
    """
    middle = len(data) // 2
    sample = data[middle : middle + _SAMPLE_BYTES]
    if 2 * sample.count(_PLAIN_DEFINE) <= sample.count(b"\n"):
        return [], data
    parts = _NUMBER.split(data)
    return parts[1::2], b"".join(parts[::2])


def words_of(data: bytes) -> set[bytes]:
    """The distinct identifiers in a text, also those in comments and strings."""
    return {word for word in data.translate(_SEPARATE).split() if word > _FIRST_LETTER}


def include_keys(data: bytes) -> set[bytes]:
    """A key `<name.h` for each included file's last path part."""
    return {b"<" + path.rsplit(b"/", 1)[-1] for path in _INCLUDE.findall(data)}


def defined_words(data: bytes, assembly: bool = False) -> set[bytes]:
    """Words that the text may define, among others, and the names that macros of the kernel make from their arguments."""
    text = b"\n" + data
    found = set(_DEFINE.findall(text))
    parts = _ENUM.findall(text)
    text = _without_bodies(text)
    lines = b"".join(_FLUSH_LINE.findall(text)) + b"\n"
    found.update(_HEAD.findall(lines), _POINTER.findall(lines), _CONTINUED.findall(text))
    parts += _ATTRIBUTED.findall(lines)
    for macro, arguments in _MACRO.findall(text):
        parts.append(arguments)
        found.update(made_names(macro, arguments))
    parts += _LIST.findall(text)
    parts += _TYPEDEF.findall(text)
    parts += _TAIL.findall(text)
    for body, tail in _RECORD.findall(text):
        found.update(_MEMBER.findall(body), _INNER_NAME.findall(body))
        parts.append(tail)
    found.update(b" ".join(parts).translate(_SEPARATE).split())
    if found and _PASTE.search(data):
        found.update(name for name, *_ in pasted_names(data))
    if assembly:
        found.update(_LABEL.findall(text))
    if b".macro" in data:
        found.update(_ASM_MACRO.findall(data))
    return found


def _without_bodies(text: bytes) -> bytes:
    """The text without the inside of functions, by the layout that the kernel has nearly everywhere.

    One with its whole inside in the line of its brace stays: another function may follow before the next brace at a line's start.
    """
    first, *parts = text.split(b")\n{")
    return b")\n{".join([first, *(part[part.find(b"\n}") :] if part[:1] == b"\n" else part for part in parts)])


def config_words(data: bytes) -> set[bytes]:
    """The symbols that a Kconfig text defines."""
    return set(_CONFIG.findall(b"\n" + data))
