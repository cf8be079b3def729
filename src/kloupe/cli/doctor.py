"""`kloupe doctor`: what this kernel and this user can do, one line each, with what to do about every no."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from ..base.errors import KloupeError, UsageError
from ..base.record import record
from ..host import proc
from .machine import live_target


@record(frozen=True)
class Finding:
    """The answer to one question: True, False or None (could not tell), what was seen, and what to do about a no."""

    answer: bool | None
    seen: str = ""
    advice: str = ""


def _privileges() -> Finding:
    names = ("CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN")
    held = [name for name in names if proc.has_capability(name)]
    enough = "CAP_SYS_ADMIN" in held or {"CAP_BPF", "CAP_PERFMON"} <= set(held)
    return Finding(enough, ", ".join(held) or "no capability", "run as root, or give CAP_BPF and CAP_PERFMON")


def _lockdown() -> Finding:
    mode = proc.lockdown_mode() or "none"
    return Finding(mode != "confidentiality", mode, "boot without lockdown=confidentiality")


def _btf() -> Finding:
    found = live_target().has_btf
    return Finding(found, "/sys/kernel/btf/vmlinux", "a kernel with CONFIG_DEBUG_INFO_BTF=y")


def _tracefs() -> Finding:
    from ..host.tracefs import ensure_tracefs, find_mounted

    mounted = find_mounted()
    if mounted:
        return Finding(True, mounted)
    try:
        ensure_tracefs()
    except KloupeError as error:
        return Finding(False, str(error), error.hint)
    return Finding(True, "not mounted, but kloupe can mount one for itself")


def _symbols() -> Finding:
    known = live_target().ksym("schedule")
    return Finding(bool(known), "/proc/kallsyms", "run as root; sysctl kernel.kptr_restrict=0 or 1")


def _jit() -> Finding:
    value = proc.read_text("/proc/sys/net/core/bpf_jit_enable")
    return Finding(
        None if value is None else value != "0", f"bpf_jit_enable={value}", "sysctl net.core.bpf_jit_enable=1"
    )


def _feature(name: str, advice: str) -> Callable[[], Finding]:
    return lambda: Finding(live_target().has(name), "", advice)


# Question -> who answers it. Versions are the first release that has the feature (kernel git history).
CHECKS: tuple[tuple[str, Callable[[], Finding]], ...] = (
    ("may load BPF programs", _privileges),
    ("kernel is not locked down", _lockdown),
    ("type information (BTF)", _btf),
    ("tracefs", _tracefs),
    ("kernel symbols", _symbols),
    ("BPF just-in-time compiler", _jit),
    ("ring buffer", _feature("ringbuf", "Linux 5.8 or newer")),
    ("loops (bpf_loop)", _feature("bpf_loop", "Linux 5.17 or newer; shorter loops still work")),
    ("loops over maps", _feature("for_each_map_elem", "Linux 5.13 or newer")),
    ("tracepoints with types (tp_btf)", _feature("tp_btf", "Linux 5.5 or newer with BTF")),
    ("kprobes", _feature("kprobe", "a kernel with CONFIG_KPROBE_EVENTS=y; fentry and tracepoints are alternatives")),
    ("many kprobes at once", _feature("kprobe_multi", "Linux 5.18 or newer with CONFIG_FPROBE=y; without it wildcards are slower")),
    ("fentry and fexit", _feature("fentry", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y; kprobes are an alternative")),
    ("uprobes", _feature("uprobe", "a kernel with CONFIG_UPROBE_EVENTS=y")),
    ("many uprobes at once", _feature("uprobe_multi", "Linux 6.6 or newer; without it wildcards are slower")),
    ("attach cookies", _feature("bpf_cookie", "Linux 5.15 or newer; without it each probe gets its own program")),
    ("iterators", _feature("iter", "Linux 5.8 or newer with BTF")),
    ("atomic operations that fetch", _feature("atomic_fetch", "Linux 5.12 or newer")),
)  # fmt: skip
_WORDS = {True: "yes", False: "no", None: "could not tell"}


def findings() -> Iterator[tuple[str, Finding]]:
    """Every question with its answer; a question that cannot be asked counts as not told."""
    for question, ask in CHECKS:
        try:
            yield question, ask()
        except KloupeError as error:
            yield question, Finding(None, str(error), error.hint)


def run(arguments: list[str]) -> int:
    """Print the answers; the status is 0 when programs can be loaded, else 1."""
    if arguments:
        raise UsageError(f"kloupe doctor takes no arguments, got {arguments[0]}")
    names = os.uname()
    print(f"kernel {names.release} on {names.machine}")
    able = True
    for question, finding in findings():
        seen = f" ({finding.seen})" if finding.seen else ""
        print(f"{_WORDS[finding.answer]:<15}{question}{seen}")
        if not finding.answer and finding.advice:
            print(f"{'':<15}-> {finding.advice}")
        if question == CHECKS[0][0]:
            able = bool(finding.answer)
    return 0 if able else 1
