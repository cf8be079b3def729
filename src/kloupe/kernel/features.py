"""What a kernel can do: a table of feature names and the facts that prove them. Never a version number.

Three answers: True, False, None (could not tell). A fact is looked up in the kernel's BTF first, where the enums of
include/uapi/linux/bpf.h list every helper, attach, link, map and program type that the kernel was built with: that needs no
privilege and no program load. A prober, a callable that tries it out (`host` has them), is asked unless BTF says no: some
kernels know the names of what they cannot do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..binfmt.btf import FUNC, STRUCT, Btf

Prober = Callable[[], bool | None]
Asker = Callable[[str], bool | None]  # a prober of a family: what follows the family's name is its argument

# Each row: the facts that must all hold, as `kind:name`. `const`: an enum constant; `struct`, `func`: a type; `sign`: a name whose
# presence proves the feature, while its absence proves nothing.
FEATURES: dict[str, tuple[str, ...]] = {
    "btf": (),
    "module_btf": ("struct:btf_module",),
    "ringbuf": ("const:BPF_MAP_TYPE_RINGBUF", "const:BPF_FUNC_ringbuf_reserve"),
    "bpf_loop": ("const:BPF_FUNC_loop",),
    "for_each_map_elem": ("const:BPF_FUNC_for_each_map_elem",),
    "map_lookup_percpu_elem": ("const:BPF_FUNC_map_lookup_percpu_elem",),
    "get_attach_cookie": ("const:BPF_FUNC_get_attach_cookie",),
    "bpf_cookie": ("const:BPF_FUNC_get_attach_cookie",),
    "perf_event_link": ("const:BPF_LINK_TYPE_PERF_EVENT",),
    "tracing_cookie": ("sign:bpf_get_attach_cookie_tracing",),
    "raw_tp_cookie": ("sign:BPF_TRACE_KPROBE_SESSION",),
    "kprobe_multi": ("const:BPF_TRACE_KPROBE_MULTI", "struct:bpf_kprobe_multi_link"),
    "kprobe_session": ("const:BPF_TRACE_KPROBE_SESSION", "struct:bpf_kprobe_multi_link"),
    "uprobe_multi": ("const:BPF_TRACE_UPROBE_MULTI", "struct:bpf_uprobe_multi_link"),
    "uprobe_session": ("const:BPF_TRACE_UPROBE_SESSION", "struct:bpf_uprobe_multi_link"),
    "kprobe": ("func:register_kprobe",),
    "uprobe": ("func:uprobe_register",),
    "fentry": ("const:BPF_TRACE_FENTRY", "func:register_ftrace_direct"),
    "fexit": ("const:BPF_TRACE_FEXIT", "func:register_ftrace_direct"),
    "tp_btf": ("const:BPF_TRACE_RAW_TP",),
    "raw_tp": ("const:BPF_PROG_TYPE_RAW_TRACEPOINT",),
    "raw_tp_writable": ("const:BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE",),
    "perf_event": ("const:BPF_PROG_TYPE_PERF_EVENT",),
    "iter": ("const:BPF_TRACE_ITER", "func:bpf_iter_task"),
    "probe_read_kernel": ("const:BPF_FUNC_probe_read_kernel",),
    "probe_read_user_str": ("const:BPF_FUNC_probe_read_user_str",),
    "copy_from_user": ("const:BPF_FUNC_copy_from_user",),
    "sleepable": ("const:BPF_FUNC_copy_from_user",),
    "get_current_task_btf": ("const:BPF_FUNC_get_current_task_btf",),
    "task_pt_regs": ("const:BPF_FUNC_task_pt_regs",),
    # atomics with fetch came with 5.12 on x86_64 and 5.18 on aarch64; kptr_xchg (5.19) is the next name in the table
    "atomic_fetch": ("sign:BPF_FUNC_kptr_xchg",),
    "get_ns_current_pid_tgid": ("const:BPF_FUNC_get_ns_current_pid_tgid",),
    "get_func_ip": ("const:BPF_FUNC_get_func_ip",),
    "get_func_ip_uprobe": ("sign:BPF_TRACE_UPROBE_MULTI",),
    "get_func_arg": ("const:BPF_FUNC_get_func_arg",),
    "d_path": ("const:BPF_FUNC_d_path", "func:bpf_d_path"),
    "ktime_get_boot_ns": ("const:BPF_FUNC_ktime_get_boot_ns",),
    "ktime_get_coarse_ns": ("const:BPF_FUNC_ktime_get_coarse_ns",),
    "ktime_get_tai_ns": ("const:BPF_FUNC_ktime_get_tai_ns",),
    "jiffies64": ("const:BPF_FUNC_jiffies64",),
    "dynptr": ("const:BPF_FUNC_dynptr_read",),
    "strncmp": ("const:BPF_FUNC_strncmp",),
    "snprintf": ("const:BPF_FUNC_snprintf",),
    "snprintf_btf": ("const:BPF_FUNC_snprintf_btf",),
    "signal": ("const:BPF_FUNC_send_signal",),
    "signal_thread": ("const:BPF_FUNC_send_signal_thread",),
    "override_return": ("const:BPF_FUNC_override_return", "func:bpf_override_return"),
    "get_current_cgroup_id": ("const:BPF_FUNC_get_current_cgroup_id",),
    "get_current_ancestor_cgroup_id": ("const:BPF_FUNC_get_current_ancestor_cgroup_id",),
    "get_stack": ("const:BPF_FUNC_get_stack",),
    "get_task_stack": ("const:BPF_FUNC_get_task_stack",),
    "skb_output": ("const:BPF_FUNC_skb_output",),
    "probe_write_user": ("const:BPF_FUNC_probe_write_user",),
    "per_cpu_ptr": ("const:BPF_FUNC_per_cpu_ptr",),
    "task_storage": ("const:BPF_MAP_TYPE_TASK_STORAGE",),
    "map_batch": ("const:BPF_MAP_LOOKUP_BATCH",),
    "link_create": ("const:BPF_LINK_CREATE",),
    "test_run": ("func:bpf_prog_test_run_raw_tp",),
    # sign-extending loads and signed division came with 6.6, like this name
    "cpu_v4": ("sign:BPF_TRACE_UPROBE_MULTI",),
    "map_mmap": ("sign:BPF_FUNC_ringbuf_reserve",),
}

# `family:name` asks for anything the enums or the kernel's functions list, without a row: helper:loop, map:arena, kfunc:bpf_strlen.
FAMILIES: dict[str, str] = {
    "helper": "const:BPF_FUNC_{}",
    "map": "const:BPF_MAP_TYPE_{}",
    "program": "const:BPF_PROG_TYPE_{}",
    "link": "const:BPF_LINK_TYPE_{}",
    "attach": "const:BPF_{}",
    "kfunc": "func:{}",
    "struct": "struct:{}",
}
_UPPER_FAMILIES = ("map", "program", "link", "attach")


class Features:
    """The answers for one kernel, each found once. `known` are answers from elsewhere (a snapshot).

    `askers` answer for whole families of features that BTF knows nothing of.
    """

    def __init__(
        self,
        btf: Callable[[], Btf | None],
        probers: Mapping[str, Prober] | None = None,
        known: Mapping[str, bool] | None = None,
        askers: Mapping[str, Asker] | None = None,
    ) -> None:
        self._btf = btf
        self._askers = askers or {}
        self._probers = probers or {}
        self._answers: dict[str, bool | None] = dict(known or {})

    def has(self, name: str) -> bool | None:
        """Whether the kernel has the feature; None when neither BTF nor a prober can tell, and for unknown names."""
        if name not in self._answers:
            family, _, rest = name.partition(":")
            answer = self._askers[family](rest) if family in self._askers else self._from_btf(name)
            if answer is not False and name in self._probers:
                tried = self._probers[name]()
                answer = answer if tried is None else tried
            self._answers[name] = answer
        return self._answers[name]

    def deny(self, name: str) -> None:
        """Answer no from now on."""
        self._answers[name] = False

    def all(self) -> dict[str, bool | None]:
        """Every feature of the table with its answer, by name."""
        return {name: self.has(name) for name in sorted(FEATURES)}

    def _from_btf(self, name: str) -> bool | None:
        btf = self._btf()
        if name == "btf":
            return btf is not None
        if btf is None:
            return None
        facts = FEATURES.get(name)
        if facts is None:
            family, _, member = name.partition(":")
            form = FAMILIES.get(family)
            if form is None:
                return None
            facts = (form.format(member.upper() if family in _UPPER_FAMILIES else member),)
        answers = [_holds(btf, *fact.split(":", 1)) for fact in facts]
        if False in answers:
            return False
        return None if None in answers else True


def _holds(btf: Btf, kind: str, name: str) -> bool | None:
    if not btf.has_string(name):
        return None if kind == "sign" else False
    if kind in ("const", "sign"):
        return True
    return btf.find(name, (FUNC if kind == "func" else STRUCT,)) is not None
