"""Attaching loaded programs: one row per kind of attach point, and links that take many points at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from ...base.errors import InternalError, KloupeError, NotSupported
from ...bpf.program_types import ATTACH_TYPES
from ...host import bpf, bpf_link, perf, proc, tracefs
from ...host.fd import FdSet, OwnedFd
from ...host.release import close_behind, close_in_parallel
from ...image import AttachSpec, ProgramSpec
from ..protocol import AttachFailure
from .multi import MULTI_LINKS
from .programs import LoadedProgram
from .refusal import explain_refusal

_RUN_BY_HAND = frozenset({"begin", "end", "self", "test", "bench"})
_ON_EACH_CPU = frozenset({"profile", "software", "hardware", "watchpoint"})
_PERF_LINK = ATTACH_TYPES["perf_event"]


class Attachments:
    """Everything that is attached. `links` detach programs when closed; `events` are perf events, those in `slow_events` slow to close."""

    def __init__(self) -> None:
        self.links = FdSet()
        self.events = FdSet()
        self.slow_events = FdSet()
        self._iterators: list[tuple[int, AttachSpec]] = []
        self._pins: list[str] = []
        self._first_cpu = proc.online_cpus()[0]

    def attach(self, program: LoadedProgram) -> list[AttachFailure]:
        """Attach a program everywhere it says; gives the places that failed. Programs that are run by hand are left out."""
        link_many = MULTI_LINKS.get(program.spec.attach_type)
        if link_many is not None:
            return link_many(program, self.links)
        failures = []
        for spec in program.attach:
            if spec.kind in _RUN_BY_HAND:
                continue
            try:
                self._attach_one(program, spec)
            except OSError as error:
                explained = explain_refusal(error, f"attaching {spec.name}")
                failures.append(AttachFailure(spec, _reason(explained)))
            except KloupeError as error:
                failures.append(AttachFailure(spec, _reason(error)))
        return failures

    def _attach_one(self, program: LoadedProgram, spec: AttachSpec) -> None:
        attach = _KINDS.get(spec.kind)
        if attach is None:
            raise InternalError(f"unknown kind of attach point: {spec.kind}")
        attach(self, program, spec)

    def link_event(self, program_fd: int, event: int, cookie: int, slow: bool = False) -> None:
        """Own `event` and attach the program to it, by a link where the kernel has them (5.15)."""
        (self.slow_events if slow else self.events).add(event)
        try:
            self.links.add(bpf_link.link_perf_event(program_fd, event, _PERF_LINK, cookie))
        except OSError as error:
            if error.errno not in (22, 95):  # EINVAL, EOPNOTSUPP
                raise
            if cookie:
                raise NotSupported("attach cookies need links to perf events (kernel 5.15)") from error
            perf.set_program(event, program_fd)

    def each_cpu(self, program_fd: int, cookie: int, open_on: Callable[[int], int]) -> None:
        """Attach to an event on every CPU that is online."""
        for cpu in proc.online_cpus():
            self.link_event(program_fd, open_on(cpu), cookie)

    def first_cpu(self) -> int:
        """A CPU that is online, for events that count on one CPU."""
        return self._first_cpu

    def pin(self, fd: int, path: str) -> None:
        """Pin a link until detach."""
        bpf.pin_object(fd, path)
        self._pins.append(path)

    def iterate(self, link: int, spec: AttachSpec) -> None:
        """Let `run_iterators` run this link's program."""
        self._iterators.append((link, spec))

    def run_iterators(self, meanwhile: Callable[[], object]) -> list[AttachFailure]:
        """Run the iterator programs over all their objects, calling `meanwhile` until they are through (to empty the ring)."""
        iterators, self._iterators = self._iterators, []
        if not iterators:
            return []
        import threading

        failures: list[AttachFailure] = []
        for link, spec in iterators:
            reader = threading.Thread(target=_read_to_end, args=(link, spec, failures))
            reader.start()
            while reader.is_alive():
                meanwhile()
                reader.join(0.002)
        return failures

    def detach(self) -> None:
        """Detach all programs. What remains of tracepoint, kprobe and uprobe events may be cleared away behind us."""
        for path in self._pins:
            try:
                os.unlink(path)
            except OSError:
                continue
        self._pins.clear()
        close_in_parallel(self.links.take())
        self.events.close()
        close_behind(self.slow_events.take())


def files_needed(programs: Iterable[ProgramSpec]) -> int:
    """About how many descriptors the programs take: one for each load, and event and link for each place (and CPU)."""
    cpus = len(proc.online_cpus())
    total = 0
    for program in programs:
        for spec in program.attach:
            total += 2 * cpus if spec.kind in _ON_EACH_CPU else 3
    return total


def _reason(error: KloupeError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def _read_to_end(link_fd: int, spec: AttachSpec, failures: list[AttachFailure]) -> None:
    """Read an iterator: the program runs for each object; what it writes to the file is not used."""
    try:
        with OwnedFd(bpf_link.create_iterator(link_fd)) as iterator:
            while not _is_at_end(iterator.fileno()):
                pass
    except OSError as error:
        failures.append(AttachFailure(spec, _reason(explain_refusal(error, f"running {spec.name}"))))


def _is_at_end(fd: int) -> bool:
    try:
        return not os.read(fd, 1 << 16)
    except BlockingIOError:  # a million objects without output: the kernel takes a break
        return False


def _number(spec: AttachSpec, name: str, default: int = 0) -> int:
    return int(spec.params.get(name, default))


def _text(spec: AttachSpec, name: str) -> str:
    return str(spec.params.get(name, ""))


def _clock(spec: AttachSpec, cpu: int) -> int:
    return perf.open_clock(cpu, period_ns=_number(spec, "period_ns"), frequency=_number(spec, "frequency_hz"))


def _interval(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
    to.link_event(program.fd, _clock(spec, to.first_cpu()), spec.cookie)


def _profile(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
    to.each_cpu(program.fd, spec.cookie, lambda cpu: _clock(spec, cpu))


def _counter(kind: int) -> _Attach:
    def attach(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
        event, period = _number(spec, "event"), _number(spec, "period", 1)
        pid = _number(spec, "pid", -1)
        to.each_cpu(program.fd, spec.cookie, lambda cpu: perf.open_event(kind, event, cpu=cpu, pid=pid, period=period))

    return attach


def _tracepoint(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
    number = tracefs.tracepoint_id(_text(spec, "category"), _text(spec, "event"))
    to.link_event(program.fd, perf.open_tracepoint(number, to.first_cpu()), spec.cookie, slow=True)


def _raw_tracepoint(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
    name = "" if program.spec.type == "tracing" else _text(spec, "event")
    to.links.add(bpf_link.open_raw_tracepoint(program.fd, name, spec.cookie))


def _traced(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
    """tp_btf, fentry and fexit: the load has named the target."""
    if spec.cookie:
        to.links.add(bpf_link.link_tracing(program.fd, ATTACH_TYPES[program.spec.attach_type], spec.cookie))
    else:
        to.links.add(bpf_link.open_raw_tracepoint(program.fd))


def _kprobe(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
    module, function = _text(spec, "module"), _text(spec, "function")
    name = f"{module}:{function}" if module not in ("", "vmlinux") else function
    on_return = bool(spec.params.get("retval", False))
    event = perf.open_kprobe(name, _number(spec, "offset"), _number(spec, "address"), on_return, to.first_cpu())
    to.link_event(program.fd, event, spec.cookie, slow=True)


def _uprobe(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
    event = perf.open_uprobe(
        _text(spec, "path"),
        _number(spec, "offset"),
        bool(spec.params.get("retval", False)),
        _number(spec, "pid", -1),
        _number(spec, "ref_ctr_offset"),
        to.first_cpu(),
    )
    to.link_event(program.fd, event, spec.cookie, slow=True)


def _iterator(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
    link = to.links.add(bpf_link.link_iterator(program.fd, ATTACH_TYPES["trace_iter"]))
    path = _text(spec, "pin")
    if path:
        to.pin(link, path)
    else:
        to.iterate(link, spec)


def _watchpoint(to: Attachments, program: LoadedProgram, spec: AttachSpec) -> None:
    address, length, mode = _number(spec, "address"), _number(spec, "length", 8), _text(spec, "mode") or "rw"
    pid = _number(spec, "pid", -1)
    if pid <= 0:
        to.each_cpu(program.fd, spec.cookie, lambda cpu: perf.open_breakpoint(address, length, mode, cpu=cpu))
        return
    for thread in proc.threads(pid):
        to.link_event(program.fd, perf.open_breakpoint(address, length, mode, pid=thread), spec.cookie)


_Attach = Callable[[Attachments, LoadedProgram, AttachSpec], None]

_KINDS: dict[str, _Attach] = {
    "interval": _interval,
    "profile": _profile,
    "software": _counter(perf.TYPE_SOFTWARE),
    "hardware": _counter(perf.TYPE_HARDWARE),
    "tracepoint": _tracepoint,
    "rawtracepoint": _raw_tracepoint,
    "tp_btf": _traced,
    "fentry": _traced,
    "fexit": _traced,
    "kprobe": _kprobe,
    "kretprobe": _kprobe,
    "uprobe": _uprobe,
    "uretprobe": _uprobe,
    "iter": _iterator,
    "watchpoint": _watchpoint,
}
