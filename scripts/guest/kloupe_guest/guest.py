"""Run one job in one guest: boot, pass on what it says, collect results, boot again where the emulator died."""

import json
import os
import select
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kloupe_guest.cache import get_cache_dir
from kloupe_guest.errors import GuestError
from kloupe_guest.initrd import write_initrd
from kloupe_guest.job import Job, pack_job
from kloupe_guest.kernel import Kernel, fetch_kernel
from kloupe_guest.qemu import Machine, start_machine
from kloupe_guest.rootfs import Root, build_root

BOOTS = 3
"""One boot, and at most two more where a boot died before the command's first output (an emulator fault)."""

BOOT_S = 180.0
"""A guest that did not reach its agent by then is taken for dead; a boot takes about ten seconds."""

Sink = Callable[[str, bytes], None]
"""Takes what the command writes, as it comes: ``("stdout", ...)`` or ``("stderr", ...)``."""


@dataclass(frozen=True)
class GuestRun:
    """How to run: everything but the job."""

    kernel: str
    with_bpftrace: bool = False
    memory_mib: int = 2048
    cpus: int = 2
    results: Path | None = None
    """Where the guest's /results goes on the host."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended. ``status`` is None if the guest died with the command still running."""

    status: int | None
    release: str
    boots: int
    boot_s: float
    total_s: float
    problem: str = ""


def run_guest(run: GuestRun, job: Job, sink: Sink) -> Outcome:
    """Run a job; raises ``GuestError`` if no guest could be had."""
    job = replace(job, env={"KLOUPE_GUEST_KERNEL": run.kernel, **job.env})
    root = build_root(with_bpftrace=run.with_bpftrace)
    kernel = fetch_kernel(run.kernel, root)
    logs = get_cache_dir() / "logs"
    logs.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kloupe-guest-") as scratch_name:
        scratch = Path(scratch_name)
        pack_job(job, root, scratch / "job.tar")
        write_initrd(scratch / "initrd", kernel, root)
        for boot in range(1, BOOTS + 1):
            attempt = _Attempt(run, job, kernel, root, scratch)
            outcome = attempt.play(sink, boot)
            kept = shutil.copyfile(attempt.console, logs / f"{kernel.version.replace('@', '-')}-{os.getpid()}.console")
            if outcome.status is not None or attempt.spoke:
                break
            if boot < BOOTS:
                print(
                    f"guest {run.kernel}: boot {boot} died before its first report ({outcome.problem}); "
                    f"booting again, {boot} of {BOOTS - 1}",
                    file=sys.stderr,
                )
        else:
            raise GuestError(f"{outcome.problem}, {BOOTS} times before its first report; its console is in {kept}")
        if outcome.status is None:
            print(f"guest {run.kernel}: {outcome.problem}; its console is in {kept}", file=sys.stderr)
        else:
            Path(kept).unlink()
        if run.results is not None:
            _unpack_results(scratch / "results", run.results)
    return outcome


class _Attempt:
    """One boot."""

    def __init__(self, run: GuestRun, job: Job, kernel: Kernel, root: Root, scratch: Path) -> None:
        self.console = scratch / "console"
        self.spoke = False
        self._run = run
        self._job = job
        self._kernel = kernel
        self._root = root
        self._scratch = scratch
        self._release = ""
        self._status: int | None = None
        self._pending = bytearray()
        self._boot_s = 0.0

    def play(self, sink: Sink, number: int) -> Outcome:
        started = time.monotonic()
        self.console.unlink(missing_ok=True)
        self.console.touch()
        machine = start_machine(
            self._kernel,
            self._root,
            initrd=self._scratch / "initrd",
            job=self._scratch / "job.tar",
            results=self._scratch / "results",
            console=self.console,
            memory_mib=self._run.memory_mib,
            cpus=self._run.cpus,
        )
        problem = ""
        try:
            deadline = started + BOOT_S
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    late = "its command's time" if self._release else f"{BOOT_S:.0f} s of boot"
                    problem = f"the guest was still running after {late}"
                    break
                if not select.select([machine.reports_fd], [], [], left)[0]:
                    continue
                data = os.read(machine.reports_fd, 1 << 16)
                if not data:
                    break
                booted = bool(self._release)
                self._take(data, sink)
                if self._release and not booted:
                    self._boot_s = time.monotonic() - started
                    # The agent enforces the time; this catches a kernel that hangs.
                    deadline = time.monotonic() + self._job.timeout_s + 60
        finally:
            machine.stop()
        if self._status is None and not problem:
            problem = self._explain_death(machine)
        return Outcome(
            self._status,
            self._release,
            number,
            self._boot_s,
            time.monotonic() - started,
            "" if self._status is not None else problem,
        )

    def _explain_death(self, machine: Machine) -> str:
        said = Path(f"{self.console}.qemu").read_text(errors="replace").strip()
        if said:
            return f"QEMU ended with status {machine.process.returncode}: {said.splitlines()[-1]}"
        lines = [line.strip() for line in machine.read_console() if line.strip()]
        named = [line for line in lines if "Kernel panic" in line or "BUG:" in line]
        return f"the guest died: {(named[:1] or lines[-1:] or ['its console is empty'])[0]}"

    def _take(self, data: bytes, sink: Sink) -> None:
        self._pending += data
        while len(self._pending) >= 5:
            end = 5 + int.from_bytes(self._pending[1:5], "big")
            if len(self._pending) < end:
                return
            kind = self._pending[:1]
            content = bytes(self._pending[5:end])
            del self._pending[:end]
            if kind == b"c":
                facts = json.loads(content)
                if facts["event"] == "ready":
                    self._release = facts["release"]
                elif facts["event"] == "exit":
                    self._status = facts["status"]
            else:
                self.spoke = self.spoke or kind == b"o"
                sink("stdout" if kind == b"o" else "stderr", content)


def _unpack_results(disk: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(disk, "rb") as raw:
        if not raw.read(512).strip(b"\0"):
            return
        raw.seek(0)
        with tarfile.open(fileobj=raw, mode="r:") as archive:
            archive.extractall(folder, filter="data")
