"""The first ramdisk: busybox, the modules for the disks, and a script that finds the disks and moves on.

Format: kernel document driver-api/early-userspace/buffer-format ("newc" cpio).
"""

import stat
from pathlib import Path

from kloupe_guest.kernel import Kernel
from kloupe_guest.rootfs import Root

INIT = """\
#!/bin/busybox sh
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
for module in /boot/*.ko; do [ -e "$module" ] && $bb insmod "$module"; done
# Which disk is which is said by its serial number, not by the order in which the kernel finds them.
find_disk() {
    for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        for disk in /sys/block/vd*; do
            [ "$($bb cat $disk/serial 2>/dev/null)" = "$1" ] && { echo /dev/${disk##*/}; return; }
        done
        $bb usleep 200000
    done
    echo "kloupe-guest: no disk $1" > /dev/console
}
$bb mount -t ext4 "$(find_disk root)" /new || echo "kloupe-guest: the root cannot be mounted" > /dev/console
release=$($bb uname -r)
$bb mkdir -p /new/usr/lib/modules/$release
$bb mount -t ext4 -o ro "$(find_disk modules)" /new/usr/lib/modules/$release
results=$(find_disk results)
job=$(find_disk job)
$bb tar -x -f $job -C /new
for place in dev proc sys; do $bb mount -o move /$place /new/$place; done
mount_at() { $bb mount -t "$1" "$1" "/new$2" 2>/dev/null || echo "kloupe-guest: no $1" > /new/dev/console; }
$bb mkdir -p /new/dev/pts /new/dev/shm
mount_at devpts /dev/pts
mount_at tmpfs /dev/shm
mount_at tmpfs /run
mount_at tmpfs /tmp
mount_at cgroup2 /sys/fs/cgroup
mount_at bpf /sys/fs/bpf
mount_at debugfs /sys/kernel/debug
mount_at tracefs /sys/kernel/tracing
# Some programs fail oddly without these.
$bb ln -sf /proc/self/fd /new/dev/fd
for number in 0:stdin 1:stdout 2:stderr; do $bb ln -sf /proc/self/fd/${number%:*} /new/dev/${number#*:}; done
$bb chmod 1777 /new/tmp /new/dev/shm
$bb hostname guest
$bb ip link set lo up
exec $bb switch_root /new /usr/bin/python3 /kloupe/.guest/agent.py $results
"""


def write_initrd(path: Path, kernel: Kernel, root: Root) -> None:
    """Write the ramdisk of a kernel."""
    pieces = [_entry(folder, stat.S_IFDIR | 0o755) for folder in ("bin", "boot", "dev", "proc", "sys", "new")]
    pieces.append(_entry("bin/busybox", stat.S_IFREG | 0o755, root.busybox.read_bytes()))
    pieces.append(_entry("init", stat.S_IFREG | 0o755, INIT.encode()))
    # The kernel opens /dev/console before the script can mount anything.
    pieces.append(_entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)))
    for module in kernel.boot_modules:
        pieces.append(_entry(f"boot/{module.name}", stat.S_IFREG | 0o644, module.read_bytes()))
    pieces.append(_entry("TRAILER!!!", 0))
    path.write_bytes(b"".join(pieces))


def _entry(name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    raw = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(raw), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _pad(header + raw) + _pad(content)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
