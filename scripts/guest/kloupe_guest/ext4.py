"""Disk images from folders, with mke2fs(8) ``-d``; no mount and no privilege."""

import os
from pathlib import Path

from kloupe_guest.errors import run_program


def make_ext4(folder: Path, image: Path, *, free_mib: int) -> None:
    """Write an ext4 image that holds the content of ``folder`` and at least ``free_mib`` of room."""
    used = 0
    count = 0
    for parent, folders, files in os.walk(folder):
        count += len(folders) + len(files)
        for name in files:
            used += (os.lstat(os.path.join(parent, name)).st_size + 4095) // 4096 * 4096
        used += 4096 * len(folders)
    # A twentieth more for the file system's own tables; the image is sparse, so too much costs nothing.
    mib = used // (1 << 20) + used // (20 << 20) + free_mib + 16
    features = ["-O", "^has_journal,^metadata_csum", "-E", "root_owner=0:0"]
    inodes = str(count + 20_000)
    run_program(
        ["mke2fs", "-q", "-F", "-t", "ext4", *features, "-m", "0", "-N", inodes, "-d", folder, image, f"{mib}M"],
        needs="e2fsprogs",
        env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
    )
