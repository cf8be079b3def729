"""The kernel engine where kprobes, fentry and multi links are: each kind attaches, fires with its cookie, and leaves nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

from reporting import Skip

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "live"))

from kernel_programs import cookies, image, program, recording, returning

from kloupe.bpf.program_types import ATTACH_TYPES, PROGRAM_TYPES
from kloupe.engine.kernel import KernelEngine
from kloupe.host import bpf, bpf_link
from kloupe.host.fd import open_files
from kloupe.image import AttachSpec, ProgramSpec

FUNCTION = "__x64_sys_getppid"
TYPED = "hrtimer_nanosleep"  # not static, so BTF has it on every kernel


def release() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


def symbol(name: str) -> int:
    for line in Path("/proc/kallsyms").read_text().splitlines():
        fields = line.split()
        if fields[2] == name:
            return int(fields[0], 16)
    raise Skip(f"no symbol {name}")


def recorder(kind: str, attach_type: str, *specs: AttachSpec) -> ProgramSpec:
    # Run in a child of its own: the pid is asked for here, not at import.
    code, relocations = recording(1, cookie=any(spec.cookie for spec in specs), pid=os.getpid())
    return program("recorder", kind, code, specs, relocations, attach_type)


def trigger() -> None:
    """Enter FUNCTION and TYPED once each."""
    os.getppid()
    time.sleep(0.001)


def seen(*programs: ProgramSpec) -> list[int]:
    """The cookies recorded for one trigger, sorted; fails on any attach failure or leaked descriptor."""
    before = set(open_files())
    with KernelEngine() as engine:
        engine.load(image(*programs))
        failures = engine.attach()
        assert not failures, failures
        trigger()
        records = list(engine.poll(200))
        started = time.monotonic()
        engine.detach()
        assert time.monotonic() - started < 30
        engine.poll(0)
        trigger()
        assert engine.poll(0) == []
    assert set(open_files()) == before
    return sorted(cookie for _, cookie in cookies(records))


def cookie(value: int, since: tuple[int, int]) -> int:
    return value if release() >= since else 0


def kprobe(value: int, **more: int | str | bool) -> AttachSpec:
    params = {"function": FUNCTION, "module": "", "offset": 0, "address": 0, "retval": False, **more}
    return AttachSpec("kprobe", f"kprobe:{FUNCTION}", params, value)


def require_links(has_links: bool | None) -> None:
    if not has_links:
        raise Skip("this kernel has no such links")


def require(kind: str, attach_type: str, since: tuple[int, int]) -> None:
    can = bpf.can_load(PROGRAM_TYPES[kind], returning(0), ATTACH_TYPES[attach_type])
    if release() < since:
        raise Skip(f"{attach_type} needs kernel {since[0]}.{since[1]}")
    assert can is True, can


def check_kprobe() -> None:
    value = cookie(7, (5, 15))
    assert seen(recorder("kprobe", "", kprobe(value))) == [value]


def check_kretprobe() -> None:
    value = cookie(8, (5, 15))
    assert seen(recorder("kprobe", "", kprobe(value, retval=True))) == [value]


def check_kprobe_at_an_offset_and_at_an_address() -> None:
    first, second = cookie(1, (5, 15)), cookie(2, (5, 15))
    # The first instruction is a 4-byte endbr64 or 5-byte nop; where it ends differs, so both are tried.
    for offset in (4, 5):
        spec = kprobe(first, offset=offset)
        with KernelEngine() as engine:
            engine.load(image(recorder("kprobe", "", spec)))
            if not engine.attach():
                os.getppid()
                assert cookies(list(engine.poll(200))) == [(1, first)]
                break
    else:
        raise AssertionError("no offset could be probed")
    by_address = kprobe(second, function="", address=symbol(FUNCTION))
    assert seen(recorder("kprobe", "", by_address)) == [second]


def check_kprobe_failures_say_why() -> None:
    missing = kprobe(0, function="no_such_function")
    with KernelEngine() as engine:
        engine.load(image(recorder("kprobe", "", missing)))
        (failure,) = engine.attach()
        assert failure.spec is missing
        assert "no such" in failure.reason, failure.reason


def check_kprobe_multi() -> None:
    require_links(bpf_link.has_kprobe_multi())
    others = [kprobe(0, function=name) for name in ("__x64_sys_getuid", "__x64_sys_getgid")]
    assert seen(recorder("kprobe", "kprobe_multi", kprobe(21), *others)) == [21]
    assert seen(recorder("kprobe", "kprobe_multi", kprobe(22, retval=True))) == [22]
    assert seen(recorder("kprobe", "kprobe_multi", kprobe(3), kprobe(4), kprobe(5, retval=True))) == [3, 4, 5]
    assert seen(recorder("kprobe", "kprobe_multi", kprobe(6, function="", address=symbol(FUNCTION)))) == [6]


def check_kprobe_multi_names_the_bad_ones() -> None:
    require_links(bpf_link.has_kprobe_multi())
    bad = [kprobe(90 + index, function=f"no_such_function_{index}") for index in range(2)]
    with KernelEngine() as engine:
        engine.load(image(recorder("kprobe", "kprobe_multi", bad[0], kprobe(23), bad[1])))
        assert [failure.spec for failure in engine.attach()] == bad
        os.getppid()
        assert cookies(list(engine.poll(200))) == [(1, 23)]


def check_kprobe_session() -> None:
    require("kprobe", "kprobe_session", (6, 10))
    assert seen(recorder("kprobe", "kprobe_session", kprobe(24))) == [24, 24]


def traced(kind: str, value: int, **more: str) -> AttachSpec:
    return AttachSpec(kind, f"{kind}:{TYPED}", {"function": TYPED, "module": "vmlinux", **more}, value)


def check_fentry_and_fexit() -> None:
    value = cookie(31, (6, 1))
    assert seen(recorder("tracing", "trace_fentry", traced("fentry", value))) == [value]
    assert seen(recorder("tracing", "trace_fexit", traced("fexit", value))) == [value]


def check_one_fentry_program_for_several_functions() -> None:
    value = cookie(32, (6, 1))
    other = traced("fentry", value, function="vfs_fstat")
    assert seen(recorder("tracing", "trace_fentry", traced("fentry", value), other)) == [value]


def check_fentry_in_a_module() -> None:
    folder = Path("/sys/kernel/btf")
    if not (folder / "virtio_blk").exists():
        raise Skip("virtio_blk has no BTF or is not loaded")
    spec = AttachSpec(
        "fentry", "fentry:virtio_blk:virtio_queue_rq", {"function": "virtio_queue_rq", "module": "virtio_blk"}
    )
    assert seen(recorder("tracing", "trace_fentry", spec)) == []


def check_unknown_fentry_is_a_failure() -> None:
    spec = traced("fentry", 0, function="no_such_function")
    with KernelEngine() as engine:
        engine.load(image(recorder("tracing", "trace_fentry", spec)))
        (failure,) = engine.attach()
        assert "no function no_such_function" in failure.reason, failure.reason


def check_iterator_over_tasks() -> None:
    spec = AttachSpec("iter", "iter:task", {"object": "task"})
    code, relocations = recording(1)
    with KernelEngine() as engine:
        engine.load(image(program("tasks", "tracing", code, (spec,), relocations, "trace_iter")))
        assert engine.attach() == []
        assert len(engine.poll(0)) > 10


def check_pinned_iterator() -> None:
    path = "/sys/fs/bpf/kloupe_tasks"
    spec = AttachSpec("iter", "iter:task", {"object": "task", "pin": path})
    code, relocations = recording(1)
    with KernelEngine() as engine:
        engine.load(image(program("tasks", "tracing", code, (spec,), relocations, "trace_iter")))
        assert engine.attach() == []
        assert engine.poll(0) == []
        Path(path).read_bytes()
        assert len(engine.poll(0)) > 10
    assert not Path(path).exists()


def check_uprobe_multi_and_uprobe() -> None:
    program_file = "/kloupe/.guest/bin/ticker"
    symbols = subprocess.run(["nm", program_file], capture_output=True, text=True, check=True).stdout
    offset = next(int(line.split()[0], 16) for line in symbols.splitlines() if line.endswith(" T tick"))
    value = cookie(51, (5, 15))
    for attach_type in ("", "uprobe_multi"):
        if attach_type and not bpf_link.has_uprobe_multi():
            continue
        spec = AttachSpec("uprobe", "u", {"path": program_file, "offset": offset, "retval": False, "pid": -1}, value)
        code, relocations = recording(1, cookie=bool(value))
        with KernelEngine() as engine:
            engine.load(image(program("u", "kprobe", code, (spec,), relocations, attach_type)))
            assert engine.attach() == []
            subprocess.run([program_file, "3"], check=True, stdout=subprocess.DEVNULL)
            assert cookies(list(engine.poll(200))) == [(1, value)] * 3


def check_every_other_kind() -> None:
    value = cookie(41, (5, 15))
    raw = cookie(42, (6, 10))
    tracepoint = AttachSpec("tracepoint", "t", {"category": "syscalls", "event": "sys_enter_getppid"}, value)
    assert seen(recorder("tracepoint", "", tracepoint)) == [value]
    raw_spec = AttachSpec("rawtracepoint", "r", {"event": "sys_enter"}, raw)
    assert raw in seen(recorder("raw_tracepoint", "", raw_spec))
    assert 0 in seen(recorder("tracing", "trace_raw_tp", AttachSpec("tp_btf", "b", {"event": "sys_enter"})))


def check_begin_runs_and_stats_count() -> None:
    spec = program("begin", "raw_tracepoint", returning(5), (AttachSpec("begin", "begin"),))
    with KernelEngine() as engine:
        engine.load(image(spec))
        assert engine.run_once(spec) == 5
        assert engine.run_timed(spec, 10) > 0


def check_map_kinds() -> None:
    from kloupe.image import MapSpec

    kinds = ("hash", "percpu_hash", "lru_hash", "lru_percpu_hash", "array", "percpu_array")
    specs = tuple(MapSpec(f"@{kind}", kind, 4, 8, 16) for kind in kinds)
    with KernelEngine() as engine:
        engine.load(image(maps=specs))
        for spec in specs:
            found = engine.map(spec.name)
            found.update(bytes(4), b"\1" * 8)
            if "percpu" in spec.kind:
                entries = dict(found.per_cpu_items())
                assert entries[bytes(4)] == [b"\1" * 8] * found.cpus
            else:
                assert dict(found.items())[bytes(4)] == b"\1" * 8
