"""The kernel engine on this machine's kernel, with small programs written by hand."""

import errno
import gc
import mmap
import os
import random
import struct
import subprocess
import sys
import time
from collections import Counter

import pytest
from kernel_programs import HITS, LOST, PLACE, RING, cookies, image, program, recording, returning

from kloupe.base.errors import InternalError, PermissionNeeded, TargetError, VerifierError
from kloupe.base.record import replace
from kloupe.bpf.insn import Instruction, encode_program, load_imm64
from kloupe.engine.kernel import KernelEngine, missed_runs, program_stats
from kloupe.engine.kernel import programs as programs_module
from kloupe.host import bpf, bpf_map, proc, tracefs
from kloupe.host.fd import open_files
from kloupe.image import AttachSpec, FunctionInfo, MapSpec, Relocation

pytestmark = pytest.mark.skipif(
    bpf.can_load(17, returning(0)) is not True, reason="needs a kernel that lets this user load programs"
)

ME = os.getpid()
BEGIN = (AttachSpec("begin", "begin"),)


@pytest.fixture(autouse=True)
def no_leak():
    """Every test leaves the descriptors as they were (tracefs itself is kept open for the process)."""
    tracefs.ensure_tracefs()
    gc.collect()  # what tests before this one in the process left to the collector
    before = open_files()
    yield
    assert open_files() == before


def begin(code, relocations=(), name="begin"):
    return program(name, "raw_tracepoint", code, BEGIN, relocations)


def attached(kind, spec, event_id=1, attach_type="", pid=ME, cookie=True):
    code, relocations = recording(event_id, cookie=cookie, pid=pid)
    return program(spec.kind, kind, code, (spec,), relocations, attach_type)


def run(engine, *programs, maps=(RING,)):
    engine.load(image(*programs, maps=maps))
    failures = engine.attach()
    assert failures == []


# -- running by hand -------------------------------------------------------------------------------------------


def test_run_once_gives_the_result():
    spec = begin(returning(42))
    with KernelEngine() as engine:
        engine.load(image(spec))
        assert engine.run_once(spec) == 42
        assert engine.poll(0) == []


def test_records_reach_poll():
    first, second = begin(*recording(3), name="one"), begin(*recording(4), name="two")
    with KernelEngine() as engine:
        engine.load(image(first, second))
        for spec in (first, second, first):
            engine.run_once(spec)
        assert cookies(engine.poll(0)) == [(3, 0), (4, 0), (3, 0)]
        assert engine.poll(0) == []
        assert engine.fileno() >= 0


def test_poll_waits_no_longer_than_told():
    with KernelEngine() as engine:
        engine.load(image(begin(returning(0))))
        start = time.monotonic()
        assert engine.poll(30) == []
        assert time.monotonic() - start > 0.02


def test_poll_without_a_ring_waits_too():
    with KernelEngine() as engine:
        engine.load(image(begin(returning(0)), maps=()))
        assert engine.fileno() == -1
        assert engine.poll(5) == []


def test_the_ring_wraps_and_loses_nothing():
    spec = begin(*recording(1))
    with KernelEngine() as engine:
        engine.load(image(spec, maps=(replace(RING, max_entries=4096),)))
        seen = 0
        for _ in range(20):
            for _ in range(150):
                engine.run_once(spec)
            seen += len(engine.poll(0))
        assert seen == 3000


def test_run_timed_and_stats():
    spec = begin(returning(0))
    with KernelEngine() as engine:
        engine.load(image(spec))
        assert 0 < engine.run_timed(spec, 200) < 100_000
        count, spent = program_stats(engine)["begin"]
        assert count == 200
        assert spent > 0
        assert missed_runs(engine) == {}


# -- attaching -------------------------------------------------------------------------------------------------

TRIGGERS = {
    "tracepoint": (
        "tracepoint",
        "",
        AttachSpec("tracepoint", "t", {"category": "syscalls", "event": "sys_enter_getppid"}, 11),
    ),
    "rawtracepoint": ("raw_tracepoint", "", AttachSpec("rawtracepoint", "r", {"event": "sys_enter"}, 12)),
    "tp_btf": ("tracing", "trace_raw_tp", AttachSpec("tp_btf", "b", {"event": "sys_enter"}, 13)),
    "interval": ("perf_event", "", AttachSpec("interval", "i", {"period_ns": 1_000_000}, 14)),
    "profile": ("perf_event", "", AttachSpec("profile", "p", {"frequency_hz": 999}, 15)),
    "software": ("perf_event", "", AttachSpec("software", "s", {"event": 2, "period": 1}, 16)),
}


@pytest.mark.parametrize("kind", TRIGGERS)
def test_attached_programs_run_with_their_cookie(kind):
    program_type, attach_type, spec = TRIGGERS[kind]
    with KernelEngine() as engine:
        run(engine, attached(program_type, spec, attach_type=attach_type, pid=0 if kind == "interval" else ME))
        end = time.monotonic() + 2
        seen = []
        while not seen and time.monotonic() < end:
            os.getppid()
            mmap.mmap(-1, 1 << 20).write(bytes(1 << 20))  # page faults, and time on the CPU
            seen = cookies(engine.poll(1))
        assert set(seen) == {(1, spec.cookie)}


def test_begin_is_not_attached():
    with KernelEngine() as engine:
        run(engine, begin(*recording(1)))
        assert engine.poll(0) == []


def test_an_iterator_runs_once_over_all_tasks():
    spec = AttachSpec("iter", "iter:task", {"object": "task"})
    with KernelEngine() as engine:
        run(engine, attached("tracing", spec, attach_type="trace_iter", pid=0, cookie=False))
        tasks = len(engine.poll(0))
    assert tasks >= len([name for name in os.listdir("/proc") if name.isdigit()]) // 2


def test_detach_stops_programs_but_keeps_maps_and_hand_runs():
    spec = begin(*recording(9))
    _, _, tracepoint = TRIGGERS["tracepoint"]
    with KernelEngine() as engine:
        run(engine, attached("tracepoint", tracepoint), spec)
        os.getppid()
        assert cookies(engine.poll(100)) == [(1, 11)]
        engine.detach()
        os.getppid()
        engine.run_once(spec)
        assert cookies(engine.poll(0)) == [(9, 0)]
        engine.detach()


def test_a_failure_names_the_place_and_the_rest_goes_on():
    good = TRIGGERS["tracepoint"][2]
    bad = AttachSpec("tracepoint", "tracepoint:no:such", {"category": "no", "event": "such"})
    worse = AttachSpec("rawtracepoint", "rawtracepoint:nosuch", {"event": "nosuch"})
    lost = AttachSpec("tp_btf", "tp_btf:nosuch", {"event": "nosuch"})
    with KernelEngine() as engine:
        engine.load(
            image(
                attached("tracepoint", bad),
                attached("tracepoint", good),
                attached("raw_tracepoint", worse),
                attached("tracing", lost, attach_type="trace_raw_tp"),
            )
        )
        failures = {failure.spec.name: failure.reason for failure in engine.attach()}
        assert set(failures) == {bad.name, worse.name, lost.name}
        assert "does not exist" in failures[bad.name]
        assert "btf_trace_nosuch" in failures[lost.name]
        os.getppid()
        assert cookies(engine.poll(100)) == [(1, 11)]


def test_many_tracepoints_of_one_program():
    folder = tracefs.ensure_tracefs()
    names = sorted(name for name in os.listdir(f"{folder}/events/syscalls") if name.startswith("sys_enter_get"))
    specs = tuple(AttachSpec("tracepoint", n, {"category": "syscalls", "event": n}, i) for i, n in enumerate(names))
    code, relocations = recording(1, cookie=True, pid=ME)
    with KernelEngine() as engine:
        run(engine, program("many", "tracepoint", code, specs, relocations))
        os.getppid()
        assert {cookie for _, cookie in cookies(engine.poll(0))} >= {names.index("sys_enter_getppid")}
        engine.detach()
        engine.poll(0)
        os.getppid()
        assert cookies(engine.poll(0)) == []


def test_a_thousand_attach_points():
    specs = tuple(AttachSpec("rawtracepoint", str(i), {"event": "sys_enter"}, i) for i in range(50))
    timers = tuple(AttachSpec("interval", str(i), {"period_ns": 10**9}, i) for i in range(950))
    code, relocations = recording(1, cookie=True, pid=ME)
    with KernelEngine() as engine:
        run(
            engine,
            program("tp", "raw_tracepoint", code, specs, relocations),
            program("timers", "perf_event", code, timers, relocations),
        )
        os.getppid()
        assert {cookie for _, cookie in cookies(engine.poll(0))} == set(range(50))


# -- user probes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A shared library with functions f0 ... f999, its path and their file offsets."""
    from elftools.elf.elffile import ELFFile

    folder = tmp_path_factory.mktemp("lib")
    source = folder / "many.c"
    source.write_text("".join(f"int f{i}(int a) {{ return a + {i}; }}\n" for i in range(1000)))
    path = folder / "libmany.so"
    try:
        subprocess.run(["gcc", "-shared", "-O1", "-fPIC", "-o", path, source], check=True)
    except FileNotFoundError:
        pytest.skip("needs gcc")
    with open(path, "rb") as file:
        elf = ELFFile(file)
        loads = [segment.header for segment in elf.iter_segments("PT_LOAD")]
        offsets = {}
        for symbol in elf.get_section_by_name(".dynsym").iter_symbols():
            for load in loads:
                if load.p_vaddr <= symbol["st_value"] < load.p_vaddr + load.p_filesz:
                    offsets[symbol.name] = symbol["st_value"] - load.p_vaddr + load.p_offset
    return str(path), offsets


def user_spec(library, name, cookie, **more):
    path, offsets = library
    params = {"path": path, "offset": offsets[name], "symbol": name, "retval": False, "pid": -1, "ref_ctr_offset": 0}
    return AttachSpec("uprobe", f"uprobe:{path}:{name}", {**params, **more}, cookie)


def call(library, *names):
    import ctypes

    loaded = ctypes.CDLL(library[0])
    return [getattr(loaded, name)(1) for name in names]


@pytest.mark.parametrize("retval", [False, True])
@pytest.mark.parametrize("pid", [-1, ME], ids=["everyone", "own"])
def test_uprobe(library, retval, pid):
    spec = user_spec(library, "f7", 5, retval=retval, pid=pid)
    with KernelEngine() as engine:
        run(engine, attached("kprobe", spec))
        assert call(library, "f7", "f8", "f7") == [8, 9, 8]
        assert cookies(engine.poll(100)) == [(1, 5), (1, 5)]


@pytest.mark.skipif(
    bpf.can_load(2, returning(0), attach_type=48) is not True, reason="needs uprobe_multi links (kernel 6.6)"
)
class TestUprobeMulti:
    def multi(self, specs):
        code, relocations = recording(1, cookie=True, pid=ME)
        return program("multi", "kprobe", code, tuple(specs), relocations, "uprobe_multi")

    def test_a_thousand_functions_in_one_link(self, library):
        specs = [user_spec(library, f"f{i}", i) for i in range(1000)]
        with KernelEngine() as engine:
            run(engine, self.multi(specs))
            call(library, "f0", "f999", "f500")
            assert cookies(engine.poll(100)) == [(1, 0), (1, 999), (1, 500)]
            engine.detach()
            call(library, "f0")
            assert cookies(engine.poll(0)) == []

    def test_bad_places_are_named_and_the_rest_is_attached(self, library):
        beyond = user_spec(library, "f1", 70, offset=1 << 40)
        specs = [user_spec(library, f"f{i}", i) for i in range(9)]
        with KernelEngine() as engine:
            engine.load(image(self.multi([*specs[:4], beyond, *specs[4:]])))
            assert [failure.spec for failure in engine.attach()] == [beyond]
            call(library, "f0", "f4", "f8")
            assert cookies(engine.poll(100)) == [(1, 0), (1, 4), (1, 8)]

    def test_the_same_place_twice_fires_twice(self, library):
        with KernelEngine() as engine:
            run(engine, self.multi([user_spec(library, "f3", 1), user_spec(library, "f3", 2)]))
            call(library, "f3")
            assert Counter(cookies(engine.poll(100))) == Counter([(1, 1), (1, 2)])


def test_watchpoint_on_our_own_memory():
    import ctypes

    cell = ctypes.c_uint64(0)
    spec = AttachSpec("watchpoint", "w", {"address": ctypes.addressof(cell), "length": 8, "mode": "w", "pid": ME}, 21)
    with KernelEngine() as engine:
        engine.load(image(attached("perf_event", spec)))
        failures = engine.attach()
        if failures:
            pytest.skip(f"no hardware breakpoints: {failures[0].reason}")
        cell.value = 7
        seen = cookies(engine.poll(100))
    assert (1, 21) in seen


# -- maps ------------------------------------------------------------------------------------------------------


@pytest.fixture
def engine_with():
    engines = []

    def make(*maps):
        engine = KernelEngine()
        engines.append(engine)
        engine.load(image(maps=maps))
        return engine

    yield make
    for engine in engines:
        engine.close()


def u64(value):
    return struct.pack("=Q", value)


@pytest.mark.parametrize("kind", ["hash", "lru_hash"])
@pytest.mark.parametrize("batches", [True, False])
def test_hash_items(engine_with, kind, batches):
    found = engine_with(MapSpec("@m", kind, 8, 8, 20000)).map("@m")
    found._batches = batches
    for index in range(5000):
        found.update(u64(index), u64(index * 3))
    assert dict(found.items()) == {u64(i): u64(i * 3) for i in range(5000)}
    assert found.lookup(u64(4)) == u64(12)
    assert found.lookup(u64(9999)) is None
    assert found.delete(u64(4)) is True
    assert found.delete(u64(4)) is False
    assert found.lookup(u64(4)) is None


@pytest.mark.parametrize("kind", ["percpu_hash", "lru_percpu_hash"])
@pytest.mark.parametrize("batches", [True, False])
def test_per_cpu_hash(engine_with, kind, batches):
    found = engine_with(MapSpec("@m", kind, 12, 5, 100)).map("@m")
    found._batches = batches
    key = random.Random(1).randbytes(12)
    found.update(key, b"abcde")
    assert list(found.per_cpu_items()) == [(key, [b"abcde"] * proc.possible_cpus())]
    assert found.per_cpu_lookup(key) == [b"abcde"] * proc.possible_cpus()
    assert found.per_cpu_lookup(bytes(12)) is None


def test_arrays(engine_with):
    engine = engine_with(MapSpec("@a", "array", 4, 8, 5), HITS)
    plain = engine.map("@a")
    plain.update(struct.pack("=I", 3), u64(9))
    assert [value for _, value in plain.items()] == [u64(0), u64(0), u64(0), u64(9), u64(0)]
    assert plain.delete(struct.pack("=I", 3)) is False
    assert len(list(engine.map("@hits").per_cpu_items())) == 4


def test_initial_value_of_a_read_only_map(engine_with):
    data = engine_with(MapSpec(".data", "array", 4, 64, 1, initial=b"hello", read_only=True)).map(".data")
    assert data.lookup(bytes(4)) == b"hello".ljust(64, b"\0")
    with pytest.raises(PermissionNeeded):
        data.update(bytes(4), bytes(64))


def test_lost_events_are_summed_over_cpus(engine_with):
    engine = engine_with(LOST)
    engine.map(".lost").update(bytes(4), u64(5))
    assert engine.lost_events() == 5 * proc.possible_cpus()
    assert engine_with(HITS).lost_events() == 0


def test_misuse_is_an_internal_error(engine_with):
    engine = engine_with(HITS)
    with pytest.raises(InternalError):
        engine.map("@nosuch")
    with pytest.raises(InternalError):
        engine.map("@hits").per_cpu_lookup(b"")
    with pytest.raises(InternalError):
        engine.run_once(begin(returning(0)))


def test_a_bad_map_is_refused_with_its_name():
    with pytest.raises(TargetError, match="@huge"), KernelEngine() as engine:
        engine.load(image(maps=(HITS, MapSpec("@huge", "array", 4, 1 << 30, 1 << 20))))


def test_relocated_map_value():
    data = MapSpec(".data", "array", 4, 16, 1, initial=u64(1) + u64(77))
    code = encode_program([*load_imm64(1, 0), Instruction(0x79, 0, 1, 0, 0), Instruction(0x95)])
    spec = begin(code, (Relocation(0, "map_value", ".data", 8),))
    with KernelEngine() as engine:
        engine.load(image(spec, maps=(data,)))
        assert engine.run_once(spec) == 77


# -- refusals --------------------------------------------------------------------------------------------------

BAD = encode_program([Instruction(0xB7, 1), Instruction(0x79, 0, 1, 0, 0), Instruction(0x95)])  # r0 = *(u64 *)0


def test_a_verifier_error_has_the_log_with_the_scripts_line():
    with pytest.raises(VerifierError) as caught, KernelEngine() as engine:
        engine.load(image(begin(returning(0), name="good"), begin(BAD, name="bad")))
    assert caught.value.program == "bad"
    assert "R1 invalid mem access 'scalar'" in str(caught.value)
    assert f"; {PLACE.text}" in caught.value.log
    assert "test.bt:3" in caught.value.log


def test_a_program_loads_without_btf_when_the_kernel_refuses_it(monkeypatch):
    spec = begin(returning(6))
    broken = replace(spec, functions=(FunctionInfo("f", 0), FunctionInfo("g", 1)))  # no such function
    with KernelEngine() as engine:
        engine.load(image(broken))
        assert engine.run_once(broken) == 6

    def refuse(blob):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(programs_module.bpf, "load_btf", refuse)
    with KernelEngine() as engine:
        engine.load(image(spec))
        assert engine.run_once(spec) == 6


def test_names_and_many_lines_in_btf():
    two = encode_program(
        [Instruction(0x85, 0, 1, 0, 1), Instruction(0x95), Instruction(0xB7, 0, 0, 0, 8), Instruction(0x95)]
    )
    places = (PLACE, replace(PLACE, line=1 << 30, column=5000, text="é \x00 odd"))
    functions = (FunctionInfo("uprobe:/bin/x:f+3", 0, 1), FunctionInfo("0", 2, 0))
    spec = replace(begin(two), functions=functions, places=places, lines=((0, 0), (1, 1)))
    with KernelEngine() as engine:
        engine.load(image(spec))
        assert engine.run_once(spec) == 8
        info = bytearray(216)
        bpf.object_info(engine.programs()[0].fd, info)
        (functions_known,) = struct.unpack_from("=I", info, 144)
        assert functions_known == 2


def test_an_unknown_map_is_our_fault():
    with pytest.raises(InternalError), KernelEngine() as engine:
        engine.load(image(begin(*recording(1)), maps=()))


UNPRIVILEGED = """
import os
from kernel_programs import image, program, returning
from kloupe.base.errors import PermissionNeeded
from kloupe.engine.kernel import KernelEngine
from kloupe.host import bpf, bpf_map
import kloupe.engine.kernel.refusal, resource
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(bpf.can_load(17, returning(0)), bpf_map.has_map_type(9, 4, 4, 1))
try:
    with KernelEngine() as engine:
        engine.load(image(program("begin", "raw_tracepoint", returning(0))))
except PermissionNeeded as error:
    print(error, "|", error.hint)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give it up")
def test_without_privilege_the_error_says_what_to_do():
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    done = subprocess.run([sys.executable, "-c", UNPRIVILEGED], capture_output=True, text=True, env=env)
    assert done.stderr == ""
    probes, refusal = done.stdout.splitlines()
    assert probes == "None None"
    assert "not permitted" in refusal
    assert "run as root, or with CAP_BPF and CAP_PERFMON" in refusal


def test_feature_probes():
    assert bpf.can_load(17, returning(0)) is True
    assert bpf.can_load(17, BAD) is False
    assert bpf.can_load(9999, returning(0)) is False
    assert bpf_map.has_map_type(27, 0, 0, 4096) is True
    assert bpf_map.has_map_type(9999, 4, 4, 1) is False


def test_unsupported_kinds_become_failures():
    spec = AttachSpec("kprobe", "kprobe:f", {"function": "no_such_function_here", "module": "", "offset": 0})
    with KernelEngine() as engine:
        engine.load(image(attached("kprobe", spec)))
        (failure,) = engine.attach()
        assert failure.spec is spec
        assert failure.reason


def test_close_twice():
    engine = KernelEngine()
    engine.load(image(begin(returning(0))))
    engine.close()
    engine.close()


def test_stacks_are_as_deep_as_the_kernel_allows():
    deepest = int(proc.read_text("/proc/sys/kernel/perf_event_max_stack"))
    with KernelEngine() as engine:
        engine.load(image(maps=(MapSpec(".kstack_1024", "stack_trace", 4, 8 * 1024, 64),)))
        assert engine.map(".kstack_1024").spec.value_size == 8 * min(deepest, 1024)
