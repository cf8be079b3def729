"""A folder that describes a small made-up kernel."""

from __future__ import annotations

import json
from pathlib import Path

from kloupe.binfmt import btf as b
from kloupe.binfmt.btf_write import BtfWriter

FORMAT = """name: sched_wave
ID: 314
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;

print fmt: "comm=%s pid=%d", REC->comm, REC->pid
"""

SYMBOLS = """0000000000000000 A percpu_thing
ffffffff81000000 T _stext
ffffffff81000000 T startup_64
ffffffff81001000 T vfs_read
ffffffff81001100 t vfs_write
ffffffff81001200 T __pfx_vfs_open
ffffffff81001210 T vfs_open
ffffffff82000000 D init_task
ffffffffc0001000 t dance\t[ballet]
ffffffffc0001080 t vfs_read\t[ballet]
"""


class KernelWriter(BtfWriter):
    """Records that programs never need."""

    def raw(self, name: str, kind: int, length: int, size_or_type: int, *rest: int) -> int:
        return self._add(name, kind, length, size_or_type, *rest)


def kernel_btf() -> bytes:
    w = KernelWriter()
    number = w.add_int("int", 4, signed=True)
    void = w.add_pointer()
    task = w.add_struct("task_struct", 16, [("pid", number, 0), ("state", number, 4)])
    task_pointer = w.add_pointer(task)
    proto = w.add_func_proto(number, [("task", task_pointer), ("count", number)])
    w.add_func("vfs_read", proto)
    w.add_func("vfs_write", proto)
    w.add_func("vfs_open", proto)
    unnamed = w.add_func_proto(0, [("", void), ("", task_pointer)])
    named = w.add_func_proto(number, [("__data", void), ("waver", task_pointer)])
    w.raw("btf_trace_sched_wave", b.TYPEDEF, 0, w.add_pointer(unnamed))
    w.raw("btf_trace_sched_rest", b.TYPEDEF, 0, w.add_pointer(unnamed))
    w.add_func("__traceiter_sched_wave", named)
    w.add_struct("bpf_iter__task", 16, [("meta", void, 0), ("task", task_pointer, 8)])
    helpers = [("BPF_FUNC_loop", 181), ("BPF_FUNC_ringbuf_reserve", 131), ("BPF_MAP_TYPE_RINGBUF", 27)]
    w.raw("bpf_func_id", b.ENUM, len(helpers), 4, *(x for name, v in helpers for x in (w.add_string(name), v)))
    return w.encode()


def build_snapshot(folder: Path, **meta: object) -> str:
    """Write the folder; its path. None as a keyword leaves that part out."""
    (folder / "btf").mkdir(parents=True)
    (folder / "btf" / "vmlinux").write_bytes(kernel_btf())
    event = folder / "tracing" / "events" / "sched" / "sched_wave"
    event.mkdir(parents=True)
    (event / "format").write_text(FORMAT)
    (folder / "tracing" / "available_events").write_text("sched:sched_wave\nsched:sched_rest\nirq:irq_wave\n")
    (folder / "tracing" / "available_filter_functions").write_text("vfs_read\nvfs_write\nvfs_open\ndance [ballet]\n")
    (folder / "kallsyms").write_text(SYMBOLS)
    facts = {"arch": "aarch64", "release": "6.99.0", "cpu_count": 4, "pid_namespace": [3, 4026532000], "features": {}}
    (folder / "meta.json").write_text(json.dumps({**facts, **meta}))
    return str(folder)
