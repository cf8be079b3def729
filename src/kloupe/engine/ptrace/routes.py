"""Which program runs at which event: made once from the Image."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from ...base.record import field, record
from ...image import AttachSpec, Image, ProgramSpec
from ..protocol import AttachFailure
from .facts import Facts
from .records import RecordLayout

FEEDS = frozenset({"tracepoint", "rawtracepoint", "tp_btf", "kprobe", "uprobe", "profile"})
PROCESS_EVENTS = {"sched_process_fork": "fork", "sched_process_exec": "exec", "sched_process_exit": "exit"}

_CALL, _CALL_FROM_HELPERS = 0x85, 0
HELPER_COMM, HELPER_UID_GID, HELPER_CPU, HELPER_TASK = (
    16,
    15,
    8,
    35,
)  # numbers of bpf_get_current_comm, ... in linux/bpf.h
HELPER_CGROUP = 80


@record(frozen=True)
class Hook:
    """A program at an event. `shape` says how its context is made ("record", "raw", "function"); `layout` of a record."""

    program: str
    spec: AttachSpec
    shape: str
    layout: RecordLayout | None
    width: int  # arguments that the record takes
    wants_stack: bool


@record
class Routes:
    """Hooks by event. `enter` and `exit` by the call's number; `every_enter` and `every_exit` for all calls."""

    enter: dict[int, list[Hook]] = field(default_factory=dict)
    exit: dict[int, list[Hook]] = field(default_factory=dict)
    every_enter: list[Hook] = field(default_factory=list)
    every_exit: list[Hook] = field(default_factory=list)
    fork: list[Hook] = field(default_factory=list)
    exec: list[Hook] = field(default_factory=list)
    process_exit: list[Hook] = field(default_factory=list)
    signal: list[Hook] = field(default_factory=list)
    profile: list[Hook] = field(default_factory=list)
    user: list[Hook] = field(default_factory=list)
    helpers: set[int] = field(default_factory=set)  # that any program calls

    @property
    def wants_calls(self) -> bool:
        """Whether any system call is wanted."""
        return bool(self.enter or self.exit or self.every_enter or self.every_exit)


class Router:
    """Sorts the attach points of an Image into Routes."""

    def __init__(self, image: Image, facts: Facts) -> None:
        self.routes = Routes()
        self.failures: list[AttachFailure] = []
        self._facts = facts
        for program in image.programs:
            if any(spec.kind in FEEDS for spec in program.attach):
                self.routes.helpers.update(called_helpers(program))
            wants_stack = any(r.name.startswith(".ustack") for r in program.relocations)
            for spec in program.attach:
                if spec.kind in FEEDS:
                    reason = self._ROWS[spec.kind](self, program, spec, wants_stack)
                    if reason:
                        self.failures.append(AttachFailure(spec, reason))

    # Each gives the reason why it cannot be, or "".

    def _tracepoint(self, program: ProgramSpec, spec: AttachSpec, wants_stack: bool) -> str:
        category, event = str(spec.params["category"]), str(spec.params["event"])
        fields = self._facts.fields(category, event)
        places = self._tracepoint_places(category, event)
        if fields is None or places is None:
            return _REFUSAL.format(f"tracepoint:{category}:{event}")
        own = [each for each in fields if not each.name.startswith("common_")]
        if category == "syscalls":  # texts that newer kernels add to the record are not known at the entry
            own = [each for each in own if not each.data_loc]
        hook = Hook(program.name, spec, "record", RecordLayout(own), len(own) - 1, wants_stack)
        places.append(hook)
        return ""

    def _tracepoint_places(self, category: str, event: str) -> list[Hook] | None:
        routes = self.routes
        side, _, call = event[4:].partition("_") if event.startswith("sys_") else ("", "", "")
        if category == "raw_syscalls":
            return routes.every_enter if side == "enter" else routes.every_exit
        if category == "syscalls":
            number = self._facts.numbers.get(call)
            table = routes.enter if side == "enter" else routes.exit
            return table.setdefault(number, []) if number is not None else None
        if category == "sched" and event in PROCESS_EVENTS:
            return {"fork": routes.fork, "exec": routes.exec, "exit": routes.process_exit}[PROCESS_EVENTS[event]]
        return routes.signal if (category, event) == ("signal", "signal_deliver") else None

    def _raw_tracepoint(self, program: ProgramSpec, spec: AttachSpec, wants_stack: bool) -> str:
        event = str(spec.params["event"])
        places = {"sys_enter": self.routes.every_enter, "sys_exit": self.routes.every_exit}.get(event)
        if places is None:
            return _REFUSAL.format(f"rawtracepoint:{event}")
        places.append(Hook(program.name, spec, "raw", None, 0, wants_stack))
        return ""

    def _function(self, program: ProgramSpec, spec: AttachSpec, wants_stack: bool) -> str:
        name, prefix = str(spec.params["function"]), self._facts.arch.syscall_prefix
        number = self._facts.numbers.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if number is None or spec.params["offset"]:
            return _REFUSAL.format(f"kprobe:{name}")
        table = self.routes.exit if spec.params["retval"] else self.routes.enter
        table.setdefault(number, []).append(Hook(program.name, spec, "function", None, 0, wants_stack))
        return ""

    def _user(self, program: ProgramSpec, spec: AttachSpec, wants_stack: bool) -> str:
        self.routes.user.append(Hook(program.name, spec, "registers", None, 0, wants_stack))
        return ""

    def _profile(self, program: ProgramSpec, spec: AttachSpec, wants_stack: bool) -> str:
        self.routes.profile.append(Hook(program.name, spec, "registers", None, 0, wants_stack))
        return ""

    _ROWS: dict[str, Callable[[Router, ProgramSpec, AttachSpec, bool], str]] = {
        "tracepoint": _tracepoint,
        "rawtracepoint": _raw_tracepoint,
        "tp_btf": _raw_tracepoint,
        "kprobe": _function,
        "uprobe": _user,
        "profile": _profile,
    }


_REFUSAL = (
    "the ptrace engine sees system calls, processes, signals and user-space functions only: {} needs the kernel engine"
)


def called_helpers(program: ProgramSpec) -> Iterator[int]:
    """The numbers of the kernel helpers that a program calls."""
    for opcode, registers, _, number in struct.iter_unpack("=BBhi", program.code):
        if opcode == _CALL and registers >> 4 == _CALL_FROM_HELPERS:
            yield number


def hook_period_ns(hook: Hook) -> int:
    """The time between two samples of a profile probe."""
    params = hook.spec.params
    if "frequency_hz" in params:
        return 1_000_000_000 // max(1, int(params["frequency_hz"]))
    return max(1, int(params["period_ns"]))
