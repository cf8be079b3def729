"""What -l and -lv print, on the made-up machine and beside the real bpftrace."""

import os
import shutil
import subprocess

import pytest
from probe_fakes import ListingTarget, written

from kloupe.base.diag import Diagnostics
from kloupe.base.source import NOWHERE
from kloupe.lang.nodes import Probe
from kloupe.probes import ProbeOptions
from kloupe.probes.listing import list_attach_points, list_probes


def listed(pattern, *, verbose=False, **options):
    return list_probes(pattern, ListingTarget(), ProbeOptions(**options), verbose)


@pytest.mark.parametrize(
    ("pattern", "lines"),
    [
        ("i:*", ["interval:hz:", "interval:ms:", "interval:s:", "interval:us:"]),
        (
            "hardware:*cyc*",
            ["hardware:bus-cycles:", "hardware:cpu-cycles:", "hardware:cycles:", "hardware:ref-cycles:"],
        ),
        ("self:*", ["self:signal:SIGUSR1"]),
        ("begin", []),
        ("begin:", []),
        ("nosuch:*", []),
        ("watchpoint:*", []),
        ("t:sched:*", ["tracepoint:sched:sched_process_exec", "tracepoint:sched:sched_switch"]),
        ("TRACEPOINT:*switch", ["tracepoint:sched:sched_switch"]),
        ("t:sched:sched_switch:x", []),
        ("kprobe:vfs_*", ["kprobe:vfs_read", "kprobe:vfs_readv", "kprobe:vfs_write"]),
        (
            "kprobe:nf_tables:*",
            ["kprobe:nf_tables:nf_newtable", "kprobe:nf_tables:shared", "kprobe:nf_tables:vfs_write"],
        ),
        ("fentry:takes_*", ["fentry:vmlinux:takes_pair"]),
        ("rt:*", ["rawtracepoint:vmlinux:sched_switch", "rawtracepoint:vmlinux:sys_enter"]),
        ("iter:*", ["iter:task"]),
        ("uprobe:/bin/app:m*", ["uprobe:/bin/app:main"]),
        ("usdt:/bin/app:lib:*", ["usdt:/bin/app:lib:start"]),
        ("*:/bin/app:main", ["uprobe:/bin/app:main"]),
        ("*_switch,s:cs", ["rawtracepoint:vmlinux:sched_switch", "tracepoint:sched:sched_switch", "software:cs:"]),
        ("struct sched*", ["struct sched_param"]),
        ("struct nosuch", []),
    ],
)
def test_patterns(pattern, lines):
    assert listed(pattern) == lines


@pytest.mark.parametrize(
    ("pattern", "lines"),
    [
        (
            "t:syscalls:sys_enter_openat",
            ["    int __syscall_nr", "    int dfd", "    const char * filename", "    int flags", "    umode_t mode"],
        ),
        ("t:sched:sched_process_exec", ["    __data_loc char[] filename", "    pid_t pid"]),
        ("rt:sched_switch", ["    bool preempt", "    struct task_struct * prev"]),
        ("fentry:vfs_read", ["    struct file * file", "    char * buf", "    size_t count", "    loff_t * pos"]),
        (
            "fexit:vfs_read",
            ["    struct file * file", "    char * buf", "    size_t count", "    loff_t * pos", "    ssize_t retval"],
        ),
        ("kprobe:vfs_read", ["    struct file * arg0", "    char * arg1", "    size_t arg2", "    loff_t * arg3"]),
        ("kretprobe:vfs_read", ["    ssize_t retval"]),
        ("kretprobe:nothing", ["    void"]),
        ("iter:task", ["    struct task_struct * task"]),
        ("uprobe:/bin/app:readline", ["    const char* prompt"]),
    ],
)
def test_arguments_follow_their_probe(pattern, lines):
    assert listed(pattern, verbose=True)[1:] == lines


def test_types():
    assert listed("struct sched_param", verbose=True) == [
        "vmlinux: struct sched_param {\n\tint sched_priority;\n};",
        "",
    ]
    assert listed("enum pid_type", verbose=True) == [
        "vmlinux: enum pid_type {\n\tPIDTYPE_PID = 0,\n\tPIDTYPE_TGID = 1,\n};",
        "",
    ]
    body = "struct outer {\n\tunion {\n\t\tvoid *p;\n\t};\n\tunsigned int flag: 3;\n\tchar name[12];\n};"
    assert listed("struct outer", verbose=True) == [f"vmlinux: {body}", ""]


def test_everything():
    kinds = {line.partition(":")[0] for line in listed("")}
    assert kinds == {"fentry", "hardware", "iter", "kprobe", "rawtracepoint", "software", "tracepoint"}
    assert {"uprobe", "usdt"} <= {line.partition(":")[0] for line in listed("*", pid=7)}


def test_a_program():
    texts = ("begin", "i:ms:5", "t:sched:*", "software:cpu-clock:100")
    probe = Probe(NOWHERE, tuple(written(text) for text in texts), None, ())
    assert list_attach_points([probe], ListingTarget(), ProbeOptions(), Diagnostics()) == [
        "interval:ms:",
        "tracepoint:sched:sched_process_exec",
        "tracepoint:sched:sched_switch",
        "software:cpu-clock:",
    ]


BPFTRACE = os.environ.get("KLOUPE_BPFTRACE") or shutil.which("bpftrace")


@pytest.mark.skipif(BPFTRACE is None or os.geteuid() != 0, reason="needs bpftrace (KLOUPE_BPFTRACE) and root")
@pytest.mark.parametrize(
    ("flag", "pattern"),
    [
        ("-l", "software:*"),
        ("-lv", "tracepoint:sched:*"),
        ("-lv", "tracepoint:syscalls:sys_enter_re*"),
        ("-lv", "tracepoint:raw_syscalls:*"),
        ("-lv", "struct sched_param"),
        ("-lv", "struct list_head"),
        ("-lv", "struct path"),
        ("-lv", "union sigval"),
        ("-lv", "enum pid_type"),
        ("-l", "*sched_sw*"),
        ("-l", "interval:*"),
    ],
)
def test_beside_bpftrace(flag, pattern):
    from kloupe.base.errors import TargetError
    from kloupe.kernel.live import LiveTarget

    real = subprocess.run([BPFTRACE, flag, pattern], capture_output=True, text=True, timeout=120).stdout
    try:
        ours = list_probes(pattern, LiveTarget(), ProbeOptions(), flag == "-lv")
    except TargetError as error:
        pytest.skip(f"this machine does not tell: {error}")
    kinds = ("fentry:", "kprobe:", "rawtracepoint:", "iter:")  # bpftrace finds none without its own conditions
    assert [line for line in "".join(f"{text}\n" for text in ours).splitlines() if not line.startswith(kinds)] == [
        line for line in real.splitlines() if not line.startswith(kinds)
    ]
