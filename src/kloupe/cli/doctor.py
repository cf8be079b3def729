"""`kloupe doctor`: what this kernel and user can do, one line each, and what to do about every no."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..base.errors import KloupeError, UsageError
from ..base.record import record
from . import doctor_checks as ask
from .doctor_checks import Finding

USAGE = "USAGE: kloupe doctor"
_WORDS = {True: "yes", False: "no", None: "could not tell"}


@record(frozen=True)
class Check:
    """One line: its title, the question, and what to do when the answer is no. Without a `vital` one nothing can be traced."""

    title: str
    ask: Callable[[], Finding]
    advice: str
    vital: bool = False


CHECKS: tuple[Check, ...] = (
    Check("kernel is 5.10 or newer", ask.kernel, "boot a newer kernel: older ones lack ring buffers and atomics"),
    Check("architecture", ask.architecture, "use x86_64 or aarch64, or add a table in kernel/arch/", True),
    Check(
        "privileges",
        ask.privileges,
        "run as root, or give the process CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; "
        "without, scripts follow processes of your own (-c COMMAND, -p PID) with ptrace",
        True,
    ),
    Check(
        "processes of your own are followed (-c, -p)",
        ask.following,
        "see kernel.yama.ptrace_scope, and the container's seccomp profile; no privileges are needed",
    ),
    Check(
        "programs load",
        ask.program_load,
        "allow bpf(2) in the container's seccomp profile (or run outside of it)",
        True,
    ),
    Check("programs are compiled", ask.compiler, "as root: sysctl net.core.bpf_jit_enable=1; without, probes are slow"),
    Check(
        "kernel memory can be read",
        ask.reading,
        "boot with lockdown=integrity or none: confidentiality mode keeps programs from it",
    ),
    Check(
        "kernel types (BTF)",
        ask.feature("btf"),
        "use a kernel with CONFIG_DEBUG_INFO_BTF, or define the structs you need in the script; "
        "fentry, rawtracepoint arguments and iter need it",
    ),
    Check("module types", ask.feature("module_btf"), "use a kernel with CONFIG_DEBUG_INFO_BTF_MODULES"),
    Check("tracefs", ask.tracefs, "as root: mount -t tracefs nodev /sys/kernel/tracing"),
    Check(
        "function list",
        ask.function_list,
        "nothing: wildcards are matched against the kernel's symbols, of which a few cannot be traced",
    ),
    Check("ring buffer", ask.feature("ringbuf"), "boot a kernel from 5.8 on: output goes through a ring buffer", True),
    Check("loops", ask.feature("bpf_loop"), "while loops need bpf_loop (5.17); unroll works everywhere"),
    Check(
        "loops over maps", ask.feature("for_each_map_elem"), "for ($kv : @map) needs 5.13; print(@map) works everywhere"
    ),
    Check(
        "kprobe",
        ask.probe_events("kprobe", ask.open_kprobe),
        "use tracepoint, rawtracepoint or fentry probes, or a kernel with CONFIG_KPROBE_EVENTS",
    ),
    Check(
        "kprobe over wildcards at once",
        ask.feature("kprobe_multi"),
        "nothing: kprobe wildcards attach one by one, which takes longer (5.18 and CONFIG_FPROBE have it)",
    ),
    Check(
        "fentry and fexit",
        ask.feature("fentry"),
        "use kprobe and kretprobe, or tracepoints; fentry needs CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    ),
    Check("uprobe", ask.probe_events("uprobe", ask.open_uprobe), "use a kernel with CONFIG_UPROBE_EVENTS"),
    Check(
        "uprobe over wildcards at once",
        ask.feature("uprobe_multi"),
        "nothing: uprobe wildcards attach one by one, which takes longer (6.6 has it)",
    ),
    Check(
        "cookies",
        ask.feature("bpf_cookie"),
        "nothing: a probe with several places gets a program for each (5.15 has cookies)",
    ),
    Check("iter", ask.feature("iter"), "use a kernel with BPF iterators (5.8 and CONFIG_BPF_SYSCALL)"),
    Check(
        "hardware counters", ask.hardware_counters, "use software or profile probes; virtual machines often hide them"
    ),
    Check(
        "kernel addresses are shown",
        ask.kernel_symbols,
        "run as root, with kernel.kptr_restrict at 0 or 1; without, kernel stacks are numbers",
    ),
    Check("perf events", ask.perf_paranoia, "as root: sysctl kernel.perf_event_paranoid=-1, or give us CAP_PERFMON"),
    Check("memory for maps", ask.locked_memory, "raise the limit: ulimit -l unlimited"),
    Check("pids of the whole system", ask.pid_namespace, "run outside of the container to see all processes by pid"),
    Check(
        "file formats (pyelftools)",
        ask.library("elftools"),
        "pip install pyelftools: uprobes by name and user symbols need it",
    ),
    Check("C++ names (demangle)", ask.library("demangle"), "pip install demangle: without, C++ names stay mangled"),
)


def _answer(check: Check) -> Finding:
    try:
        return check.ask()
    except KloupeError as error:
        return Finding(None, str(error))


def _line(check: Check, finding: Finding) -> str:
    text = f"{_WORDS[finding.answer]:<16}{check.title}"
    if finding.note:
        text += f": {finding.note}"
    if finding.answer is False:
        text += f". To do: {check.advice}"
    return text


def run(arguments: list[str]) -> int:
    """Print a line for every check; 1 when something that all tracing needs is missing, else 0."""
    if arguments in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    if arguments:
        raise UsageError(f"doctor takes no arguments, not '{arguments[0]}'", hint=USAGE)
    status = 0
    for check in CHECKS:
        finding = _answer(check)
        print(_line(check, finding))
        sys.stdout.flush()
        if check.vital and finding.answer is False:
            status = 1
    return status
