"""Recordings by kernels of all ages: the verifier takes the journals, and the replay prints what the live session did."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from reporting import Skip

SCRIPTS = {
    "kprobe": """kprobe:vfs_read /comm == "cat"/ { @[func, arg2 > 0] = count();
        @n[str(((struct file *)arg0)->f_path.dentry->d_name.name, 32)] = count(); @s[kstack(3)] = count(); }
        kretprobe:vfs_read /comm == "cat"/ { @r[retval] = count(); }""",
    "tracepoints": """tracepoint:syscalls:sys_enter_openat /comm == "cat"/ { @[str(args.filename, 32), nsecs, ppid > 0] = count(); }
        tracepoint:sched:sched_process_exec /comm == "cat"/ { @f[str(args.filename, 32), cpu, elapsed, rand] = count(); }""",
    "calls": """tracepoint:syscalls:sys_enter_* /comm == "cat"/ { @[probe] = count(); }
        tracepoint:syscalls:sys_exit_* /comm == "cat"/ { @r[args.ret] = count(); }""",
    "loops": """tracepoint:raw_syscalls:sys_enter /comm == "cat"/ { $i = 0; while ($i < 10) { @[$i] = (nsecs, comm); $i++; }
        for ($k : @) { @sum = sum($k.0); } }""",
    "fentry": """fentry:vfs_open /comm == "cat"/ { @[str(args.path->dentry->d_name.name, 32)] = count(); }
        profile:hz:999 { @p[cpu, reg("ip") > 0] = count(); }""",
}


def same_again(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, out = f"{folder}/r.klr", f"{folder}/out"
        command = [sys.executable, "-m", "kloupe", "-q"]
        environment = {**os.environ, "KLOUPE_MAX_PROBES": "2000"}
        live = subprocess.run(
            [*command, "--record", path, "-o", out, "-c", "cat /proc/self/maps", "-e", SCRIPTS[name]],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if "not supported" in live.stderr or "needs Linux" in live.stderr:
            raise Skip(live.stderr[-300:])
        assert live.returncode == 0, live.stderr[-3000:]
        again = subprocess.run([*command, "--replay", path], capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr[-2000:]
        printed = Path(out).read_text()
        assert printed.strip(), live.stderr[-2000:]
        assert again.stdout == printed, (printed[-1500:], again.stdout[-1500:])


def check_functions() -> None:
    same_again("kprobe")


def check_tracepoints() -> None:
    same_again("tracepoints")


def check_many_system_calls() -> None:
    same_again("calls")


def check_loops() -> None:
    same_again("loops")


def check_typed_functions_and_samples() -> None:
    same_again("fentry")
