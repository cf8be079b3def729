"""Numbers of program, attach and map types by the names that Image uses.

Source: `enum bpf_prog_type`, `enum bpf_attach_type`, `enum bpf_map_type` of the kernel's uapi header linux/bpf.h.
"""

from __future__ import annotations

PROGRAM_TYPES: dict[str, int] = {
    "socket_filter": 1,
    "kprobe": 2,
    "tracepoint": 5,
    "perf_event": 7,
    "raw_tracepoint": 17,
    "raw_tracepoint_writable": 24,
    "tracing": 26,
    "lsm": 29,
    "syscall": 31,
}

ATTACH_TYPES: dict[str, int] = {
    "": 0,
    "trace_raw_tp": 23,
    "trace_fentry": 24,
    "trace_fexit": 25,
    "modify_return": 26,
    "lsm_mac": 27,
    "trace_iter": 28,
    "perf_event": 41,
    "kprobe_multi": 42,
    "uprobe_multi": 48,
    "kprobe_session": 56,
    "uprobe_session": 57,
    "trace_fsession": 58,
}

MAP_TYPES: dict[str, int] = {
    "hash": 1,
    "array": 2,
    "prog_array": 3,
    "perf_event_array": 4,
    "percpu_hash": 5,
    "percpu_array": 6,
    "stack_trace": 7,
    "cgroup_array": 8,
    "lru_hash": 9,
    "lru_percpu_hash": 10,
    "array_of_maps": 12,
    "ringbuf": 27,
    "task_storage": 29,
}

PER_CPU_MAP_KINDS = frozenset({"percpu_hash", "percpu_array", "lru_percpu_hash"})
ARRAY_MAP_KINDS = frozenset({"array", "percpu_array"})

# Map creation flags (BPF_F_*).
MAP_FLAGS: dict[str, int] = {
    "no_prealloc": 1 << 0,
    "no_common_lru": 1 << 1,
    "numa_node": 1 << 2,
    "rdonly": 1 << 3,
    "wronly": 1 << 4,
    "stack_build_id": 1 << 5,
    "zero_seed": 1 << 6,
    "rdonly_prog": 1 << 7,
    "wronly_prog": 1 << 8,
    "mmapable": 1 << 10,
}

# Program load flags (BPF_F_*).
PROGRAM_FLAGS: dict[str, int] = {"sleepable": 1 << 4, "test_state_freq": 1 << 3}
