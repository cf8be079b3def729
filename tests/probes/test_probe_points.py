"""Every kind: names, programs, attach points and the values of the context."""

import pytest
from probe_fakes import FILE, PAIR, FakeTarget, ListingTarget, expand, points, written

from kloupe.base.ctype import INT32, INT64, UINT64, Pointer, Space
from kloupe.base.diag import Diagnostics
from kloupe.base.place import BtfArgument, Constant, ContextField, DataLoc, Memory, PtRegsField, Register, StackArgument
from kloupe.base.source import NOWHERE
from kloupe.lang.nodes import Probe
from kloupe.probes import KINDS, TaskFlags, check_attach_points
from kloupe.probes.table import KERNEL_LISTED, MODULES, USER_LISTED


def test_the_table_agrees_with_the_modules():
    for names in MODULES.values():
        for name in names:
            assert KINDS[name].names == names
    assert (
        tuple(n for n in sorted(set(KINDS)) if KINDS[n].names[0] == n and KINDS[n].listed == "kernel") == KERNEL_LISTED
    )
    assert tuple(n for n in sorted(set(KINDS)) if KINDS[n].names[0] == n and KINDS[n].listed == "user") == USER_LISTED


def test_spellings():
    assert KINDS["U"].names[0] == "usdt" and KINDS["u"].names[0] == "uprobe"
    assert KINDS["BEGIN"].names[0] == "begin" and "Kprobe" in KINDS and "nosuch" not in KINDS


@pytest.mark.parametrize(
    ("text", "name", "program", "params"),
    [
        ("begin", "begin", "raw_tracepoint", {}),
        ("END", "end", "raw_tracepoint", {}),
        ("begin:*", "begin", "raw_tracepoint", {}),
        ("self:signal:SIGUSR1", "self:signal:SIGUSR1", "raw_tracepoint", {"signal": "SIGUSR1"}),
        ("test:t", "test:t", "raw_tracepoint", {"name": "t"}),
        ("bench:b", "bench:b", "raw_tracepoint", {"name": "b"}),
        ("i:ms:5", "interval:ms:5", "perf_event", {"period_ns": 5_000_000}),
        ("interval:10ms", "interval:us:10000", "perf_event", {"period_ns": 10_000_000}),
        ("interval:hz:1e3", "interval:hz:1000", "perf_event", {"period_ns": 1_000_000}),
        ("p:hz:99", "profile:hz:99", "perf_event", {"frequency_hz": 99}),
        ("profile:1s", "profile:us:1000000", "perf_event", {"period_ns": 1_000_000_000}),
        ("s:faults", "software:faults", "perf_event", {"event": 2, "period": 100}),
        ("software:cpu:", "software:cpu", "perf_event", {"event": 0, "period": 1_000_000}),
        ("h:cache-misses:1e6", "hardware:cache-misses:1000000", "perf_event", {"event": 3, "period": 1_000_000}),
        ("w:0x10:8:wr", "watchpoint:16:8:rw", "perf_event", {"address": 16, "length": 8, "mode": "rw", "pid": -1}),
        ("it:task:/sys/fs/bpf/x", "iter:task", "tracing", {"object": "task", "pin": "/sys/fs/bpf/x"}),
    ],
)
def test_simple_kinds(text, name, program, params):
    (point,) = points(text)
    assert (point.name, point.attach.name, point.program_type, dict(point.attach.params)) == (
        name,
        name,
        program,
        params,
    )
    assert not point.context.has_args and "The args builtin can only be used with" in point.context.args_error


def test_registers_are_at_hand_where_code_was_interrupted():
    has = {
        text: points(text)[0].context.registers
        for text in ("i:s:1", "p:hz:9", "s:cs", "h:cycles", "w:1:1:w", "k:vfs_read", "begin")
    }
    assert has == {
        "i:s:1": False,
        "p:hz:9": True,
        "s:cs": True,
        "h:cycles": True,
        "w:1:1:w": True,
        "k:vfs_read": True,
        "begin": False,
    }


def test_tracepoint_fields():
    (point,) = points("t:sched:sched_process_exec")
    assert point.context.space is Space.KERNEL and point.function is None and point.dispatch is None
    assert [(v.name, v.type, v.place) for v in point.context.args] == [
        ("filename", INT64, DataLoc(8)),
        ("pid", INT32, ContextField(12, 4, signed=True)),
    ]
    assert [p.name for p in points("t:*sched_s*")] == ["tracepoint:sched:sched_switch"]


def test_tracepoints_of_one_layout_share_a_signature():
    first, second = points("t:syscalls:sys_enter_o*")[0], points("t:syscalls:sys_enter_openat")[0]
    other = points("t:syscalls:sys_enter_newfstat")[0]
    assert first.context.signature == second.context.signature != other.context.signature
    untyped = [
        points(t, typed_args=False)[0].context for t in ("t:syscalls:sys_enter_openat", "t:syscalls:sys_enter_newfstat")
    ]
    assert untyped[0].signature == untyped[1].signature and untyped[0].args == ()


def test_system_calls_can_be_dispatched():
    entered = {p.name.rpartition(":")[2]: p for p in points("t:syscalls:*")}
    openat = entered["sys_enter_openat"]
    assert openat.context.space is Space.USER
    dispatch = openat.dispatch
    assert (dispatch.value, dispatch.selector, dispatch.selector_bytes) == (257, BtfArgument(1), 4)
    assert dispatch.unless == TaskFlags(24, 4, 2)
    assert (dispatch.program_type, dispatch.attach_type, dispatch.attach.kind) == ("tracing", "trace_raw_tp", "tp_btf")
    assert dict(dispatch.attach.params) == {"event": "sys_enter"}
    plain, served = openat.context, dispatch.context
    assert [(v.name, v.type) for v in plain.args] == [(v.name, v.type) for v in served.args]
    assert served.arg("__syscall_nr").place == BtfArgument(1)
    assert [served.arg(n).place for n in ("dfd", "filename", "flags", "mode")] == [
        PtRegsField(0, at) for at in (112, 104, 96, 56)
    ]
    fstat = entered["sys_enter_newfstat"].dispatch
    assert fstat.value == 5 and fstat.group == dispatch.group
    left = entered["sys_exit_openat"].dispatch
    assert left.group != dispatch.group and left.selector == PtRegsField(0, 120, 4, signed=True)
    assert left.context.arg("ret").place == BtfArgument(1) and left.context.arg("ret").type == INT64
    assert entered["sys_enter_unheard_of"].dispatch is None


def test_dispatch_without_typed_raw_tracepoints():
    (point,) = points("t:syscalls:sys_exit_openat", FakeTarget(lacks=("tp_btf",)))
    assert (point.dispatch.program_type, point.dispatch.attach_type, point.dispatch.attach.kind) == (
        "raw_tracepoint",
        "",
        "rawtracepoint",
    )


def test_rawtracepoint():
    (point,) = points("rt:sched_switch")
    assert (point.name, point.attach.kind, point.attach_type) == (
        "rawtracepoint:vmlinux:sched_switch",
        "tp_btf",
        "trace_raw_tp",
    )
    assert [(v.name, v.place) for v in point.context.args] == [("preempt", BtfArgument(0)), ("prev", BtfArgument(1))]
    assert point.context.numbered(1).type == UINT64 and point.context.numbered(2) is None
    (plain,) = points("rt:vmlinu*:sched_switch", FakeTarget(lacks=("tp_btf",)))
    assert (plain.program_type, plain.attach_type, plain.attach.kind) == ("raw_tracepoint", "", "rawtracepoint")


def test_kprobe():
    (point,) = points("k:vfs_read")
    assert (point.name, point.program_type, point.attach_type, point.function) == (
        "kprobe:vfs_read",
        "kprobe",
        "",
        "vfs_read",
    )
    assert dict(point.attach.params) == {
        "function": "vfs_read",
        "module": "",
        "offset": 0,
        "address": 0,
        "retval": False,
    }
    assert point.context.numbered(0).place == Register(112) and point.context.numbered(6) is None
    assert point.context.retval is None
    (point,) = points("k:nf_tables:nf_newtable+0x4")
    assert point.name == "kprobe:nf_tables:nf_newtable+4" and point.attach.params["offset"] == 4
    (point,) = points("k:0x1000", unsafe=True)
    assert point.name == "kprobe:4096" and point.attach.params["address"] == 4096 and point.function == ""


def test_kretprobe():
    (point,) = points("kr:vfs_read", FakeTarget(arch="aarch64"))
    assert point.attach.kind == "kprobe" and point.attach.params["retval"] is True
    assert point.context.retval.place == Register(0) and point.context.numbered(0) is None


def test_wildcards_over_functions_share_a_link():
    found = points("k:vfs_r*")
    assert [p.name for p in found] == ["kprobe:vfs_read", "kprobe:vfs_readv"]
    assert {p.attach_type for p in found} == {"kprobe_multi"}
    assert len({p.context.signature for p in found}) == 1
    assert {p.attach_type for p in points("k:vfs_r*", FakeTarget(lacks=("kprobe_multi",)))} == {""}
    assert {p.attach_type for p in points("k:vmlinu*:vfs_r*")} == {""}
    assert [p.name for p in points("k*:vfs_readv")] == ["kprobe:vfs_readv"]


def test_what_brings_kernels_down_is_left_out():
    assert points("k:rcu_n*") == [] and points("f:rcu_n*") == []
    found, messages, _ = expand("k:rcu_note", None, unsafe=True)
    assert [p.name for p in found] == ["kprobe:rcu_note"] and "not traceable" in messages[0]


def test_kprobes_by_trampoline_where_the_kernel_has_none():
    target = FakeTarget(lacks=("kprobe",))
    (entry,), (leave,) = points("k:vfs_read", target), points("kr:vfs_read", target)
    assert (entry.kind, entry.name, entry.attach.kind, entry.attach_type) == (
        "kprobe",
        "kprobe:vfs_read",
        "fentry",
        "trace_fentry",
    )
    assert entry.context.numbered(3).place == BtfArgument(3) and entry.context.numbered(4) is None
    assert leave.attach.kind == "fexit" and leave.context.retval.place == BtfArgument(4)
    assert not entry.context.registers
    assert points("k:vfs_read+4", target)[0].attach.kind == "kprobe"


def test_fentry_and_fexit_of_loaded_programs():
    target = ListingTarget()
    found = points("f:bpf:kprobe*", target)
    assert [p.name for p in found] == ["fentry:bpf:7:kprobe_f_1", "fentry:bpf:8:kprobe_f_1"]
    assert [p.attach.params["type_id"] for p in found] == [3, 4]
    assert len({p.context.signature for p in found}) == 1 and not found[0].context.has_args
    (point,) = points("fexit:bpf:8:other", target)
    assert (point.name, point.attach_type) == ("fexit:bpf:8:other", "trace_fexit")
    assert expand("f:bpf:nosuch", target)[1] == ["No matches for fentry bpf:nosuch."]
    assert expand("f:bpf:7:other", target)[0] == []


def test_fentry():
    (point,) = points("f:vfs_read")
    assert (point.name, point.program_type, point.attach_type) == ("fentry:vmlinux:vfs_read", "tracing", "trace_fentry")
    assert point.attach.params == {"function": "vfs_read", "module": "vmlinux"}
    assert [(v.name, v.place) for v in point.context.args][:2] == [("file", BtfArgument(0)), ("buf", BtfArgument(1))]
    assert point.context.args[0].type == Pointer(FILE) and point.context.retval is None
    assert points("kfunc:nf_newtable")[0].name == "fentry:nf_tables:nf_newtable"
    assert [p.name for p in points("f:vfs_*")] == [
        *(f"fentry:vmlinux:vfs_{n}" for n in ("read", "readv", "write")),
    ]
    assert [p.name for p in points("f:takes_*")] == ["fentry:vmlinux:takes_pair"]


def test_fexit_finds_its_result_behind_the_arguments():
    (point,) = points("fr:takes_pair")
    assert [(v.name, v.place) for v in point.context.args] == [
        ("cmd", BtfArgument(0)),
        ("both", ContextField(8, PAIR.size)),
        ("size", BtfArgument(3)),
    ]
    assert (point.context.retval.type, point.context.retval.place) == (INT32, BtfArgument(4))
    (point,) = points("fexit:nothing")
    assert point.context.retval is None and point.context.args_error == "Cannot read function parameters"


def test_uprobe():
    (point,) = points("u:libapp:readline")
    assert (point.name, point.program_type, point.function) == (
        "uprobe:/lib/libapp.so.1:readline",
        "kprobe",
        "readline",
    )
    assert (
        point.context.space is Space.USER
        and point.attach.params["offset"] == 0x1200
        and point.attach.params["pid"] == -1
    )
    assert [(v.name, v.place) for v in point.context.args] == [
        ("prompt", Register(112, 8)),  # ratio is in a vector register, by_value in si and dx
        ("length", Register(88, 4)),
        ("x0", Register(72, 8)),
        ("x1", Register(64, 8)),
        ("x2", StackArgument(8, user=True)),
    ]
    (point,) = points("u:/bin/app:main+4", pid=7)
    assert (
        point.name == "uprobe:/bin/app:main+4"
        and point.attach.params["offset"] == 0x1104
        and point.attach.params["pid"] == 7
    )
    assert not point.context.has_args
    (point,) = points("ur:/bin/app:readline")
    assert point.attach.params["retval"] is True and point.context.retval.place == Register(80)


def test_uprobe_without_debug_information():
    (point,) = points("u:/bin/app:readline", FakeTarget(debug=False))
    assert (
        point.context.args_error
        == 'Could not parse arguments of "uprobe:/bin/app:readline": no debuginfo found for /bin/app'
    )
    assert point.context.numbered(1).place == Register(104)


def test_uprobe_by_address_line_and_cpp_name():
    (point,) = points(f"u:/bin/app:{0x401104}")
    assert (
        point.name == f"uprobe:/bin/app:{0x401104}"
        and point.attach.params["offset"] == 0x1104
        and point.function == "main"
    )
    for text in ("u:/bin/app@main.c:12", "u:/bin/app:@:main.c:12"):
        (point,) = points(text)
        assert point.name == f"uprobe:/bin/app:{0x401108}" and point.attach.params["offset"] == 0x1108
    assert [p.name for p in points("u:/bin/app:cpp:App*")] == ["uprobe:/bin/app:cpp:_ZN3App3runEi"]
    assert points("u:main", child_path="/bin/app")[0].name == "uprobe:/bin/app:main"


def test_an_offset_in_a_file_that_is_no_elf_file():
    found, messages, _ = expand("u:/etc/passwd:0x10", unsafe=True)
    assert [p.attach.params["offset"] for p in found] == [16] and "instruction boundary" in messages[0]
    assert expand("u:/etc/passwd:main", unsafe=True)[0] == [] and expand("u:/etc/passwd:0x10")[0] == []


def test_uprobe_wildcards():
    found = points("u:/bin/a*:ma*")
    assert [p.name for p in found] == ["uprobe:/bin/a1:main", "uprobe:/bin/a2:main"]
    assert {p.attach_type for p in found} == {"uprobe_multi"}
    assert {p.kind for p in points("u*:/bin/app:main")} == {"uprobe"}


def test_usdt():
    found = points("usdt:/bin/app:start")
    assert [p.name for p in found] == ["usdt:/bin/app:app:start", "usdt:/bin/app:lib:start"]
    point = found[0]
    assert point.attach.kind == "uprobe" and point.attach.params["ref_ctr_offset"] == 0x3000 and point.function is None
    places = [point.context.numbered(i) and point.context.numbered(i).place for i in range(6)]
    assert places == [
        Register(80, 4, signed=True),
        Constant(5),
        Memory(Register(32), 8, 4, False, Register(88), 4),
        Memory(Register(128), 0x404010 - 0x401110, 4),
        None,
        None,
    ]
    assert [p.name for p in points("U:/bin/app:lib:*")] == ["usdt:/bin/app:lib:start"]
    assert len(points("usdt:*:stop")) == 2
    assert len(points("usdt::stop", pid=7)) == 2


def test_iterator_context():
    (point,) = points("iter:task")
    assert str(point.context.type) == "struct bpf_iter__task *" and point.attach_type == "trace_iter"
    assert point.context.type.target.field("task").offset == 8


def test_wild_provider_leaves_out_kinds_that_do_not_fit():
    assert [p.kind for p in points("*:vfs_read", ListingTarget())] == ["fentry", "kprobe"]


def test_checks_over_the_script():
    def probe(*texts):
        return Probe(NOWHERE, tuple(written(text) for text in texts), None, ())

    found = Diagnostics()
    check_attach_points(
        [probe("test:a"), probe("test:b", "test:a"), probe("iter:task", "iter:task"), probe("bench:a")], found
    )
    assert [item.message for item in found.items] == [
        '"a" was used as the name for more than one TEST probe',
        "iter probe only supports one attach point.",
    ]
    assert found.items[0].notes[0].message == "this is the other instance"
