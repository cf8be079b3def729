"""One boot of one guest under QEMU."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kloupe_guest.errors import GuestError
from kloupe_guest.kernel import Kernel
from kloupe_guest.rootfs import Root

APPEND = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off"
RESULTS_BYTES = 1 << 30
# With a thread for each CPU the emulator runs stale code while the kernel patches its own (tracepoints, ftrace): "Oops: int3".
_ACCEL = "tcg,thread=single"


@dataclass
class Machine:
    """A running QEMU and the read end of what its agent says."""

    process: subprocess.Popen[bytes]
    reports_fd: int
    console: Path

    def stop(self) -> None:
        """End it, if it is still there, and close the pipe."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.reports_fd)

    def read_console(self) -> list[str]:
        """Give the lines of the kernel's console."""
        return self.console.read_bytes().decode(errors="replace").splitlines()


def start_machine(
    kernel: Kernel, root: Root, *, initrd: Path, job: Path, results: Path, console: Path, memory_mib: int, cpus: int
) -> Machine:
    """Start QEMU; the root is a snapshot, so nothing a guest writes stays but the results.

    ``$KLOUPE_GUEST_ACCEL`` is QEMU's ``-accel``; software emulation unless it says otherwise.
    """
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        raise GuestError("qemu-system-x86_64 is not installed: apt-get install qemu-system-x86")
    with open(results, "wb") as disk:
        disk.truncate(RESULTS_BYTES)
    read_fd, write_fd = os.pipe()
    argv = [
        qemu, "-accel", os.environ.get("KLOUPE_GUEST_ACCEL", _ACCEL), "-cpu", "max",
        "-smp", str(cpus), "-m", f"{memory_mib}M", "-nodefaults", "-display", "none", "-no-reboot",
        "-chardev", f"file,id=console,path={console}", "-serial", "chardev:console",
        "-chardev", f"file,id=reports,path=/dev/fd/{write_fd}", "-serial", "chardev:reports",
        "-kernel", str(kernel.image), "-initrd", str(initrd), "-append", APPEND,
        *_disk("root", root.disk, "snapshot=on"),
        *_disk("modules", kernel.modules_disk, "readonly=on"),
        *_disk("job", job, "readonly=on"),
        *_disk("results", results, "cache=unsafe"),
    ]  # fmt: skip
    # A guest must not outlive a harness that was killed.
    setpriv = shutil.which("setpriv")
    if setpriv is not None:
        argv = [setpriv, "--pdeathsig", "KILL", *argv]
    with open(f"{console}.qemu", "wb") as said:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, pass_fds=(write_fd,))
    os.close(write_fd)
    return Machine(process, read_fd, console)


def _disk(name: str, path: Path, option: str) -> list[str]:
    drive = f"if=none,id={name},file={str(path).replace(',', ',,')},format=raw,{option}"
    return ["-drive", drive, "-device", f"virtio-blk-pci,drive={name},serial={name}"]
