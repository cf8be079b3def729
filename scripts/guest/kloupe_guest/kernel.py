"""Kernels of the Debian archive: fetched and unpacked, never installed.

Packages: ``linux-image-RELEASE-cloud-amd64``. From 7.x on the package is split into ``linux-binary-*`` and
``linux-modules-*``, and the bootable image lies in the folder of modules.
"""

import lzma
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from kloupe_guest.apt import Suite, unpack_package
from kloupe_guest.cache import build_once, get_cache_dir
from kloupe_guest.errors import GuestError, run_program
from kloupe_guest.ext4 import make_ext4
from kloupe_guest.rootfs import Root

SUITES = {
    "5.10": "bullseye",
    "6.1": "bookworm",
    "6.12": "trixie",
}
"""The suite of each kernel that is a suite's own; every other version is looked up in the backports."""

BACKPORTS = "trixie-backports"

BOOT_MODULES = ("virtio_pci", "virtio_blk")
"""What the first ramdisk has to load to see its disks. A name with no module file is built in."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel, ready to boot."""

    version: str
    release: str
    folder: Path

    @property
    def image(self) -> Path:
        """The bootable image."""
        return self.folder / "vmlinuz"

    @property
    def modules_disk(self) -> Path:
        """An ext4 image whose root is the content of /lib/modules/RELEASE."""
        return self.folder / "modules.ext4"

    @property
    def boot_modules(self) -> list[Path]:
        """Module files to load before the disks are there, in order."""
        return sorted((self.folder / "boot").glob("*.ko"))


def fetch_kernel(version: str, root: Root, *, refresh: bool = False) -> Kernel:
    """Give a kernel by version (``6.1``), from the cache or the archive. ``VERSION@SUITE`` names the suite."""
    number, _, suite_name = version.partition("@")
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", number):
        raise GuestError(f"{version!r} names no kernel: give a version such as 6.1")
    suite = Suite(suite_name or SUITES.get(number, BACKPORTS))
    folder = get_cache_dir() / "kernels" / version.replace("@", "-")

    def build(making: Path) -> None:
        with suite.hold():
            _build_kernel(number, suite, root, making)

    build_once(folder, build, again=refresh)
    return Kernel(version, (folder / "release").read_text().strip(), folder)


def _build_kernel(version: str, suite: Suite, root: Root, folder: Path) -> None:
    suite.update()
    names = suite.list_names(rf"^linux-image-{re.escape(version)}\..*cloud-amd64$")
    names = [name for name in names if "unsigned" not in name]
    if not names:
        raise GuestError(f"the suite {suite.name} has no cloud kernel {version}")
    newest = max(names, key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])
    split = [name for name in suite.list_depends(newest) if re.match(r"linux-(binary|modules)-", name)]
    tree = folder / "tree"
    tree.mkdir()
    for package in suite.download([newest, *split], folder):
        unpack_package(package, tree)
        package.unlink()

    # depmod looks in lib/modules or in usr/lib/modules, by how it was built.
    merged = folder / "merged"
    (merged / "lib" / "modules").mkdir(parents=True)
    (merged / "usr").symlink_to(".")
    for found in [*tree.glob("lib/modules/*"), *tree.glob("usr/lib/modules/*")]:
        run_program(["cp", "-a", "-l", found, merged / "lib" / "modules"], needs="coreutils")
    images = [*tree.glob("boot/vmlinuz-*"), *merged.glob("lib/modules/*/vmlinuz")]
    releases = list(merged.glob("lib/modules/*"))
    if len(images) != 1 or len(releases) != 1:
        raise GuestError(f"{newest} has {len(images)} kernel images and {len(releases)} sets of modules")
    modules = releases[0]
    (folder / "release").write_text(modules.name + "\n")
    images[0].rename(folder / "vmlinuz")
    _copy_boot_modules(modules, folder / "boot")
    root.run_tool("usr/bin/kmod", "-b", str(merged), modules.name, name="depmod")
    make_ext4(modules, folder / "modules.ext4", free_mib=1)
    shutil.rmtree(tree)
    shutil.rmtree(merged)


def _copy_boot_modules(modules: Path, folder: Path) -> None:
    """Copy the boot modules and all they depend on, unpacked, numbered in load order.

    A module's ``.modinfo`` section holds ``depends=a,b`` (kernel: scripts/mod/modpost.c).
    """
    folder.mkdir()
    files = {path.name.split(".ko")[0].replace("-", "_"): path for path in modules.rglob("*.ko*")}
    order: dict[str, bytes] = {}

    def visit(name: str) -> None:
        if name in order or name not in files:
            return
        content = _read_module(files[name])
        depends = re.search(rb"(?:^|\0)depends=([^\0]*)\0", content)
        for other in (depends[1].decode() if depends else "").split(","):
            visit(other.replace("-", "_"))
        order[name] = content

    for name in BOOT_MODULES:
        visit(name)
    for number, (name, content) in enumerate(order.items()):
        (folder / f"{number:02}-{name}.ko").write_bytes(content)


def _read_module(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(content)
    if path.suffix != ".ko":
        raise GuestError(f"{path.name} is packed in a way this harness does not know")
    return content
