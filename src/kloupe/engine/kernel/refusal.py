"""The kernel's refusals as kloupe's errors, each with what to do."""

from __future__ import annotations

import errno
import os

from ...base.errors import AttachError, KloupeError, NotSupported, PermissionNeeded, TargetError, VerifierError
from ...host import proc
from ...host.bpf import ENOTSUPP, LoadRefused

_NOT_SUPPORTED = {errno.ENOSYS, errno.EOPNOTSUPP, ENOTSUPP, errno.ENODEV}
_MEANINGS = {
    errno.EMFILE: ("too many open files", "raise the limit: ulimit -n 65536"),
    errno.ENFILE: ("the system has too many open files", "raise fs.file-max"),
    errno.ENOMEM: ("the kernel has no memory for it", "use fewer or smaller maps"),
    errno.E2BIG: ("too big for this kernel", ""),
    errno.ENOSPC: ("no room left", "hardware breakpoints: a CPU has few of them (4 on x86_64)"),
    errno.ESRCH: ("no such function or process", ""),
    errno.ENOENT: ("no such place to attach to", "for hardware events: this machine has no counter for it"),
    errno.EBUSY: ("in use by another tracer", ""),
    errno.EILSEQ: ("not on an instruction boundary", ""),
}


def errno_text(code: int) -> str:
    """A short text for an errno, also for those that only the kernel has."""
    if code == ENOTSUPP:
        return "not supported for this place"
    return _MEANINGS[code][0] if code in _MEANINGS else os.strerror(code)


def _first_sentence_low(text: str) -> str:
    return text[:1].lower() + text[1:]


def permission_hint() -> str:
    """Why the kernel does not let us trace, as far as can be seen, and what to do."""
    if proc.lockdown_mode() == "confidentiality":
        return (
            "the kernel is locked down (confidentiality), which forbids reading kernel memory: see kernel_lockdown(7)"
        )
    missing = [name for name in ("CAP_BPF", "CAP_PERFMON") if not proc.has_capability(name)]
    if missing and not proc.has_capability("CAP_SYS_ADMIN"):
        switch = proc.read_text("/proc/sys/kernel/unprivileged_bpf_disabled")
        extra = f" (kernel.unprivileged_bpf_disabled is {switch})" if switch not in (None, "0") else ""
        return f"run as root, or with {' and '.join(missing)}{extra}"
    return (
        "root is not enough here: a container's user namespace, seccomp, kernel lockdown or a security module "
        "forbids it; run it on the host"
    )


def explain_refusal(error: OSError, what: str) -> KloupeError:
    """The error to raise for a system call that failed. `what` says what was tried, without a full stop."""
    code = error.errno or 0
    if code in (errno.EPERM, errno.EACCES):
        return PermissionNeeded(f"{what}: not permitted", hint=permission_hint())
    if code in _NOT_SUPPORTED:
        return NotSupported(f"{what}: not supported by this kernel")
    if code in _MEANINGS:
        text, hint = _MEANINGS[code]
        return TargetError(f"{what}: {text}", hint=hint)
    return AttachError(f"{what}: {_first_sentence_low(error.strerror or str(error))}")


def explain_load(error: LoadRefused, program: str) -> KloupeError:
    """The error to raise for a program that the kernel did not load."""
    if not error.log:
        if error.errno == errno.EPERM or error.errno in _MEANINGS:
            return explain_refusal(error, f"loading program {program}")
        reason = _first_sentence_low(error.strerror or "")
        return VerifierError(f"the kernel refused program {program}: {reason}", program=program, log="")
    return VerifierError(f"the kernel refused program {program}: {verdict(error.log)}", program=program, log=error.log)


def verdict(log: str) -> str:
    """The line of a verifier log that says what is wrong: the last before the statistics."""
    lines = [line for line in log.splitlines() if line.strip()]
    while lines and lines[-1].startswith(
        ("processed ", "verification time", "stack depth", "mark_precise", "peak_states")
    ):
        lines.pop()
    return lines[-1].strip() if lines else "no reason given"
