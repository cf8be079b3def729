"""The lecture's programs as written there, and the probe kinds that only a full kernel has."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from reporting import Skip, limit

FOO = "#!/bin/bash\n\necho x > x\ncat x\n"
FORMAT = '"hello read(%d, %s, %zu) %s/%d [%s] [%s]\\n"'
RELEASE = tuple(int(part) for part in os.uname().release.split(".")[:2])


def kloupe(*arguments: str, folder: str | None = None) -> str:
    """Run the command in `folder`; its stdout. Fails with stderr when it does not end well."""
    done = subprocess.run(
        [sys.executable, "-m", "kloupe", *arguments], capture_output=True, cwd=folder, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    return done.stdout.decode(errors="replace")


def traced_foo(program: str) -> str:
    """What a script prints that traces the lecture's `foo`."""
    with tempfile.TemporaryDirectory() as folder:
        foo = Path(folder) / "foo"
        foo.write_text(FOO)
        foo.chmod(0o755)
        script = Path(folder) / "script.bp"
        script.write_text("#!/bin/env kloupe\n\n" + program)
        return kloupe("-q", "-c", "./foo", str(script), folder=folder)


def check_entry_of_a_loaded_bpf_program() -> None:
    """fentry on a program that another session has loaded."""
    words = [sys.executable, "-m", "kloupe", "-e", "interval:ms:50 { @ = count(); }"]
    watched = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert watched.stderr is not None
        if "Attached" not in watched.stderr.readline():
            raise AssertionError("the session to be watched did not start")
        if kloupe("-l", "fentry:vfs_read") == "":
            raise Skip("this kernel has no fentry")
        listed = kloupe("-l", "fentry:bpf:interval_ms_50*")
        assert re.fullmatch(r"fentry:bpf:[0-9]+:interval_ms_50_1\n", listed), listed
        assert kloupe("-q", "-e", "fentry:bpf:interval_ms_50* { print(probe); exit(); }").startswith(listed)
    finally:
        watched.terminate()
        watched.wait(20)


def check_hello_world() -> None:
    assert kloupe("-q", "-e", 'BEGIN { printf("hello, World!\\n"); }') == "hello, World!\n\n\n"


def check_listing_by_pattern() -> None:
    lines = kloupe("-l", "k:*do_nanosleep*").splitlines()
    assert "kprobe:do_nanosleep" in lines
    listing = kloupe("-lv", "tracepoint:syscalls:sys_enter_read").splitlines()
    assert listing == [
        "tracepoint:syscalls:sys_enter_read",
        "    int __syscall_nr",
        "    unsigned int fd",
        "    char * buf",
        "    size_t count",
    ]


def check_one_liner_on_a_kernel_function() -> None:
    text = kloupe("-q", "-c", "sleep 0.2", "-e", 'k:do_nanosleep /pid == cpid/ { printf("%s/%d\\n", comm, pid) ; }')
    assert re.fullmatch(r"sleep/\d+\n\n\n", text), text


def check_kprobe_read() -> None:
    text = traced_foo(
        f'kprobe:__x64_sys_read /comm=="foo"/\n{{\n\tprintf({FORMAT},\n\t\targ0, str(arg1), arg2, comm, pid, kstack, ustack);\n}}'
    )
    heads = re.findall(r"^hello read\(-?\d+, .*, \d+\) foo/\d+ \[$", text, re.M)
    assert len(heads) >= 3, text
    assert re.search(r"^        __x64_sys_read\+\d+$\n^        do_syscall_64\+\d+$", text, re.M), text
    assert re.search(r"^\] \[\n        (0x[0-9a-f]+|\w+\+\d+)$", text, re.M), text


def check_tracepoint_read() -> None:
    text = traced_foo(
        f'tracepoint:syscalls:sys_enter_read /comm=="foo"/\n{{\n\tprintf({FORMAT},\n\t\targs->fd, str(args->buf), '
        "args->count, comm, pid, kstack, ustack);\n}"
    )
    assert re.search(r"^hello read\(3, .*, 832\) foo/\d+ \[", text, re.M), text
    assert "hello read(255, #!/bin/bash\n\necho x > x\ncat x\n, 30) foo/" in text, text


def check_return_probes_count_every_call() -> None:
    text = traced_foo(
        'kprobe:vfs_read /comm == "foo"/ { @in[probe, func] = count(); }\n'
        'kretprobe:vfs_read /comm == "foo"/ { @out = count(); @sizes = hist(retval); }'
    )
    entered = re.search(r"@in\[kprobe:vfs_read, vfs_read\]: (\d+)", text)
    left = re.search(r"@out: (\d+)", text)
    assert entered and left and entered[1] == left[1], text


def check_wildcard_over_functions() -> None:
    text = traced_foo('kprobe:vfs_rea* /comm == "foo"/ { @[probe] = count(); }')
    assert re.search(r"@\[kprobe:vfs_read\]: \d+", text), text


def check_fentry_has_typed_arguments() -> None:
    if RELEASE < (5, 15):
        raise Skip("fentry with d_name through BTF is checked from 5.15 on")
    text = traced_foo(
        'fentry:vfs_read /comm == "foo"/ { @[str(args.file.f_path.dentry.d_name.name), args.count] = count(); }\n'
        'fexit:vfs_read /comm == "foo"/ { @most = max(retval); }'
    )
    assert re.search(r"@\[libc\.so\.6, 832\]: 1", text), text
    assert re.search(r"@most: \d+", text), text


def check_sampling_and_counting_events() -> None:
    text = kloupe(
        "-q",
        "-c",
        f"{sys.executable} -c pass",
        "-e",
        "software:page-faults:1 /pid == cpid/ { @faults = count(); } profile:hz:99 { @samples = count(); } "
        "rawtracepoint:sched_switch { @switches = count(); }",
    )
    for name in ("faults", "samples", "switches"):
        assert re.search(rf"@{name}: [1-9]\d*", text), text


@limit(200)
def check_uprobes_on_a_compiled_program() -> None:
    program = "/kloupe/.guest/bin/ticker"
    text = kloupe(
        "-q",
        "-c",
        f"{program} 5",
        "-e",
        f"uprobe:{program}:tick {{ @[probe, func] = count(); @last = arg0; }} uretprobe:{program}:tick {{ @back = count(); }}",
    )
    assert f"@[uprobe:{program}:tick, tick]: 5" in text, text
    assert "@back: 5" in text, text


def check_iterator_over_tasks() -> None:
    if RELEASE < (5, 15):
        raise Skip("task iterators are checked from 5.15 on")
    text = kloupe("-q", "-e", 'iter:task { if (ctx.task.pid == 1) { printf("%d\\n", ctx.task.pid); } }')
    assert text.startswith("1\n"), text


def check_loops_maps_and_strings() -> None:
    if RELEASE < (5, 17):
        raise Skip("loops by bpf_loop are checked from 5.17 on")
    text = kloupe(
        "-q",
        "-e",
        'begin { for ($i : 0..5) { @[$i] = $i * $i; } for ($kv : @) { @sum = sum($kv.1); } $s = "loupe"; '
        'if (strcontains($s, "oup")) { printf("%d %s\\n", len(@), $s); } clear(@); }',
    )
    assert text == "5 loupe\n\n\n@sum: 30\n", text
