"""Which files a probe's binary part names: paths, programs on PATH, shared libraries, patterns.

ld.so.cache's format is glibc's sysdeps/generic/dl-cache.h ("glibc-ld.so.cache1.1").
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from .patterns import is_pattern, matcher

_CACHE = "/etc/ld.so.cache"
_MAGIC = b"glibc-ld.so.cache1.1"
_ENTRY = struct.Struct("<iIIIQ")
_HEADER_BYTES = 48
# Flags of an entry: 3 (ELF, libc6) and the machine.
_FLAGS = {"x86_64": 0x0303, "aarch64": 0x0A03}
_FOLDERS = ("/lib64", "/usr/lib64", "/lib/{}-linux-gnu", "/usr/lib/{}-linux-gnu", "/lib", "/usr/lib", "/usr/local/lib")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def resolve(name: str, machine: str, pid: int | None = None) -> list[str]:
    """Paths of existing files. With `pid`: as that process sees them, libraries it has mapped first.

    `libc` means `libc.so.6`, `libssl.so` any version; a pattern gives every ELF file that matches, sorted.
    """
    if not name or "\0" in name:
        return []
    root = _process_root(pid)
    if is_pattern(name):
        return _expand(name, machine, root)
    if "/" in name:
        path = name if root == "" or not name.startswith("/") else root + name
        return [path] if os.path.isfile(path) else []
    for candidates in (_mapped(name, pid), _programs(name, root), _libraries(name, machine, root)):
        for path in candidates:
            return [path]
    return []


def _process_root(pid: int | None) -> str:
    """The prefix under which a process's files are found: "" when it shares our mount namespace and root."""
    if not pid:
        return ""
    prefix = f"/proc/{pid}/root"
    try:
        same = os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
        theirs, ours = os.stat(prefix), os.stat("/")
    except OSError:
        return ""
    same_root = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
    return "" if same and same_root else prefix


def mapped_files(pid: int | None) -> list[str]:
    """Paths of the files that a process (None: every process that we may look at) has mapped executable, sorted."""
    pids = [pid] if pid is not None else [int(name) for name in os.listdir("/proc") if name.isdigit()]
    found: dict[str, None] = {}
    for one in pids:
        root = _process_root(one)
        found.update((root + path, None) for path in _mapped_paths(one))
    return sorted(path for path in found if is_elf(path))


def _mapped_paths(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as maps:
            rows = [line.rstrip("\n").split(None, 5) for line in maps]
    except OSError:
        return []
    return list(dict.fromkeys(row[5] for row in rows if len(row) > 5 and "x" in row[1] and row[5].startswith("/")))


def _mapped(name: str, pid: int | None) -> Iterator[str]:
    if pid:
        root = _process_root(pid)
        for path in _mapped_paths(pid):
            if is_library(os.path.basename(path), name) and os.path.isfile(root + path):
                yield root + path


def _programs(name: str, root: str) -> Iterator[str]:
    for folder in os.environ.get("PATH", _DEFAULT_PATH).split(":"):
        path = f"{root}{folder}/{name}"
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            yield path


def is_library(base: str, name: str) -> bool:
    """Whether file `base` is what the library name means: the same, `name.so`, `name.so.N`, or `name.N` for `libx.so`."""
    return (
        base == name
        or base.startswith(f"{name}.so.")
        or base == f"{name}.so"
        or (".so" in name and base.startswith(f"{name}."))
    )


def _libraries(name: str, machine: str, root: str) -> Iterator[str]:
    for key, path in read_ld_cache(f"{root}{_CACHE}", machine):
        if is_library(key, name) and os.path.isfile(root + path):
            yield root + path
    for folder in _FOLDERS:
        folder = root + folder.format(machine)
        try:
            bases = sorted(os.listdir(folder))
        except OSError:
            continue
        for base in bases:
            if is_library(base, name) and is_elf(f"{folder}/{base}"):
                yield f"{folder}/{base}"


def _expand(pattern: str, machine: str, root: str) -> list[str]:
    if "/" in pattern:
        import glob

        return sorted(
            path for path in glob.glob(root + pattern if pattern.startswith("/") else pattern) if is_elf(path)
        )
    wanted = matcher(pattern)
    found: set[str] = set()
    for folder in os.environ.get("PATH", _DEFAULT_PATH).split(":"):
        try:
            bases = os.listdir(root + folder) if folder else []
        except OSError:
            continue
        found.update(f"{root}{folder}/{base}" for base in bases if wanted(base))
    found.update(root + path for key, path in read_ld_cache(f"{root}{_CACHE}", machine) if wanted(key))
    return sorted(path for path in found if is_elf(path))


def is_elf(path: str) -> bool:
    """Whether the file begins as an ELF file does."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def read_ld_cache(path: str, machine: str) -> list[tuple[str, str]]:
    """(library name, path) of every entry of ld.so's cache for this machine, in the loader's order; [] without a sound cache."""
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 24)
    except OSError:
        return []
    start = data.find(_MAGIC)
    if start < 0 or len(data) < start + _HEADER_BYTES:
        return []
    (count,) = struct.unpack_from("<I", data, start + len(_MAGIC))
    wanted, found = _FLAGS.get(machine), []
    first = start + _HEADER_BYTES
    for at in range(first, min(first + count * _ENTRY.size, len(data) - _ENTRY.size + 1), _ENTRY.size):
        flags, key, value, _, _ = _ENTRY.unpack_from(data, at)
        if flags == wanted:
            found.append((_string(data, start + key), _string(data, start + value)))
    return found


def _string(data: bytes, at: int) -> str:
    return data[at : data.find(b"\0", at)].decode("utf-8", "surrogateescape")
