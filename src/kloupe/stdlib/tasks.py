"""Builtins about the current task, CPU and time. Helpers are described in the kernel's uapi header linux/bpf.h."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import ctype as ct
from ..base.ctype import CType
from ..codegen.operand import Deferred, Mem, Operand, Scalar
from .table import Builtin, Function, constant_only, register

if TYPE_CHECKING:
    from ..codegen.lower import Lowerer
    from ..ir.ops import Reg
    from ..lang import nodes as n
    from ..sema.analyzer import Analyzer

COMM_BYTES = 16  # TASK_COMM_LEN
TASK_OF_PID = "bpf_task_from_pid"  # kernel/bpf/helpers.c: a reference to be given back with bpf_task_release()


def scalar_helper(name: str, t: CType, doc: str, helper: str, shift: int = 0, low: bool = False) -> Builtin:
    """A builtin that is a helper's result, or the upper or lower half of it."""

    def infer(an: Analyzer, node: n.Identifier) -> CType:
        return t

    def lower(lo: Lowerer, node: n.Identifier) -> Operand:
        value = lo.b.call(helper)
        if shift:
            value = lo.b.alu("rsh", value, shift)
        elif low:
            value = lo.b.extend(value, 4, False)
        return Scalar(value, t)

    return Builtin(name, str(t), doc, infer, lower)


def _ids(lo: Lowerer) -> Operand:
    """pid_tgid as this pid namespace sees it."""
    namespace = lo.target.pid_namespace
    if namespace is None or lo.target.has("get_ns_current_pid_tgid") is False:
        return Scalar(lo.task_fact("get_current_pid_tgid"), ct.UINT64)
    device, inode = namespace
    slot = lo.b.slot(8)
    lo.b.store(slot, 0, 8, 0)
    lo.b.call("get_ns_current_pid_tgid", device, inode, lo.b.address(slot), 8)
    # struct bpf_pidns_info {u32 pid; u32 tgid}: the same halves as the other helper's result on little-endian machines
    return Scalar(lo.b.load(slot, 0, 8), ct.UINT64)


def current_pid(lo: Lowerer) -> Reg:
    """The process id of the current task in this pid namespace."""
    return lo.b.alu("rsh", lo.as_scalar(_ids(lo)), 32)


def _wanted_ids(lo: Lowerer, node: n.Expr) -> Operand:
    """pid_tgid in the namespace that a call names (`init`), or in this one."""
    if _namespace_of(node) == "init":
        return Scalar(lo.task_fact("get_current_pid_tgid"), ct.UINT64)
    return _ids(lo)


def _pid(lo: Lowerer, node: n.Expr) -> Operand:
    return Scalar(lo.b.alu("rsh", lo.as_scalar(_wanted_ids(lo, node)), 32), ct.UINT32)


def _tid(lo: Lowerer, node: n.Expr) -> Operand:
    return Scalar(lo.b.extend(lo.reg(lo.as_scalar(_wanted_ids(lo, node))), 4, False), ct.UINT32)


def _namespace_of(node: n.Expr) -> str | None:
    """The namespace that `pid(...)` or `tid(...)` names; "" without an argument."""
    argument = next(iter(getattr(node, "arguments", ())), None)
    return "" if argument is None else getattr(argument, "name", None)


def _id_infer(an: Analyzer, node: n.Call) -> CType:
    if _namespace_of(node) not in ("", "curr_ns", "init"):
        return an.error(node.span, f"{node.name}() only supports curr_ns and init as the argument")
    return ct.UINT32


def _typed(t: CType):  # type: ignore[no-untyped-def]
    return lambda an, node: t


def _comm(lo: Lowerer, node: n.Identifier) -> Operand:
    def into(target: Mem, clean: bool) -> None:
        lo.b.call("get_current_comm", lo.pointer(target), COMM_BYTES)

    return Deferred(ct.String(COMM_BYTES), into)


def _username(lo: Lowerer, node: n.Identifier) -> Operand:
    uid = lo.b.extend(lo.task_fact("get_current_uid_gid"), 4, False)
    return _opaque(lo, ct.USERNAME, uid)


def _opaque(lo: Lowerer, t: ct.Opaque, value: object) -> Operand:
    from ..ir.ops import Reg

    assert isinstance(value, (Reg, int))

    def into(target: Mem, clean: bool) -> None:
        lo.b.store(target.base, target.offset, 8, value)

    return Deferred(t, into)


def _cpid_infer(an: Analyzer, node: n.Identifier) -> CType:
    an.set_const(node, an.options.child_pid)
    if not an.options.child_pid:
        an.warning(node.span, "No child command (`-c`); cpid is zero")
    return ct.UINT32


def _not_lowered(lo: Lowerer, node: n.Identifier) -> Operand:
    raise AssertionError("a constant needs no code")


def _curtask_infer(an: Analyzer, node: n.Identifier) -> CType:
    task = an.c_types.structs.get(("struct", "task_struct")) or an.target.struct("struct", "task_struct")
    return ct.Pointer(task, ct.Space.KERNEL) if task is not None else ct.UINT64


def _curtask(lo: Lowerer, node: n.Identifier) -> Operand:
    return Scalar(lo.b.call("get_current_task"), lo.type(node))


def _task_field(lo: Lowerer, path: tuple[str, ...]) -> Mem:
    """A field of the current task, followed through pointers by BTF."""
    task = lo.target.struct("struct", "task_struct")
    assert task is not None
    place = Mem(lo.b.call("get_current_task"), 0, task, ct.Space.KERNEL)
    for name in path:
        owner = place.type
        if isinstance(owner, ct.Pointer):
            place = Mem(lo.reg(lo.as_scalar(place)), 0, owner.target, ct.Space.KERNEL)
            owner = place.type
        assert isinstance(owner, ct.Struct)
        member = owner.field(name)
        assert member is not None
        place = place.at(member.offset, member.type)
    return place


def _needs_task(an: Analyzer, node: n.Identifier) -> bool:
    if an.target.struct("struct", "task_struct") is not None:
        return True
    an.error(node.span, f"{node.name} needs the kernel's type information (BTF)", hints=("See `kloupe doctor`.",))
    return False


def _ppid_infer(an: Analyzer, node: n.Identifier) -> CType:
    return ct.UINT32 if _needs_task(an, node) else ct.NONE


def _ppid(lo: Lowerer, node: n.Identifier) -> Operand:
    value = lo.as_scalar(_task_field(lo, ("real_parent", "tgid")))
    return Scalar(value, ct.UINT32)


def _pcomm_infer(an: Analyzer, node: n.Identifier) -> CType:
    return ct.String(COMM_BYTES) if _needs_task(an, node) else ct.NONE


def _pcomm(lo: Lowerer, node: n.Identifier) -> Operand:
    place = _task_field(lo, ("real_parent", "comm"))
    return Mem(place.base, place.offset, ct.String(COMM_BYTES), ct.Space.KERNEL)


# begin and end run in the tracer; where a kernel function is entered or left there is no doubt either.
_KNOWN_MODES = {"begin": 1, "end": 1, **dict.fromkeys(("fentry", "fexit", "kprobe", "kretprobe"), 0)}


def _usermode_infer(an: Analyzer, node: n.Identifier) -> CType:
    known = _KNOWN_MODES.get(an.unit.kind)
    if known is not None:
        an.set_const(node, known)
        return ct.UINT8
    if not an.unit.context.registers:
        return an.error(node.span, f"The usermode builtin can not be used with '{an.unit.kind}' probes")
    if an.target.arch.name != "x86_64":
        return an.error(node.span, "usermode is only known on x86_64")
    return ct.UINT8


def _usermode(lo: Lowerer, node: n.Identifier) -> Operand:
    from ..codegen.lower_probe import register_value

    # The low two bits of CS are the privilege level (Intel SDM vol. 3, 5.5); 3 is user mode.
    level = lo.b.alu("and", register_value(lo, "cs"), 3)
    result = lo.b.const(0)
    with lo.when("eq", level, 3):
        lo.b.move(result, 1)
    return Scalar(result, ct.UINT8)


def _ncpus_infer(an: Analyzer, node: n.Identifier) -> CType:
    an.set_const(node, an.target.cpu_count)
    return ct.UINT64


def _jiffies_infer(an: Analyzer, node: n.Identifier) -> CType:
    if an.target.has("jiffies64") is False:
        return an.error(node.span, "jiffies needs the helper bpf_jiffies64 (Linux 5.9)")
    return ct.UINT64


register(
    Builtin("pid", "uint32", "Process id (thread group id).", _typed(ct.UINT32), _pid),
    Builtin("tid", "uint32", "Thread id.", _typed(ct.UINT32), _tid),
    scalar_helper("uid", ct.UINT64, "User id.", "get_current_uid_gid", low=True),
    scalar_helper("gid", ct.UINT64, "Group id.", "get_current_uid_gid", shift=32),
    scalar_helper("cpu", ct.UINT64, "The CPU the program runs on.", "get_smp_processor_id"),
    scalar_helper("numaid", ct.UINT64, "The NUMA node the program runs on.", "get_numa_node_id"),
    scalar_helper("rand", ct.UINT64, "A random 32-bit number.", "get_prandom_u32", low=True),
    scalar_helper("cgroup", ct.UINT64, "The cgroup v2 id of the current task.", "get_current_cgroup_id"),
    Builtin(
        "jiffies",
        "uint64",
        "The kernel's tick counter.",
        _jiffies_infer,
        lambda lo, node: Scalar(lo.b.call("jiffies64"), ct.UINT64),
    ),
    Builtin("comm", "string[16]", "Name of the current thread.", _typed(ct.String(COMM_BYTES)), _comm),
    Builtin("username", "username_t", "Name of the current user.", _typed(ct.USERNAME), _username),
    Builtin("cpid", "uint32", "Process id of the -c child.", _cpid_infer, _not_lowered),
    Builtin("curtask", "struct task_struct *", "The current task.", _curtask_infer, _curtask),
    Builtin("ppid", "uint32", "Process id of the parent.", _ppid_infer, _ppid),
    Builtin("pcomm", "string[16]", "Name of the parent process.", _pcomm_infer, _pcomm),
    Builtin("usermode", "uint8", "1 when the interrupted code ran in user mode.", _usermode_infer, _usermode),
    Builtin("ncpus", "uint64", "Number of possible CPUs.", _ncpus_infer, _not_lowered),
)


# -- functions --------------------------------------------------------------------------------------------------


_HAS_CPID_DOC = "Whether -c started a child."


def _has_cpid(an: Analyzer, node: n.Expr) -> CType:
    an.set_const(node, an.options.child_pid != 0)
    return ct.BOOL


def _comm_of_infer(an: Analyzer, node: n.Call) -> CType:
    if an.unit.points[0].program_type != "tracing":
        return an.error(node.span, f"Syntax comm(PID) is not supported in this probe type yet. Type: {an.unit.kind}")
    if an.target.has(f"kfunc:{TASK_OF_PID}") is False:
        return an.error(node.span, f"comm(PID) needs the kernel function {TASK_OF_PID} (Linux 6.2)")
    return ct.String(COMM_BYTES)


def _comm_of(lo: Lowerer, node: n.Call) -> Operand:
    from ..codegen.memory import read_string, zero

    struct = lo.target.struct("struct", "task_struct")
    member = struct.field("comm") if struct is not None else None
    assert member is not None
    place = lo.temporary(ct.String(COMM_BYTES))
    zero(lo, place, COMM_BYTES)
    task = lo.b.call_kfunc(TASK_OF_PID, lo.scalar(node.arguments[0]))  # type: ignore[arg-type]
    with lo.when("ne", task, 0):
        read_string(lo, place, COMM_BYTES, lo.b.alu("add", task, member.offset), ct.Space.KERNEL)
        lo.b.call_kfunc("bpf_task_release", task)
    return place


register(
    Function("has_cpid", "bool has_cpid()", _HAS_CPID_DOC, (), 0, _has_cpid),
    Builtin("has_cpid", "bool", _HAS_CPID_DOC, _has_cpid, constant_only),
    Function(
        "comm",
        "string comm(uint32 pid)",
        "Name of a process; empty when there is none.",
        ("int",),
        1,
        _comm_of_infer,
        _comm_of,
    ),
    *(
        Function(
            name,
            f"uint32 {name}([curr_ns | init])",
            f"The {what} id in a pid namespace.",
            ("lazy",),
            0,
            _id_infer,
            lower,
        )
        for name, what, lower in (("pid", "process", _pid), ("tid", "thread", _tid))
    ),
)
