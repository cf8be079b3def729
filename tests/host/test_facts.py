"""Descriptors, /proc facts, tracefs and names of objects."""

import gc
import os
import subprocess
import sys

import pytest

from kloupe.base.errors import MissingFacts, PermissionNeeded
from kloupe.host import bpf, bpf_map, proc, syscall, tracefs
from kloupe.host.fd import FdSet, OwnedFd, close_all, open_files
from kloupe.host.release import close_behind, close_in_parallel

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(autouse=True)
def nothing_waits_for_the_collector() -> None:
    """Other tests' unreachable files would be closed in the middle of a count."""
    gc.collect()


def descriptors(count):
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]


def test_owned_fd_closes_once():
    before = open_files()
    with OwnedFd(descriptors(1)[0]) as owned:
        assert owned.fileno() in open_files()
        owned.close()
        assert owned.fileno() == -1
    assert open_files() == before


def test_a_taken_fd_is_the_callers():
    owned = OwnedFd(descriptors(1)[0])
    fd = owned.take()
    owned.close()
    assert fd in open_files()
    os.close(fd)


def test_fd_set_closes_all_even_after_a_failure():
    before = open_files()
    fds = FdSet()
    for fd in descriptors(3):
        fds.add(fd)
    os.close(next(iter(fds)))
    assert len(fds) == 3
    fds.close()
    assert len(fds) == 0
    assert open_files() == before


@pytest.mark.parametrize("close", [close_all, close_in_parallel, close_behind])
@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_closing_many(close, count):
    before = open_files()
    close(descriptors(count))
    assert open_files() == before


@pytest.mark.parametrize(("text", "cpus"), [("0", [0]), ("0-3", [0, 1, 2, 3]), ("0,2-3,8", [0, 2, 3, 8]), ("", [])])
def test_cpu_lists(text, cpus):
    assert proc.parse_cpu_list(text) == cpus


def test_cpus_of_this_machine():
    assert proc.possible_cpus() >= len(proc.online_cpus()) >= 1


def test_threads():
    assert os.getpid() in proc.threads(os.getpid())
    with pytest.raises(MissingFacts):
        proc.threads(2**22 + 1)


def test_set_comm_names_this_thread():
    code = (
        "from kloupe.host import proc; proc.set_comm('a-long-name-that-is-cut'); print(open('/proc/self/comm').read())"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "a-long-name-tha"


def test_set_command_line_shows_other_words():
    code = (
        "from kloupe.host import proc; proc.set_command_line(['loupe', '-e', 'x']);"
        "print(open('/proc/self/cmdline', 'rb').read().rstrip(b'\\0').split(b'\\0'))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "[b'loupe', b'-e', b'x']"


def test_syscall_numbers_differ_by_machine():
    assert syscall._numbers("x86_64")["bpf"] == 321
    assert syscall._numbers("aarch64")["bpf"] == 280
    assert syscall._numbers("some-new-machine")["fsopen"] == 430


def test_a_failed_syscall_is_an_oserror():
    with pytest.raises(OSError, match="Bad file descriptor"):
        bpf_map.freeze_map(1 << 20)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("@", b"AT_"),
        ("@hits", b"AT_hits"),
        (".events", b".events"),
        ("kprobe:a/b", b"kprobe_a_b"),
        ("a" * 40, b"a" * 15),
        ("é", b"_"),
    ],
)
def test_object_names(name, kernel):
    assert bpf.object_name(name) == kernel


@root
def test_tracefs_is_found_without_changing_any_mount():
    mounts = proc.read_text("/proc/self/mounts")
    folder = tracefs.ensure_tracefs()
    assert os.path.isdir(f"{folder}/events/syscalls")
    assert tracefs.tracepoint_id("syscalls", "sys_enter_openat") > 0
    assert proc.read_text("/proc/self/mounts") == mounts
    assert tracefs.ensure_tracefs() == folder


@root
def test_unknown_tracepoint_says_so():
    with pytest.raises(MissingFacts, match="no_such"):
        tracefs.tracepoint_id("syscalls", "no_such")


def test_tracefs_without_privilege_says_what_to_do(monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(tracefs, "_root", None)
    monkeypatch.setattr(tracefs, "find_mounted", lambda: None)
    monkeypatch.setattr(tracefs, "syscall", refuse)
    with pytest.raises(PermissionNeeded) as caught:
        tracefs.ensure_tracefs()
    assert "mount -t tracefs" in caught.value.hint
