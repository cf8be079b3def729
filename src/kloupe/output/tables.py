"""Names of numbers that only user space needs: error messages, signal names, GFP flags."""

from __future__ import annotations

import os

# Where bpftrace's texts (after the comments of include/uapi/asm-generic/errno*.h) differ from glibc's strerror.
_ERRNO_TEXTS = {
    5: "I/O error",
    9: "Bad file number",
    11: "Try again (operation would block)",
    12: "Out of memory",
    18: "Cross-device link",
    23: "File table overflow",
    25: "Not a typewriter",
    33: "Math argument out of domain of func",
    34: "Math result not representable",
    35: "Resource deadlock would occur",
    37: "No record locks available",
    38: "Invalid system call number",
    40: "Too many symbolic links encountered",
    74: "Not a data message",
    84: "Illegal byte sequence",
    95: "Operation not supported on transport endpoint",
    102: "Network dropped connection because of reset",
    122: "Quota exceeded",
    125: "Operation Canceled",
    133: "Memory page has hardware error",
}
_LAST_ERRNO = 133
_LAST_SIGNAL = 64

# Bits of include/linux/gfp_types.h.
_DMA, _HIGHMEM, _DMA32, _MOVABLE, _HIGH, _IO, _FS, _ZERO = 1, 2, 4, 8, 0x20, 0x40, 0x80, 0x100
_DIRECT, _KSWAPD, _NOWARN, _COMP, _NOMEMALLOC = 0x400, 0x800, 0x2000, 0x40000, 0x80000
_HARDWALL, _ACCOUNT, _SKIP_KASAN = 0x100000, 0x400000, 0x2000000
_KERNEL = _DIRECT | _KSWAPD | _IO | _FS
_USER = _KERNEL | _HARDWALL
_HIGHUSER_MOVABLE = _USER | _HIGHMEM | _MOVABLE | _SKIP_KASAN
_TRANSHUGE_LIGHT = (_HIGHUSER_MOVABLE | _COMP | _NOMEMALLOC | _NOWARN) & ~(_DIRECT | _KSWAPD)

# The order of __def_gfpflag_names in include/trace/events/mmflags.h: the first match takes its bits.
GFP_FLAGS: tuple[tuple[str, int], ...] = (
    ("GFP_TRANSHUGE", _TRANSHUGE_LIGHT | _DIRECT),
    ("GFP_TRANSHUGE_LIGHT", _TRANSHUGE_LIGHT),
    ("GFP_HIGHUSER_MOVABLE", _HIGHUSER_MOVABLE),
    ("GFP_HIGHUSER", _USER | _HIGHMEM),
    ("GFP_USER", _USER),
    ("GFP_KERNEL_ACCOUNT", _KERNEL | _ACCOUNT),
    ("GFP_KERNEL", _KERNEL),
    ("GFP_NOFS", _DIRECT | _KSWAPD | _IO),
    ("GFP_ATOMIC", _HIGH | _KSWAPD),
    ("GFP_NOIO", _DIRECT | _KSWAPD),
    ("GFP_NOWAIT", _KSWAPD | _NOWARN),
    ("GFP_DMA", _DMA),
    ("__GFP_HIGHMEM", _HIGHMEM),
    ("GFP_DMA32", _DMA32),
    ("__GFP_HIGH", _HIGH),
    ("__GFP_IO", _IO),
    ("__GFP_FS", _FS),
    ("__GFP_ZERO", _ZERO),
    ("__GFP_DIRECT_RECLAIM", _DIRECT),
    ("__GFP_KSWAPD_RECLAIM", _KSWAPD),
    ("__GFP_WRITE", 0x1000),
    ("__GFP_NOWARN", _NOWARN),
    ("__GFP_RETRY_MAYFAIL", 0x4000),
    ("__GFP_NOFAIL", 0x8000),
    ("__GFP_NORETRY", 0x10000),
    ("__GFP_MEMALLOC", 0x20000),
    ("__GFP_COMP", _COMP),
    ("__GFP_NOMEMALLOC", _NOMEMALLOC),
    ("__GFP_HARDWALL", _HARDWALL),
    ("__GFP_THISNODE", 0x200000),
    ("__GFP_ACCOUNT", _ACCOUNT),
    ("__GFP_ZEROTAGS", 0x800000),
    ("__GFP_SKIP_ZERO", 0x1000000),
    ("__GFP_SKIP_KASAN", _SKIP_KASAN),
    ("__GFP_NO_OBJ_EXT", 0x4000000),
)


def errno_text(number: int) -> str:
    """The message of an errno (either sign), as `strerror()` of the language gives it; `Unknown error` beyond the last."""
    number = abs(number)
    if number > _LAST_ERRNO:
        return "Unknown error"
    text = _ERRNO_TEXTS.get(number) or os.strerror(number)
    return "Unknown error" if text.startswith("Unknown error") else text


def signal_text(number: int) -> str:
    """What strsignal(3) says of a signal ("Killed"); `N/A` when there is no such signal."""
    import signal

    if not 0 < number <= _LAST_SIGNAL:
        return "Unknown signal 0" if number == 0 else "N/A"
    return signal.strsignal(number) or f"Unknown signal {number}"


def gfp_text(flags: int) -> str:
    """Allocation flags by name, joined with `|`; unknown bits in hexadecimal, 0 as `0`."""
    if not flags:
        return "0"
    names = []
    for name, bits in GFP_FLAGS:
        if flags & bits == bits:
            names.append(name)
            flags &= ~bits
    if flags:
        names.append(hex(flags))
    return "|".join(names)
