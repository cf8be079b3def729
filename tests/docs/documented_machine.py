"""A made-up machine that has what the examples of the documents name, so that they compile anywhere."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "probes"))

import probe_fakes as fakes

from kloupe.base.ctype import INT32, INT64, UINT8, UINT32, UINT64, VOID, Array, Field, Function, Int, Pointer, Struct
from kloupe.kernel.target import Symbol

CHAR = Int(1, True)
PATH = Struct("struct", "path", 16, (Field("mnt", Pointer(VOID), 0), Field("dentry", Pointer(VOID), 8)))
FILE = Struct("struct", "file", 232, (Field("f_flags", UINT32, 8), Field("f_path", PATH, 64)))
TASK = Struct(
    "struct",
    "task_struct",
    9000,
    (
        *fakes.TASK.fields,
        Field("pid", INT32, 2000),
        Field("tgid", INT32, 2004),
        Field("real_parent", Pointer(Struct("struct", "task_struct", 9000)), 2016),
        Field("comm", Array(CHAR, 16), 2500),
        Field("prio", INT32, 2600),
    ),
)
STRUCTS = {"task_struct": TASK, "file": FILE, "path": PATH}
READ = (("file", Pointer(FILE)), ("buf", Pointer(CHAR)), ("count", UINT64), ("pos", Pointer(INT64)))
FUNCTIONS = {
    "vfs_read": Function(INT64, READ),
    "vfs_write": Function(INT64, READ),
    "vfs_open": Function(INT32, (("path", Pointer(PATH)), ("file", Pointer(FILE)))),
    "do_nanosleep": Function(INT32, (("t", Pointer(VOID)), ("mode", UINT32))),
    "hrtimer_nanosleep": Function(INT64, (("rqtp", INT64), ("mode", UINT32), ("clockid", INT32))),
    "__x64_sys_read": Function(INT64, (("regs", Pointer(VOID)),)),
}


def _event(*names: str) -> tuple[Field, ...]:
    """Fields of eight bytes each behind the common ones."""
    return tuple(Field(name, INT64, 16 + 8 * index, decl=f"long {name}") for index, name in enumerate(names))


def _text(name: str, offset: int) -> Field:
    return Field(name, Pointer(CHAR), offset, decl=f"const char * {name}")


EVENTS = {
    ("syscalls", "sys_enter_read"): (*_event("fd"), Field("buf", Pointer(CHAR), 24), *_event("", "", "count")[2:]),
    ("syscalls", "sys_exit_read"): _event("ret"),
    ("syscalls", "sys_enter_write"): (*_event("fd"), Field("buf", Pointer(CHAR), 24), *_event("", "", "count")[2:]),
    ("syscalls", "sys_enter_execve"): (_text("filename", 16), Field("argv", Pointer(Pointer(CHAR)), 24)),
    ("syscalls", "sys_enter_kill"): _event("pid", "sig"),
    ("sched", "sched_process_exit"): (*_event(), Field("comm", Array(CHAR, 16), 8), Field("pid", INT32, 24)),
    ("sched", "sched_switch"): (Field("prev_pid", INT32, 24), Field("next_comm", Array(CHAR, 16), 40)),
    ("signal", "signal_generate"): (
        Field("sig", INT32, 8),
        Field("comm", Array(CHAR, 16), 20),
        Field("pid", INT32, 36),
    ),
    ("sched", "sched_wakeup"): (Field("comm", Array(CHAR, 16), 8), Field("pid", INT32, 24)),
    ("raw_syscalls", "sys_enter"): _event("id"),
    ("raw_syscalls", "sys_exit"): _event("id", "ret"),
    ("block", "block_rq_issue"): (*_event("sector"), Field("bytes", UINT32, 32), Field("rwbs", Array(UINT8, 8), 36)),
}
BINARIES = ("/bin/app", "/bin/bash", "/bin/cat", "libc", "bash")


class DocumentedBinary(fakes.FakeBinary):
    """Has a few of libc's functions besides."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._symbols += [
            Symbol(name, 0x1500 + 64 * i, 0x401500 + 64 * i, 64)
            for i, name in enumerate(("malloc", "free", "getaddrinfo", "strlen"))
        ]


class DocumentedTarget(fakes.ListingTarget):
    """See kernel.target.Target."""

    def struct(self, kind, name):
        return STRUCTS.get(name) or super().struct(kind, name)

    def _owned(self, module):
        return {**super()._owned(module), **(FUNCTIONS if module in ("", "vmlinux") else {})}

    def tracepoint(self, category, event):
        fields = EVENTS.get((category, event))
        if fields is None:
            return super().tracepoint(category, event)
        return fakes.TracepointFormat(category, event, 1, fields)

    def tracepoints(self, category, event):
        known = {*fakes.TRACEPOINTS, *EVENTS}
        return sorted(k for k in known if fakes.fnmatchcase(k[0], category) and fakes.fnmatchcase(k[1], event))

    def raw_tracepoint(self, event):
        if event == "sched_switch":
            return Function(VOID, (("preempt", UINT8), ("prev", Pointer(TASK)), ("next", Pointer(TASK))))
        return super().raw_tracepoint(event)

    def iterators(self):
        task = Field("task", Pointer(TASK), 8)
        return {"task": Struct("struct", "bpf_iter__task", 16, (Field("meta", Pointer(VOID), 0), task))}

    def resolve_library(self, name, pid=None):
        return [name] if name in BINARIES else super().resolve_library(name, pid)

    def binary(self, path):
        return DocumentedBinary(path)
