"""The guest's root: a handful of Debian packages unpacked into a folder, and an ext4 image of it.

No maintainer script runs and no privilege is needed, so a CI machine builds it in seconds; the few
things scripts would have done are done here.
"""

import hashlib
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from kloupe_guest.apt import Suite, unpack_package
from kloupe_guest.cache import build_once, get_cache_dir
from kloupe_guest.errors import GuestError, run_program
from kloupe_guest.ext4 import make_ext4

BASE_PACKAGES = (
    "base-files", "base-passwd", "bash", "binutils", "busybox-static", "coreutils", "dash", "debianutils", "diffutils",
    "findutils", "grep", "gzip", "hostname", "iproute2", "kmod", "libc-bin", "mawk", "mount", "procps", "python3",
    "sed", "strace", "tar", "util-linux",
)  # fmt: skip
PEER_PACKAGES = ("bpftrace", "bpftool", "trace-cmd")

PLAIN_SUITE = "trixie"
PEER_SUITE = "sid"
"""bpftrace 0.27 is in sid only."""

_RECIPE = 3
"""Counts changes of this file that make an older root unfit."""


@dataclass(frozen=True)
class Root:
    """A built root."""

    folder: Path

    @property
    def tree(self) -> Path:
        """The root as a folder."""
        return self.folder / "tree"

    @property
    def disk(self) -> Path:
        """The root as an ext4 image."""
        return self.folder / "root.ext4"

    @property
    def busybox(self) -> Path:
        """A static busybox, for the first ramdisk."""
        return self.tree / "usr/bin/busybox"

    @property
    def python_version(self) -> str:
        """The root's Python, as ``3.13``."""
        return (self.folder / "python-version").read_text().strip()

    def run_tool(self, program: str, *words: str, name: str | None = None) -> str:
        """Run one of the root's own programs on this machine, through the root's own loader (ld.so(8))."""
        return _run_tool(self.tree, program, *words, name=name)

    def compile_python(self, folder: Path, place: str) -> None:
        """Byte-compile a folder for the root's Python, so that the slow guest need not; ``place`` is its name there."""
        _compile_python(self.tree, self.python_version, folder, place)


def build_root(*, with_bpftrace: bool = False, refresh: bool = False) -> Root:
    """Give the root, from the cache or built: Python and the usual tools, and the peers if asked for."""
    packages = BASE_PACKAGES + (PEER_PACKAGES if with_bpftrace else ())
    suite = Suite(PEER_SUITE if with_bpftrace else PLAIN_SUITE)
    key = hashlib.sha256(repr((suite.name, packages, _RECIPE)).encode()).hexdigest()[:12]
    folder = get_cache_dir() / "roots" / f"{'peers' if with_bpftrace else 'plain'}-{key}"

    def build(making: Path) -> None:
        with suite.hold():
            _build_root(suite, packages, making)

    return Root(build_once(folder, build, again=refresh))


def _build_root(suite: Suite, packages: tuple[str, ...], folder: Path) -> None:
    suite.update()
    tree = folder / "tree"
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / "usr" / name).mkdir(parents=True)
        (tree / name).symlink_to(f"usr/{name}")
    for package in suite.download_closure(packages):
        unpack_package(package, tree)
    suite.drop_archives()
    _stand_in_for_scripts(tree)
    pythons = sorted(
        path.name for path in (tree / "usr/bin").glob("python3.*") if re.fullmatch(r"python3\.\d+", path.name)
    )
    if not pythons:
        raise GuestError(f"the root made from {suite.name} has no Python")
    version = pythons[-1].removeprefix("python")
    (folder / "python-version").write_text(version + "\n")
    library = f"usr/lib/python{version}"
    _compile_python(tree, version, tree / library, f"/{library}")
    make_ext4(tree, folder / "root.ext4", free_mib=2048)


def _stand_in_for_scripts(tree: Path) -> None:
    """Do what the packages' own scripts would have done, as far as a test guest needs it."""
    for path in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/zoneinfo"):
        shutil.rmtree(tree / path, ignore_errors=True)
    for path in ("dev", "proc", "sys", "run", "tmp", "root", "kloupe", "extra", "etc"):
        (tree / path).mkdir(exist_ok=True)
    for name in ("passwd", "group"):
        shutil.copyfile(tree / f"usr/share/base-passwd/{name}.master", tree / f"etc/{name}")
    for name, content in (("hostname", "guest\n"), ("hosts", "127.0.0.1 localhost guest\n"), ("fstab", "")):
        (tree / "etc" / name).write_text(content)
    for link, target in (("usr/bin/awk", "mawk"), ("usr/bin/sh", "dash"), ("etc/mtab", "../proc/self/mounts")):
        if not (tree / link).is_symlink():
            (tree / link).symlink_to(target)


def _run_tool(tree: Path, program: str, *words: str, name: str | None = None) -> str:
    paths = ":".join(str(tree / path) for path in ("usr/lib/x86_64-linux-gnu", "usr/lib"))
    loader = [str(tree / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", paths]
    named = ["--argv0", name] if name else []
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "PYTHONHOME": str(tree / "usr")}
    return run_program([*loader, *named, str(tree / program), *words], needs="libc-bin", env=env)


def _compile_python(tree: Path, version: str, folder: Path, place: str) -> None:
    try:
        _run_tool(
            tree, f"usr/bin/python{version}",
            "-m", "compileall", "-q", "-s", str(folder), "-p", place, str(folder),
        )  # fmt: skip
    except GuestError as error:
        # A file that does not compile is the test's to find, in the guest.
        print(f"guest: not all of {place} was byte-compiled: {error}", file=sys.stderr)
