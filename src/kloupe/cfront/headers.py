"""Headers that need no file: the kernel's, whose types come from BTF, and the C library's, of which scripts want constants.

The constants are those of this machine's own C library as Python knows it; on x86_64 and aarch64 they are the same
(include/uapi/asm-generic/errno.h, signal.h; include/linux/socket.h; include/uapi/linux/stat.h).
"""

from __future__ import annotations

from importlib import import_module

# The first folder of the kernel's own headers (include/, include/uapi/ and arch/*/include/ of its source).
_KERNEL_FOLDERS = (
    *(
        "acpi",
        "asm",
        "asm-generic",
        "clocksource",
        "crypto",
        "cxl",
        "drm",
        "dt-bindings",
        "generated",
        "hyperv",
        "keys",
    ),
    *("kunit", "kvm", "linux", "math-emu", "media", "misc", "mtd", "net", "pcmcia", "ras", "rdma", "rv", "scsi", "soc"),
    *("sound", "target", "trace", "uapi", "vdso", "video", "xen"),
)
_C_LIBRARY_FOLDERS = ("arpa", "bits", "netinet", "sys")
_C_LIBRARY = (
    *(
        "assert.h",
        "ctype.h",
        "dirent.h",
        "errno.h",
        "fcntl.h",
        "inttypes.h",
        "limits.h",
        "poll.h",
        "pthread.h",
        "pwd.h",
    ),
    *("sched.h", "signal.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h"),
    *("strings.h", "syscall.h", "termios.h", "time.h", "ucontext.h", "unistd.h", "wchar.h"),
)
# Header: the Python module that knows its constants, and how their names begin.
_CONSTANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "errno.h": ("errno", ("E",)),
    "signal.h": ("signal", ("SIG",)),
    "socket.h": ("socket", ("AF_", "SOCK_", "SOL_", "SO_", "MSG_", "IPPROTO_")),
    "in.h": ("socket", ("IPPROTO_",)),
    "stat.h": ("stat", ("S_IF", "S_IS", "S_IR", "S_IW", "S_IX")),
}


SYSCALL_HEADERS = ("syscall.h", "sys/syscall.h", "asm/unistd.h", "linux/unistd.h")


def is_served(path: str) -> bool:
    """Whether a script may include the header without a file of it."""
    folder, slash, _ = path.partition("/")
    return folder in _KERNEL_FOLDERS or folder in _C_LIBRARY_FOLDERS if slash else path in _C_LIBRARY


def served_text(path: str) -> str:
    """The `#define`s of a served header; empty for one whose types and constants are BTF's."""
    name = path.rpartition("/")[2]
    if name not in _CONSTANTS or not is_served(path):
        return ""
    module_name, prefixes = _CONSTANTS[name]
    module = import_module(module_name)
    found = {key: getattr(module, key) for key in dir(module) if key.startswith(prefixes)}
    return "".join(f"#define {key} {int(value)}\n" for key, value in found.items() if isinstance(value, int))
