"""This machine as a Target, made once per command, with probers for what its type information cannot tell."""

from __future__ import annotations

import os
from functools import cache

from ..base.diag import did_you_mean
from ..base.errors import MissingFacts, UsageError
from ..kernel.features import FEATURES, Prober
from ..kernel.live import LiveTarget
from .options import CommandLine


def _tracefs() -> str:
    from ..host.tracefs import ensure_tracefs

    return ensure_tracefs()


def _kprobe_multi() -> bool | None:
    from ..host.bpf_link import has_kprobe_multi

    return has_kprobe_multi()


def _kprobe_session() -> bool | None:
    from ..host.bpf_link import has_kprobe_multi

    return has_kprobe_multi("kprobe_session")


def _uprobe_multi() -> bool | None:
    from ..host.bpf_link import has_uprobe_multi

    return has_uprobe_multi()


def _atomic_fetch() -> bool | None:
    """Whether the kernel loads `lock xchg` on the stack (Linux 5.12)."""
    from ..bpf.insn import encode_instructions
    from ..bpf.program_types import PROGRAM_TYPES
    from ..host.bpf import can_load

    # r0 = 0; *(u64 *)(r10 - 8) = r0; r0 = xchg_64(r10 - 8, r0); r0 = 0; exit
    code = encode_instructions(
        [(0xB7, 0, 0, 0, 0), (0x7B, 10, 0, -8, 0), (0xDB, 10, 0, -8, 0xE1), (0xB7, 0, 0, 0, 0), (0x95, 0, 0, 0, 0)]
    )
    return can_load(PROGRAM_TYPES["raw_tracepoint"], code)


def _fentry() -> bool | None:
    """Whether the kernel loads a program for the entry of a function made for such tests (net/bpf/test_run.c)."""
    from ..bpf.insn import encode_instructions
    from ..bpf.program_types import ATTACH_TYPES, PROGRAM_TYPES
    from ..host.bpf import can_load

    found = live_target().btf_id("function", "bpf_fentry_test1")
    if found is None:
        return None
    code = encode_instructions([(0xB7, 0, 0, 0, 0), (0x95, 0, 0, 0, 0)])
    if can_load(PROGRAM_TYPES["raw_tracepoint"], code) is None:
        return None
    return can_load(PROGRAM_TYPES["tracing"], code, ATTACH_TYPES["trace_fentry"], found[1]) is True


def _kfunc_allowed(question: str) -> bool | None:
    """Whether programs of a type may call a kernel function (`TYPE:FUNCTION`). A call without arguments is refused in other words."""
    from ..bpf.insn import encode_instructions
    from ..bpf.isa import CALL_KFUNC
    from ..bpf.program_types import PROGRAM_TYPES
    from ..host.bpf import refusal

    kind, _, name = question.partition(":")
    found = live_target().btf_id("function", name)
    if found is None or found[0] != "vmlinux":
        return False
    code = encode_instructions([(0x85, 0, CALL_KFUNC, 0, found[1]), (0x95, 0, 0, 0, 0)])
    log = refusal(PROGRAM_TYPES[kind], code)
    return None if log is None else "is not allowed" not in log


PROBERS: dict[str, Prober] = {
    "kprobe_multi": _kprobe_multi,
    "kprobe_session": _kprobe_session,
    "uprobe_multi": _uprobe_multi,
    "atomic_fetch": _atomic_fetch,
    "fentry": _fentry,
    "fexit": _fentry,
}


@cache
def live_target() -> LiveTarget:
    """The Target of this machine. Raises NotSupported on an unknown architecture."""
    btf = os.environ.get("KLOUPE_BTF") or os.environ.get("BPFTRACE_BTF") or ""
    if btf and not os.path.isfile(btf):
        raise MissingFacts(
            f"cannot read {btf}: no such file", hint="BPFTRACE_BTF names the file with the kernel's types."
        )
    return LiveTarget(PROBERS, btf, locate_tracefs=_tracefs, askers={"kfunc_allowed": _kfunc_allowed})


def chosen_target(line: CommandLine) -> LiveTarget:
    """The Target of this machine, as far as options say something else about it. Raises UsageError, TargetError."""
    target = live_target()
    for name in filter(None, line.get("no_feature").split(",")):
        if name not in FEATURES:
            near = did_you_mean(name, FEATURES)
            raise UsageError(f"invalid feature for --no-feature: {name}", hint=near[0] if near else "")
        target.features.deny(name)
    if line.has("traceable_functions"):
        target.tracing.use_functions(line.get("traceable_functions"))
    target.debug_folders = [path for given in line.lists.get("debuginfo", ()) for path in given.split(":") if path]
    return target
