"""The heads of declarations: which name a head declares. Works on code without comments and directives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...base.record import record
from .structure import Group, groups

# Words in a head that look like calls but only decorate.
DECORATIONS = frozenset(
    b"__attribute__ __attribute __printf __scanf __aligned __section __acquires __releases __must_hold __cond_acquires __alloc_size "
    b"__declspec __asm__ asm __alias __assume_aligned __diagnose_as __counted_by __no_sanitize __copy __malloc __nonnull "
    b"__cond_lock __free __guarded_by __bpf_md_ptr __align __section__ __realloc_size __acquire __release __visible "
    b"__typeof__ typeof __typeof alignas _Alignas __kprintf __init_or_module __cfi_salt __flatten __attribute_const "
    b"__context_unsafe __no_context_analysis __must_hold_shared __acquires_shared __releases_shared __cacheline_group_begin "
    b"sizeof __acquires_ret __nocfi_generic __cacheline_group_end ACPI_PRINTF_LIKE __retval_addr".split()
)
_KEYWORDS = frozenset(b"if for while switch return else do case sizeof typeof struct union enum static const".split())
_NOT_NAMES = frozenset(
    b"static extern const volatile unsigned signed int long char short struct union enum inline __inline __inline__ void "
    b"register typedef float double bool".split()
)
_BEFORE_MACROS = frozenset(
    b"static inline __init asmlinkage noinline __always_inline extern noinstr notrace __visible __weak __exit".split()
)
# Words behind a declarator that are no name.
TRAILERS = frozenset(
    b"__initdata __initconst __read_mostly __ro_after_init __refdata __refconst __devinitdata __exitdata __percpu __aligned "
    b"__cacheline_aligned __cacheline_aligned_in_smp ____cacheline_aligned ____cacheline_aligned_in_smp __maybe_unused "
    b"__packed __used __weak __visible __nosavedata __page_aligned_bss __page_aligned_data __bss_decrypted __latent_entropy "
    b"__cpuidle __meminitdata __initdata_memblock __ksym __kconfig __uptr __rcu __user __iomem __always_unused __asmeq "
    b"__initdata_or_module __initconst_or_module __randomize_layout __no_randomize_layout __private __hyp_ro_after_init "
    b"__attribute_const__ __section __init __exit __deprecated __nonstring __lsm_ro_after_init __vdso_data __arena "
    b"__maybe_unused__ __tty_dev __sched __purgatory __bitwise __bitwise__ __mode __designated_init "
    b"____cacheline_internodealigned_in_smp __hidden __percpu_seg_override __initdata_cpus __wsum_ __force".split()
)
_TYPE_IN_PARENTHESES = re.compile(rb"\(\s*[*^]*\s*(?:__\w+\s+)*(\w+)\s*\)\s*\(")  # typedef int (*name)(void)
_TYPE = re.compile(rb"(\w+)\s*\(")  # typedef int name(void)
_POINTER = re.compile(rb"\(\s*\*+\s*(?:const\s+)?(?:__\w+\s+)*(\w+)\s*(?:\[[^\]]*\]\s*)*[)(]")
_INNER_FUNCTION = re.compile(rb"\s*\*+\s*(?:__\w+\s+)*(\w+)\s*\(")
_BOUNDS = re.compile(rb"\[[^\]]*\]")
_WORD = re.compile(rb"[A-Za-z_]\w*")
_RECORD_WORD = re.compile(rb"\b(struct|union|enum)\b")
_NO_RECORD = re.compile(rb"[^\w\s]")
_ONLY_A_TAG = re.compile(rb"\s*(?:extern\s+)?(?:struct|union|enum)\s+\w+\s*$")


@record(frozen=True)
class RecordHead:
    """What stands before the block of a struct, union or enum. `name` is b"" when it has none."""

    kind: str
    name: bytes
    start: int
    name_off: int


def record_head(head: bytes) -> RecordHead | None:
    """The struct, union or enum whose block a head begins, or None."""
    last = None
    for match in _RECORD_WORD.finditer(head):
        last = match
    if last is None:
        return None
    tail = _undecorated(head[last.end() :]).split(b":", 1)[0]
    if _NO_RECORD.search(tail):
        return None
    words = [w for w in _WORD.finditer(tail) if w[0] not in TRAILERS and w[0] not in DECORATIONS]
    plain = [w for w in words if not w[0].isupper()] or words  # upper case beside a name is an attribute
    kind = last[1].decode()
    if not plain:
        return RecordHead(kind, b"", last.start(), last.end())
    return RecordHead(kind, plain[0][0], last.start(), last.end() + plain[0].start())


def equals_at(head: bytes) -> int:
    """The offset of the first = outside of parentheses, or -1."""
    at = head.find(b"=")
    while at >= 0 and head.count(b"(", 0, at) > head.count(b")", 0, at):
        at = head.find(b"=", at + 1)
    return at


def at_line_start(head: bytes, at: int) -> bool:
    """Whether only spaces stand before an offset in its line."""
    return not head[head.rfind(b"\n", 0, at) + 1 : at].strip()


def ends_line(head: bytes, group: Group) -> bool:
    """Whether a call stands at the end of its line, with more behind it."""
    rest = head[group.close + 1 :]
    return rest.lstrip(b" \t")[:1] == b"\n" and bool(rest.strip())


def has_type(before: bytes) -> bool:
    """Whether a type stands before a name, so that the name is a function's and not a macro's."""
    last = before.rsplit(b"\n\n", 1)[-1].rsplit(b")", 1)[-1]
    return any(word not in _BEFORE_MACROS for word in re.findall(rb"\w+", last))


def candidates(head: bytes) -> list[Group]:
    """The groups of a function's head that may name it."""
    return [group for group in groups(head) if group.name not in DECORATIONS and group.name not in _KEYWORDS]


def function_group(head: bytes, found: list[Group]) -> Group:
    """The group that names the function: the last, unless it only decorates what stands before it."""
    at = len(found) - 1
    while at and found[at].name.startswith(b"__") and not head[found[at - 1].close + 1 : found[at].start].strip():
        at -= 1
    while at and found[at].name.isupper() and not head[found[at - 1].close + 1 : found[at].start].strip(b" \t"):
        at -= 1
    return found[at]


def function_name(head: bytes, group: Group) -> tuple[int, bytes]:
    """Offset and name of a function. For `int (*name(int a))(int)` the name is inside of the group."""
    inside = head[group.open : group.close]
    if inside.lstrip().startswith(b"*") and head[group.close + 1 :].lstrip()[:1] == b"(":
        match = _INNER_FUNCTION.match(inside)
        if match:
            return group.open + match.start(1), match[1]
    return group.start, group.name


def declaration_start(head: bytes, at: int) -> int:
    """Where the declaration begins whose name is at `at`: behind the last blank line."""
    start = max(head.rfind(b"\n\n", 0, at) + 2, 0) if b"\n\n" in head[:at] else 0
    text = head[start:at]
    return start + len(text) - len(text.lstrip())


def declared(head: bytes, kind: str, behind_block: bool) -> Iterator[tuple[int, bytes]]:
    """(offset, name) of the declarators of `type a, *b[3], (*c)(int) = x`. Prototypes and lone tags declare nothing.

    `kind`: "typedef" or "variable". `behind_block`: the type was a block, so the first word is already a name.
    """
    offset = 0
    for index, part in enumerate(split_at_commas(head)):
        equals = equals_at(part)
        text = _undecorated(part if equals < 0 else part[:equals])
        needs_type = kind == "variable" and not behind_block and index == 0
        if needs_type and (_is_prototype(text) or _ONLY_A_TAG.match(text)):
            return
        match = _declarator(text, kind, behind_block)
        if match is not None:
            start, name = match
            if needs_type and not text[:start].strip():
                return  # a lone word is no declaration
            if name not in _NOT_NAMES and text[start - 1 : start] != b".":
                yield offset + start, name
        offset += len(part) + 1


def _undecorated(text: bytes) -> bytes:
    """The text with attributes as spaces: the known ones, and words in upper case behind something, as in `x SEC(".maps")`."""
    for group in groups(text):
        if group.name in DECORATIONS or (group.name.isupper() and text[: group.start].strip()):
            text = text[: group.start] + b" " * (group.close + 1 - group.start) + text[group.close + 1 :]
    return text


def _is_prototype(text: bytes) -> bool:
    """Whether a declaration is of a function (and not of a pointer to one)."""
    found = groups(text)
    if not found:
        return False
    return b"(*" not in text or not text[found[0].open : found[0].close].lstrip().startswith((b"*", b"__"))


def _declarator(text: bytes, kind: str, behind_block: bool) -> tuple[int, bytes] | None:
    text = text.rstrip()
    if kind == "typedef" and text.endswith(b")"):
        match = _TYPE_IN_PARENTHESES.search(text) or next(
            (m for m in _TYPE.finditer(text) if m[1] not in _NOT_NAMES), None
        )
        return (match.start(1), match[1]) if match else None
    match = _POINTER.search(text)
    if match:
        return match.start(1), match[1]
    words = list(_WORD.finditer(_BOUNDS.sub(lambda m: b" " * len(m[0]), text)))
    while len(words) > (0 if behind_block else 1) and words[-1][0] in TRAILERS:
        words.pop()
    return (words[-1].start(), words[-1][0]) if words else None


def split_at_commas(text: bytes) -> list[bytes]:
    """The comma-separated parts of a declaration, outside of all brackets, as they stand."""
    if b"," not in text:
        return [text]
    parts, depth, start = [], 0, 0
    for at, sign in enumerate(text):
        if sign in b"({[":
            depth += 1
        elif sign in b")}]":
            depth -= 1
        elif sign == 0x2C and depth <= 0:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts
