"""The kernel's tables of system calls: the number of each call for every architecture and ABI.

Source: the `.tbl` files of a kernel tree (arch/*/entry/syscalls, arch/*/kernel/syscalls, arch/*/tools, scripts/syscall.tbl), whose
lines are `number abi name [entry point [compat entry point [noreturn]]]`. The packaged snapshot is Linux 7.2's, written by
scripts/make_syscall_tables.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from importlib import resources

from ..base.errors import FormatError
from ..base.record import record

DATA = "syscalls.z"
_COMPAT_OF_ARM64 = "arch/arm64/tools/syscall_32.tbl"  # its ABIs are called like those of the 64-bit table
# The tables (the first that is there) and the ABIs that a machine of `uname -m` runs natively.
NATIVE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "x86_64": (("x86",), ("common", "64")),
    "aarch64": (("arm64", "generic"), ("common", "64", "renameat", "rlimit", "memfd_secret")),
    "riscv64": (("riscv", "generic"), ("common", "64", "riscv", "rlimit", "memfd_secret")),
    "s390x": (("s390",), ("common", "64")),
    "ppc64le": (("powerpc",), ("common", "64", "nospu")),
}


@record(frozen=True)
class SyscallRow:
    """One line of a table. `arch` is a folder of arch/, or `generic`; `entry` and `compat` are functions or ""."""

    arch: str
    abi: str
    number: int
    name: str
    entry: str
    compat: str


def table_arch(path: str) -> str | None:
    """Whose table a path of a tree is, or None for files that are none."""
    parts = path.split("/")
    if parts[-1].startswith("syscall") and parts[-1].endswith(".tbl"):
        if parts[0] == "arch" and len(parts) > 2:
            return "arm64-compat" if path == _COMPAT_OF_ARM64 else parts[1]
        if path == "scripts/syscall.tbl":
            return "generic"
    return None


def parse_syscall_table(text: str, arch: str) -> Iterator[SyscallRow]:
    """The rows of a table; lines that are none are left out."""
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if len(words) >= 3 and words[0].isdigit():
            entry, compat = [*words[3:5], "", ""][:2]
            yield SyscallRow(arch, words[1], int(words[0]), words[2], entry, "" if compat == "-" else compat)


def encode_rows(rows: list[SyscallRow]) -> bytes:
    """Rows as the packaged file has them."""
    lines, arch = [], ""
    for row in rows:
        if row.arch != arch:
            arch = row.arch
            lines.append(f"@{arch}")
        lines.append(" ".join((str(row.number), row.abi, row.name, row.entry, row.compat)).rstrip())
    return zlib.compress("\n".join(lines).encode(), 9)


def packaged_rows() -> list[SyscallRow]:
    """The rows of the packaged snapshot. Raises FormatError when the package is damaged."""
    try:
        text = zlib.decompress((resources.files(__package__) / "data" / DATA).read_bytes()).decode()
    except (OSError, zlib.error) as error:
        raise FormatError(DATA, 0, f"the packaged tables of system calls are damaged ({error})") from error
    rows: list[SyscallRow] = []
    for part in text.split("@")[1:]:
        arch, _, lines = part.partition("\n")
        rows += parse_syscall_table(lines, arch)
    return rows


def native_rows(rows: Iterable[SyscallRow], machine: str) -> list[SyscallRow]:
    """The rows of the calls that programs of a machine make natively; empty for a machine without a table here."""
    tables, abis = NATIVE.get(machine, ((), ()))
    found = [[row for row in rows if row.arch == arch and row.abi in abis] for arch in tables]
    return next(filter(None, found), [])


def native_numbers(rows: Iterable[SyscallRow], machine: str) -> dict[str, int]:
    """Name -> number of the calls that programs of a machine make natively."""
    return {row.name: row.number for row in native_rows(rows, machine)}
