"""What every other check stands on: the guest is the kernel that was asked for, and has what tracers need."""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

TRACEFS = Path("/sys/kernel/tracing")


def check_kernel_is_the_one_asked_for() -> None:
    asked = os.environ["KLOUPE_GUEST_KERNEL"].partition("@")[0]
    assert os.uname().release.startswith(f"{asked}."), os.uname().release


def check_btf_is_there() -> None:
    # The magic and version of struct btf_header (uapi linux/btf.h).
    assert Path("/sys/kernel/btf/vmlinux").read_bytes()[:3] == b"\x9f\xeb\x01"


def check_file_systems_are_mounted() -> None:
    kinds = {line.split()[1]: line.split()[2] for line in Path("/proc/mounts").read_text().splitlines()}
    wanted = {
        "/sys/kernel/tracing": "tracefs",
        "/sys/kernel/debug": "debugfs",
        "/sys/fs/bpf": "bpf",
        "/sys/fs/cgroup": "cgroup2",
        "/dev/pts": "devpts",
        "/dev/shm": "tmpfs",
    }
    assert {place: kinds.get(place) for place in wanted} == wanted


def check_kprobe_event_fires() -> None:
    # Kernel document trace/kprobetrace.
    append("kprobe_events", "p:guest/nanosleep hrtimer_nanosleep")
    try:
        assert count_hits("guest/nanosleep", lambda: time.sleep(0.01)) >= 1
    finally:
        append("kprobe_events", "-:guest/nanosleep")


def check_uprobe_event_fires_on_a_compiled_program() -> None:
    # Kernel document trace/uprobetracer; the offset is the file offset of the function.
    program = Path("/kloupe/.guest/bin/ticker")
    symbols = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    address = next(int(line.split()[0], 16) for line in symbols.splitlines() if line.endswith(" T tick"))
    append("uprobe_events", f"p:guest/tick {program}:{address:#x}")
    try:
        assert count_hits("guest/tick", lambda: subprocess.run([program, "5"], check=True, stdout=2)) == 5
    finally:
        append("uprobe_events", "-:guest/tick")


def check_function_graph_tracer_is_there() -> None:
    tracers = (TRACEFS / "available_tracers").read_text().split()
    assert {"function", "function_graph"} <= set(tracers), tracers


def check_bpf_map_can_be_created() -> None:
    # BPF_MAP_CREATE of an array: the first four words of union bpf_attr (uapi linux/bpf.h); 321 is bpf(2) on x86-64.
    attr = b"".join(number.to_bytes(4, "little") for number in (2, 4, 8, 1)).ljust(72, b"\0")
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(321, 0, ctypes.c_char_p(attr), len(attr))
    assert fd >= 0, os.strerror(ctypes.get_errno())
    os.close(fd)


def check_kloupe_is_importable() -> None:
    import kloupe

    assert Path(str(kloupe.__file__)).is_relative_to("/kloupe/src")


def check_orphans_are_collected() -> None:
    # The agent is the guest's init: a zombie that stays would fool checks that look whether a process ended.
    child = int(subprocess.run(["sh", "-c", "sleep 60 >&- 2>&- & echo $!"], capture_output=True, check=True).stdout)
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline, "still a zombie after 10 s"
        time.sleep(0.05)


def append(name: str, line: str) -> None:
    """Add a line to a list of events: truncating it drops all, and Python's mode "a" seeks, which tracefs refuses."""
    fd = os.open(TRACEFS / name, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, line.encode() + b"\n")
    finally:
        os.close(fd)


def count_hits(event: str, act: object) -> int:
    """Count how often a trace event fires while ``act`` runs, in a trace instance of its own."""
    assert callable(act)
    instance = TRACEFS / "instances" / "guest-check"
    instance.mkdir()
    try:
        enable = instance / "events" / event / "enable"
        enable.write_text("1")
        act()
        enable.write_text("0")
        lines = (instance / "trace").read_text().splitlines()
    finally:
        instance.rmdir()
    return sum(1 for line in lines if not line.startswith("#"))
