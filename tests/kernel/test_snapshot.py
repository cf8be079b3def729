"""The whole Target protocol over a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from snapshot_sample import build_snapshot

from kloupe.base import ctype as ct
from kloupe.base.errors import FormatError, MissingFacts
from kloupe.kernel.binary import ElfBinary
from kloupe.kernel.facts import KernelFacts
from kloupe.kernel.snapshot import SnapshotTarget, save_snapshot
from kloupe.kernel.target import Binary, BinaryNames, ListingFacts, ProcessFacts, Target


@pytest.fixture
def target(tmp_path: Path) -> SnapshotTarget:
    return SnapshotTarget(build_snapshot(tmp_path / "kernel", features={"kprobe_multi": True, "fentry": False}))


def test_machine(target: SnapshotTarget) -> None:
    as_protocol: Target = target
    assert as_protocol.arch.name == "aarch64" and as_protocol.release == "6.99.0" and as_protocol.cpu_count == 4
    assert as_protocol.pid_namespace == (3, 4026532000) and as_protocol.has_btf
    assert isinstance(target, ListingFacts) and isinstance(target, ProcessFacts)


def test_binary_protocols() -> None:
    as_protocol: type[Binary] = ElfBinary
    assert issubclass(as_protocol, BinaryNames)


def test_features(target: SnapshotTarget) -> None:
    assert target.has("kprobe_multi") is True and target.has("fentry") is False
    assert target.has("btf") is True and target.has("bpf_loop") is True and target.has("ringbuf") is True
    assert target.has("for_each_map_elem") is False
    assert target.has("atomic_fetch") is None and target.has("no such feature") is None
    assert (
        target.has("helper:loop") is True and target.has("map:ringbuf") is True and target.has("kfunc:vfs_read") is True
    )
    assert target.has("helper:xyz") is False


def test_types(target: SnapshotTarget) -> None:
    task = target.struct("struct", "task_struct")
    assert task is not None and task.field("state") == ct.Field("state", ct.INT32, 4, decl="int state")
    assert target.struct("struct", "nothing") is None and target.enum("bpf_func_id") is not None
    assert (target.enum_constant("BPF_FUNC_loop") or (None, 0))[1] == 181
    read = target.function("vfs_read")
    assert read is not None and read.parameters == (("task", ct.Pointer(task)), ("count", ct.INT32))
    assert target.function_declarations("vfs_read") == ("struct task_struct * task", "int count", "int retval")
    assert target.function_declarations("nothing") == ()
    assert target.btf_id("function", "vfs_open") == ("vmlinux", 8)
    assert target.btf_id("function", "nothing") is None
    assert target.type_names("*task*") == ["struct bpf_iter__task", "struct task_struct"]


def test_functions(target: SnapshotTarget) -> None:
    assert list(target.functions("vfs_*")) == ["vfs_open", "vfs_read", "vfs_write"]
    assert list(target.functions("vfs_read")) == ["vfs_read"] and list(target.functions("vfs_nothing")) == []
    assert list(target.functions("*", "ballet")) == ["dance"]
    assert target.function_modules("dance") == ["ballet"] and target.modules() == ["vmlinux", "ballet"]
    assert target.ksym("vfs_write") == 0xFFFFFFFF81001100 and target.ksym("nothing") is None


def test_functions_from_a_list_of_ones_own(target: SnapshotTarget, tmp_path: Path) -> None:
    listed = tmp_path / "functions"
    listed.write_text("own_function\nmodule_function [some_module]\n")
    target.tracing.use_functions(str(listed))
    assert list(target.functions("*function")) == ["module_function", "own_function"]
    assert list(target.functions("own_function")) == ["own_function"] and list(target.functions("vfs_read")) == []
    assert list(target.functions("*", "some_module")) == ["module_function"]
    with pytest.raises(MissingFacts, match="no such file"):
        target.tracing.use_functions(str(tmp_path / "missing"))


def test_functions_without_ftraces_list(tmp_path: Path) -> None:
    folder = build_snapshot(tmp_path / "kernel")
    (tmp_path / "kernel/tracing/available_filter_functions").unlink()
    target = SnapshotTarget(folder)
    assert list(target.functions("vfs_*")) == ["vfs_open", "vfs_read", "vfs_write"]
    assert list(target.functions("*", "vmlinux")) == ["vfs_open", "vfs_read", "vfs_write"]
    assert list(target.functions("*c*", "ballet")) == ["dance"]


def test_tracepoints(target: SnapshotTarget) -> None:
    wave = target.tracepoint("sched", "sched_wave")
    assert wave is not None and wave.id == 314 and wave.fields[-1].name == "pid"
    assert target.tracepoint("sched", "nothing") is None and target.tracepoint("..", "sched") is None
    assert target.tracepoints("*", "*wave") == [("irq", "irq_wave"), ("sched", "sched_wave")]
    assert target.tracepoints("sched", "sched_wave") == [("sched", "sched_wave")]
    assert target.tracepoints("sched", "nothing") == []


def test_raw_tracepoints_and_iterators(target: SnapshotTarget) -> None:
    wave, rest = target.raw_tracepoint("sched_wave"), target.raw_tracepoint("sched_rest")
    assert wave is not None and [(n, str(t)) for n, t in wave.parameters] == [("waver", "struct task_struct *")]
    assert rest is not None and [n for n, _ in rest.parameters] == ["arg0"]
    assert target.raw_tracepoint("nothing") is None
    assert target.raw_tracepoint_declarations("sched_wave") == ("struct task_struct * waver",)
    assert target.raw_tracepoints("sched_*") == ["sched_rest", "sched_wave"]
    assert target.raw_tracepoints("sched_wave") == ["sched_wave"]
    iterators = target.iterators()
    assert list(iterators) == ["task"] and iterators["task"].size == 16 and "file" not in iterators


def test_bare_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFacts):
        SnapshotTarget(str(tmp_path))
    (tmp_path / "meta.json").write_text('{"arch": "x86_64"}')
    target = SnapshotTarget(str(tmp_path))
    assert not target.has_btf and target.struct("struct", "task_struct") is None and target.has("bpf_loop") is None
    assert target.raw_tracepoints("*") == [] and dict(target.iterators()) == {} and list(target.functions("*")) == []
    assert target.modules() == ["vmlinux"] and target.type_names("*") == []
    with pytest.raises(MissingFacts):
        target.tracepoint("sched", "sched_switch")
    with pytest.raises(MissingFacts):
        target.ksym("vfs_read")


@pytest.mark.parametrize("text", ["", "[]", '{"cpu_count": "x"}', '{"pid_namespace": 5}', '{"features": []}', '{"a":'])
def test_broken_meta(tmp_path: Path, text: str) -> None:
    (tmp_path / "meta.json").write_text(text)
    with pytest.raises(FormatError):
        SnapshotTarget(str(tmp_path))


def test_save_and_read_back(target: KernelFacts, tmp_path: Path) -> None:
    folder = str(tmp_path / "copy")
    save_snapshot(target, folder, [("sched", "sched_wave"), ("sched", "nothing")])
    copy = SnapshotTarget(folder)
    assert copy.features.all() == target.features.all()
    assert copy.release == target.release and copy.pid_namespace == target.pid_namespace
    assert copy.tracepoint("sched", "sched_wave") == target.tracepoint("sched", "sched_wave")
    assert copy.function("vfs_read") == target.function("vfs_read")
    assert copy.ksym("dance") == target.ksym("dance")
