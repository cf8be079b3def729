"""The helpers the machine has: one row each. Names and argument counts are those of bpf/helpers.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import help_maps, help_memory, help_task


class Row(NamedTuple):
    """A helper: its function, and for the cheapest ones an expression over `core` that does the same."""

    function: Callable[..., int]
    inline: str = ""


ROWS: dict[str, Row] = {
    "map_lookup_elem": Row(help_maps.map_lookup_elem),
    "map_update_elem": Row(help_maps.map_update_elem),
    "map_delete_elem": Row(help_maps.map_delete_elem),
    "map_lookup_percpu_elem": Row(help_maps.map_lookup_percpu_elem),
    "for_each_map_elem": Row(help_maps.for_each_map_elem),
    "loop": Row(help_maps.loop),
    "ringbuf_output": Row(help_maps.ringbuf_output),
    "ringbuf_reserve": Row(help_maps.ringbuf_reserve),
    "ringbuf_submit": Row(help_maps.ringbuf_submit),
    "ringbuf_discard": Row(help_maps.ringbuf_discard),
    "ringbuf_query": Row(help_maps.ringbuf_query),
    "get_stackid": Row(help_maps.get_stackid),
    "get_stack": Row(help_maps.get_stack),
    "probe_read": Row(help_memory.probe_read),
    "probe_read_user": Row(help_memory.probe_read_user),
    "probe_read_kernel": Row(help_memory.probe_read_kernel),
    "probe_read_str": Row(help_memory.probe_read_str),
    "probe_read_user_str": Row(help_memory.probe_read_user_str),
    "probe_read_kernel_str": Row(help_memory.probe_read_kernel_str),
    "copy_from_user": Row(help_memory.copy_from_user),
    "probe_write_user": Row(help_memory.probe_write_user),
    "strncmp": Row(help_memory.strncmp),
    "d_path": Row(help_memory.d_path),
    "ktime_get_ns": Row(help_task.ktime_get_ns, "core.clock.monotonic_ns()"),
    "ktime_get_boot_ns": Row(help_task.ktime_get_boot_ns),
    "ktime_get_tai_ns": Row(help_task.ktime_get_tai_ns),
    "ktime_get_coarse_ns": Row(help_task.ktime_get_coarse_ns),
    "jiffies64": Row(help_task.jiffies64),
    "get_prandom_u32": Row(help_task.get_prandom_u32),
    "get_smp_processor_id": Row(help_task.get_smp_processor_id, "core.cpu.number"),
    "get_numa_node_id": Row(help_task.get_numa_node_id),
    "get_current_pid_tgid": Row(help_task.get_current_pid_tgid, "core.task.pid_tgid"),
    "get_current_uid_gid": Row(help_task.get_current_uid_gid, "core.task.uid_gid"),
    "get_current_comm": Row(help_task.get_current_comm),
    "get_current_task": Row(help_task.get_current_task),
    "get_current_task_btf": Row(help_task.get_current_task),
    "get_current_cgroup_id": Row(help_task.get_current_cgroup_id),
    "get_ns_current_pid_tgid": Row(help_task.get_ns_current_pid_tgid),
    "get_attach_cookie": Row(help_task.get_attach_cookie, "core.cookie"),
    "get_func_ip": Row(help_task.get_func_ip),
    "get_func_arg": Row(help_task.get_func_arg),
    "get_func_ret": Row(help_task.get_func_ret),
    "get_func_arg_cnt": Row(help_task.get_func_arg_cnt),
    "send_signal": Row(help_task.send_signal),
    "send_signal_thread": Row(help_task.send_signal_thread),
    "override_return": Row(help_task.override_return),
    "trace_printk": Row(help_task.trace_printk),
}


class Kfunc(NamedTuple):
    """A kernel function that programs can call, and how many arguments it has."""

    function: Callable[..., int]
    arguments: int


KFUNCS: dict[str, Kfunc] = {
    "bpf_session_is_return": Kfunc(help_task.session_is_return, 0),
    "bpf_rcu_read_lock": Kfunc(help_task.nothing, 0),
    "bpf_rcu_read_unlock": Kfunc(help_task.nothing, 0),
    "bpf_preempt_disable": Kfunc(help_task.nothing, 0),
    "bpf_preempt_enable": Kfunc(help_task.nothing, 0),
}
