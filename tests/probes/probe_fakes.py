"""A small made-up machine: a Target and a Binary with a handful of functions, tracepoints and types."""

from __future__ import annotations

from fnmatch import fnmatchcase

from kloupe.base.ctype import (
    INT32,
    INT64,
    UINT8,
    UINT32,
    UINT64,
    VOID,
    Enum,
    Field,
    Float,
    Function,
    Int,
    Pointer,
    Space,
    Struct,
)
from kloupe.base.diag import Diagnostics
from kloupe.base.errors import FormatError
from kloupe.base.source import Source, Span
from kloupe.kernel.arch import arch_table
from kloupe.kernel.target import BpfFunction, Symbol, TracepointFormat, UsdtArgument, UsdtProbe
from kloupe.lang.nodes import AttachPoint
from kloupe.probes import ProbeOptions, expand_attach_point

CHAR_P = Pointer(Int(1, True))
FILE = Struct("struct", "file", 232)
PAIR = Struct("struct", "pair", 16, (Field("a", INT64, 0), Field("b", INT64, 8)))
LARGE = Struct("struct", "large", 24, (Field("a", INT64, 0), Field("b", INT64, 8), Field("c", INT64, 16)))

FUNCTIONS = {
    "vfs_read": Function(INT64, (("file", Pointer(FILE)), ("buf", CHAR_P), ("count", UINT64), ("pos", Pointer(INT64)))),
    "vfs_readv": Function(INT64, (("file", Pointer(FILE)),)),
    "vfs_write": Function(INT64, (("file", Pointer(FILE)),)),
    "nothing": Function(VOID),
    "takes_pair": Function(INT32, (("cmd", INT32), ("both", PAIR), ("size", UINT32))),
    "takes_large": Function(INT32, (("all", LARGE),)),
    "takes_seven": Function(INT32, tuple((f"a{i}", INT64) for i in range(7))),
    "takes_many": Function(INT32, (("fmt", CHAR_P),), variadic=True),
    "__x64_sys_read": Function(INT64, (("regs", Pointer(Struct("struct", "pt_regs", 168))),)),
    "vfs_read.part.0": Function(VOID),
    "rcu_note": Function(VOID),
}
MODULE_FUNCTIONS = {
    "nf_tables": {
        "nf_newtable": Function(INT32, (("skb", Pointer(VOID)),)),
        "vfs_write": FUNCTIONS["vfs_write"],
        "shared": FUNCTIONS["nothing"],
    },
    "nf_nat": {"shared": FUNCTIONS["nothing"]},
}


def _common() -> tuple[Field, ...]:
    return (
        Field("common_type", Int(2, False), 0, decl="unsigned short common_type"),
        Field("common_pid", INT32, 4, decl="int common_pid"),
    )


def _syscall(*fields: Field) -> tuple[Field, ...]:
    return (*_common(), Field("__syscall_nr", INT32, 8, decl="int __syscall_nr"), *fields)


TRACEPOINTS = {
    ("syscalls", "sys_enter_openat"): _syscall(
        Field("dfd", UINT64, 16, decl="int dfd"),
        Field("filename", CHAR_P, 24, decl="const char * filename"),
        Field("flags", UINT64, 32, decl="int flags"),
        Field("mode", UINT64, 40, decl="umode_t mode"),
    ),
    ("syscalls", "sys_exit_openat"): _syscall(Field("ret", INT64, 16, decl="long ret")),
    ("syscalls", "sys_enter_newfstat"): _syscall(Field("fd", UINT64, 16, decl="unsigned int fd")),
    ("syscalls", "sys_enter_unheard_of"): _syscall(),
    ("sched", "sched_process_exec"): (
        *_common(),
        Field("filename", Pointer(Int(1, True)), 8, decl="__data_loc char[] filename", data_loc=1),
        Field("pid", INT32, 12, decl="pid_t pid"),
    ),
    ("sched", "sched_switch"): (*_common(), Field("prev_pid", INT32, 8, decl="pid_t prev_pid")),
    ("raw_syscalls", "sys_enter"): (*_common(), Field("id", INT64, 8, decl="long id")),
}
TASK = Struct(
    "struct",
    "task_struct",
    9000,
    (
        Field(
            "thread_info",
            Struct("struct", "thread_info", 24, (Field("flags", UINT64, 0), Field("status", UINT32, 16))),
            8,
        ),
    ),
)
STRUCTS = {
    "task_struct": TASK,
    "pt_regs": Struct("struct", "pt_regs", 168, (Field("orig_ax", UINT64, 120), Field("di", UINT64, 112))),
    "sched_param": Struct("struct", "sched_param", 4, (Field("sched_priority", INT32, 0, decl="int sched_priority"),)),
    "outer": Struct(
        "struct",
        "outer",
        24,
        (
            Field("", Struct("union", "", 8, (Field("p", Pointer(VOID), 0, decl="void * p"),)), 0),
            Field("flag", UINT32, 8, 0, 3, "unsigned int flag"),
            Field("name", UINT8, 12, decl="char name[12]"),
        ),
    ),
}
ITERATORS = {
    "task": Struct(
        "struct",
        "bpf_iter__task",
        16,
        (
            Field(
                "", Struct("union", "", 8, (Field("meta", Pointer(VOID), 0, decl="struct bpf_iter_meta * meta"),)), 0
            ),
            Field("", Struct("union", "", 8, (Field("task", Pointer(TASK), 0, decl="struct task_struct * task"),)), 8),
        ),
    )
}
RAW = {
    "sched_switch": Function(VOID, (("preempt", UINT8), ("prev", Pointer(TASK)))),
    "sys_enter": Function(VOID, (("regs", Pointer(VOID)), ("id", INT64))),
}


class FakeBinary:
    """A program with three functions, one of them C++, and two markers."""

    def __init__(self, path: str, *, debug: bool = True) -> None:
        self.path = path
        self._debug = debug
        self._symbols = [
            Symbol("_ZN3App3runEi", 0x1300, 0x401300, 16),
            Symbol("empty", 0x1400, 0x401400, 0),
            Symbol("main", 0x1100, 0x401100, 64),
            Symbol("readline", 0x1200, 0x401200, 32),
        ]

    def symbol(self, name):
        return next((s for s in self._symbols if s.name == name), None)

    def symbols(self, pattern):
        return [s for s in self._symbols if fnmatchcase(s.name, pattern)]

    def symbol_at(self, file_offset):
        return next((s for s in self._symbols if s.file_offset <= file_offset < s.file_offset + s.size), None)

    def offset_of_address(self, address):
        return address - 0x400000 if 0x401000 <= address < 0x402000 else None

    def usdt(self):
        arguments = (
            UsdtArgument("-4@%eax", 4, True, register="ax"),
            UsdtArgument("8@$5", 8, False, constant=5),
            UsdtArgument(
                "4@8(%rbp,%rcx,4)", 4, False, register="bp", is_memory=True, offset=8, index_register="cx", scale=4
            ),
            UsdtArgument("4@counter(%rip)", 4, False, is_memory=True, offset=0x404010),
            UsdtArgument("8@?", 8, False),
        )
        return [
            UsdtProbe("app", "start", 0x1110, 0x401110, 0x3000, arguments),
            UsdtProbe("app", "stop", 0x1120, 0x401120, 0, ()),
            UsdtProbe("lib", "start", 0x1130, 0x401130, 0, ()),
        ]

    def function_arguments(self, name):
        if not self._debug or name != "readline":
            return None
        parameters = (("prompt", CHAR_P), ("ratio", Float(8)), ("by_value", PAIR), ("length", INT32))
        return Function(CHAR_P, (*parameters, *((f"x{i}", INT64) for i in range(3))))

    def line_offsets(self, file, line, column=0):
        return [0x1108] if (file, line) == ("main.c", 12) else []

    def struct(self, kind, name):
        return None

    def demangled(self, pattern):
        return [s for s in self._symbols if s.name.startswith("_Z") and fnmatchcase("App::run", pattern)]

    def function_declarations(self, name):
        return ("const char* prompt", "char* retval") if name == "readline" else ()


class FakeTarget:
    """Answers from the tables above. `lacks` are features that are answered with False."""

    release, cpu_count, pid_namespace, has_btf = "6.18.0", 2, None, True
    paths = {
        "/bin/app": ["/bin/app"],
        "libapp": ["/lib/libapp.so.1"],
        "app": ["/usr/bin/app", "/bin/app"],
        "/bin/a*": ["/bin/a1", "/bin/a2"],
        "/etc/passwd": ["/etc/passwd"],
    }

    def __init__(self, *, arch: str = "x86_64", lacks: tuple[str, ...] = (), debug: bool = True) -> None:
        self.arch = arch_table(arch)
        self._lacks = lacks
        self._debug = debug

    def has(self, feature):
        return feature not in self._lacks

    def struct(self, kind, name):
        return STRUCTS.get(name) if kind == "struct" else None

    def enum(self, name):
        return Enum("pid_type", 4, False, (("PIDTYPE_PID", 0), ("PIDTYPE_TGID", 1))) if name == "pid_type" else None

    def enum_constant(self, name):
        return None

    def typedef(self, name):
        return None

    def _owned(self, module):
        return {"": {**MODULE_FUNCTIONS["nf_tables"], **FUNCTIONS}, "vmlinux": FUNCTIONS}.get(
            module, MODULE_FUNCTIONS.get(module, {})
        )

    def function(self, name, module=""):
        return self._owned(module).get(name)

    def functions(self, pattern, module=""):
        return sorted(name for name in self._owned(module) if fnmatchcase(name, pattern))

    def tracepoint(self, category, event):
        fields = TRACEPOINTS.get((category, event))
        return None if fields is None else TracepointFormat(category, event, 1, fields)

    def tracepoints(self, category, event):
        return sorted(key for key in TRACEPOINTS if fnmatchcase(key[0], category) and fnmatchcase(key[1], event))

    def raw_tracepoint(self, event):
        return RAW.get(event)

    def raw_tracepoints(self, pattern):
        return sorted(name for name in RAW if fnmatchcase(name, pattern))

    def iterators(self):
        return ITERATORS

    def ksym(self, name):
        return None

    def binary(self, path):
        if path == "/etc/passwd":
            raise FormatError(path, 0, "not an ELF file")
        return FakeBinary(path, debug=self._debug)

    def resolve_library(self, name, pid=None):
        return self.paths.get(name, [])

    def cgroup_id(self, path):
        return None


class ListingTarget(FakeTarget):
    """With the further facts for listings."""

    def modules(self):
        return ["vmlinux", "nf_tables", "nf_nat"]

    def function_modules(self, name):
        return [module for module in self.modules() if name in self._owned(module)]

    def function_declarations(self, name, module=""):
        if name != "vfs_read":
            return ()
        return ("struct file * file", "char * buf", "size_t count", "loff_t * pos", "ssize_t retval")

    def raw_tracepoint_declarations(self, event):
        return ("bool preempt", "struct task_struct * prev") if event == "sched_switch" else ()

    def type_names(self, pattern):
        return [name for name in ("enum pid_type", "struct outer", "struct sched_param") if fnmatchcase(name, pattern)]

    def bpf_functions(self):
        return [BpfFunction(7, "kprobe_f_1", 3), BpfFunction(8, "kprobe_f_1", 4), BpfFunction(8, "other", 5)]

    def mapped_files(self, pid):
        return ["/bin/app", "/lib/libapp.so.1"]


def written(text: str) -> AttachPoint:
    """The attach point of a plain text without quotes."""
    provider, *parts = text.split(":")
    return AttachPoint(Span(Source("stdin", text), 0, len(text)), provider, tuple(parts))


def expand(text: str, target: FakeTarget | None = None, **options):
    """(points, messages, hints) of an attach point."""
    found = Diagnostics()
    points = expand_attach_point(written(text), target or ListingTarget(), ProbeOptions(**options), found)
    return list(points), [item.message for item in found.items], [hint for item in found.items for hint in item.hints]


def points(text: str, target: FakeTarget | None = None, **options):
    """The points; no message may come."""
    found, messages, _ = expand(text, target, **options)
    assert messages == []
    return found


__all__ = ["FakeBinary", "FakeTarget", "ListingTarget", "Space", "expand", "points", "written"]
