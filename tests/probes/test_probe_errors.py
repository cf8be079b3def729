"""Mistakes in attach points: the messages are bpftrace's, hints are ours."""

import pytest
from probe_fakes import FakeTarget, ListingTarget, expand, written

from kloupe.probes import ProbeOptions, near_points

MISTAKES = [
    ("kprob:x", "Invalid probe type: kprob"),
    ("zz*:x", "No probe type matched for zz*"),
    ("begin:a", "begin probe type requires 0 arguments, found 1"),
    ("self", "self probe type requires 2 arguments, found 0"),
    ("self:signal:SIGUSR2", "SIGUSR2 is not a supported signal"),
    ("self:foo:SIGUSR1", "foo is not a supported trigger"),
    ("test:a:b", "test probe type requires 1 arguments, found 2"),
    ("bench:", "bench probes must have a name"),
    ("interval", "interval probe type requires 1 or 2 arguments, found 0"),
    ("interval:s", "Invalid rate of interval probe: invalid integer: s"),
    ("interval:s:0", "interval frequency should be a positive integer"),
    ("interval:s:-1", "interval frequency should be a positive integer"),
    ("interval:x:1", "x is not an accepted unit of time"),
    ("interval::5", "interval probe must have unit of time"),
    ("interval:10ns", "Invalid rate of interval probe. Minimum is 1000 or 1us. Found: 10 nanoseconds"),
    ("profile:1ss", "Invalid rate of profile probe: invalid trailing bytes: 1ss"),
    ("i:s:1e30", "Invalid rate of interval probe: overflow error, maximum value is 18446744073709551615: 1e30"),
    ("software:nosuch", "nosuch is not a software probe"),
    ("software:fau*", "wildcards are not allowed for software probe type"),
    ("software:faults:x", "Invalid count for software probe: invalid integer: x"),
    ("software:faults:-1", "software count should be a positive integer"),
    ("hardware:a:b:c", "hardware probe type requires 1 or 2 arguments, found 3"),
    ("tracepoint:a", "tracepoint probe type requires 2 arguments, found 1"),
    ("tracepoint::b", "tracepoint probe must have a target"),
    ("tracepoint:a:b", "No matches for tracepoint a:b."),
    ("rawtracepoint", "rawtracepoint probe type requires 2 or 1 arguments, found 0"),
    ("rawtracepoint:vmlinux:nosuch", "No matches for rawtracepoint vmlinux:nosuch."),
    ("kprobe", "kprobe probe type requires 1 or 2 arguments, found 0"),
    ("kprobe:", "kprobes should be attached to a function or an address"),
    ("kprobe:vfs_read+zz", "Invalid offset: invalid integer: zz"),
    ("kprobe:vfs_read+1+2", "Cannot take more than one offset"),
    ("kretprobe:vfs_read+4", "Offset not allowed"),
    ("kprobe:0xffffffff81000000", "Probing by address requires --unsafe"),
    ("kprobe:nomod:vfs_read", "specified module nomod in probe kprobe:nomod:vfs_read is not loaded."),
    ("fentry", "fentry probe type requires 1 or 3 arguments, found 0"),
    ("fentry:a:b:c", "Only the 'bpf' variant of this probe supports 4 arguments"),
    ("fentry:bpf", "the 'bpf' variant of this probe requires a bpf program name and optional bpf program id"),
    ("fexit:bpf:x:y", "bpf program id must be a number or '*'"),
    ("fentry:nosuchzz", "No matches for fentry nosuchzz."),
    ("fentry:shared", "ambiguous attach point, please specify module containing the function 'shared'"),
    ("uprobe:/bin/app", "uprobe probe type requires 2 or 3 arguments, found 1"),
    ("uprobe:/bin/nosuch:f", "uprobe target file '/bin/nosuch' does not exist or is not executable"),
    ("uprobe:/etc/passwd:f", "uprobe target file '/etc/passwd' is no ELF file that can be read"),
    ("uprobe:/bin/app:nosuchff", "No matches for uprobe /bin/app:nosuchff."),
    ("uprobe:/bin/app:xx:f", "unsupported language type: xx"),
    ("uprobe:/bin/app:", "uprobe should be attached to a function and/or address"),
    ("uprobe:/bin/app:main+64", "Offset outside the function bounds ('main' size is 64)"),
    ("uprobe:/bin/app:empty", "Could not determine boundary for empty (symbol has size 0)."),
    ("uprobe:/bin/a*:0x10", "Cannot use wildcards with absolute address"),
    (
        "uprobe:/bin/app:16",
        "Could not determine instruction boundary for uprobe:/bin/app:16 (binary appears stripped).",
    ),
    ("uretprobe:/bin/app:main+4", "Offset not allowed"),
    ("uprobe:/bin/app@a.c", "Invalid uprobe arguments, expected format: uprobe:TARGET@FILE:LINE[:COL]"),
    ("uretprobe:/bin/app@main.c:12", "Source code location not allowed"),
    ("usdt", "usdt probe type requires 2 or 3 arguments, found 0"),
    ("usdt:/bin/nosuch:x", "usdt target file '/bin/nosuch' does not exist or is not executable"),
    ("usdt::x", "usdt probe must specify at least path or pid to probe. To target all paths/pids set the path to '*'."),
    ("iter", "iter probe type takes 2 arguments (1 optional)"),
    ("iter:nosuch", "iter nosuch not available for your kernel version."),
    ("iter:ta*", "iter probe type does not support wildcards"),
    ("watchpoint", "watchpoint probe type requires 3 arguments, found 0"),
    ("watchpoint:x:8:w", "Invalid function/address argument: invalid integer: x"),
    ("watchpoint:0:8:w", "watchpoint must be attached to a non-zero address"),
    ("watchpoint:1:3:w", "watchpoint length must be one of (1,2,4,8)"),
    ("watchpoint:1:8:wx", "invalid watchpoint mode: wx"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_message(text, message):
    found, messages, _ = expand(text)
    assert found == []
    assert messages[0] == message


@pytest.mark.parametrize(
    "text",
    [
        "kprobe:zz*",
        "tracepoint:zz:*",
        "rawtracepoint:zz",
        "usdt:/bin/app:zz",
        "uprobe:/bin/app:zz*",
        "u:/bin/app:cpp:zz",
    ],
)
def test_a_pattern_without_match_says_nothing(text):
    assert expand(text) == ([], [], [])


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("kprob:x", "Did you mean 'kprobe'"),
        ("tracepoint:syscall:sys_enter_openat", "Did you mean 'tracepoint:syscalls:sys_enter_openat'?"),
        ("tracepoint:sched:sched_swich", "Did you mean 'sched_switch'?"),
        ("kprobe:vfs_raed", "Did you mean 'vfs_read'"),
        ("kprobe:sys_read", "The system call's entry is '__x64_sys_read'."),
        ("uprobe:/bin/app:raedline", "Did you mean 'readline'?"),
        ("software:page-fault", "Did you mean 'page-faults'"),
        ("iter:tsk", "Did you mean 'task'?"),
        (
            "fentry:takes_large",
            "takes_large cannot be traced this way: its argument 'all' is a large value on the stack.",
        ),
        ("fexit:takes_seven", "takes_seven cannot be traced this way: it takes arguments on the stack."),
        ("fentry:takes_many", "takes_many cannot be traced this way: it takes a variable number of arguments."),
    ],
)
def test_hint(text, hint):
    _, _, hints = expand(text)
    assert hints[0].startswith(hint)


def test_missing_probes_setting():
    untraceable = (
        'gone is not traceable (either non-existing, inlined, or marked as "notrace"); attaching to it will likely fail'
    )
    assert expand("kprobe:gone")[1] == [untraceable, "No matches for kprobe gone."]
    assert expand("kprobe:gone", missing_probes="warn")[1] == [untraceable, "No matches for kprobe gone. Skipping."]
    assert expand("kprobe:gone", missing_probes="ignore")[1] == []
    found, messages, _ = expand("kprobe:gone", unsafe=True)
    assert [point.name for point in found] == ["kprobe:gone"] and messages == [untraceable]


def test_rawtracepoint_needs_types():
    target = FakeTarget()
    target.has_btf = False
    assert expand("rt:sched_switch", target)[1] == [
        "rawtracepoints require kernel BTF. Try using a 'tracepoint' instead."
    ]


def test_several_binaries_warn_and_take_the_first():
    found, messages, _ = expand("u:app:main")
    assert messages == ["attaching to uprobe target file '/usr/bin/app' but matched 2 binaries"]
    assert [point.name for point in found] == ["uprobe:/usr/bin/app:main"]


def test_near_names_of_a_point_that_is_not_there():
    options = ProbeOptions()
    (hint,) = near_points(written("tracepoint:syscalls:sys_enter_opnat"), ListingTarget(), options)
    assert hint.startswith("Did you mean 'sys_enter_openat'")
    assert near_points(written("tracepoint:syscalls:sys_enter_opnat*"), ListingTarget(), options) == ()
