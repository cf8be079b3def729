"""The running kernel as a Target; each test skips where its fact is not to be had."""

from __future__ import annotations

import os

import pytest

from kloupe.base import ctype as ct
from kloupe.kernel.live import LiveTarget, possible_cpus
from kloupe.kernel.patterns import literal_prefix, matcher
from kloupe.kernel.target import Target


@pytest.fixture(scope="module")
def target() -> LiveTarget:
    return LiveTarget()


needs_btf = pytest.mark.skipif(not os.access("/sys/kernel/btf/vmlinux", os.R_OK), reason="needs the kernel's BTF")


def test_machine(target: LiveTarget) -> None:
    as_protocol: Target = target
    assert as_protocol.arch.name == os.uname().machine and as_protocol.release == os.uname().release
    assert as_protocol.cpu_count >= (os.cpu_count() or 1)


def test_possible_cpus(tmp_path) -> None:
    path = tmp_path / "possible"
    for text, count in (("0\n", 1), ("0-7\n", 8), ("0,2-5\n", 6), ("0-3,9\n", 10)):
        path.write_text(text)
        assert possible_cpus(str(path)) == count
    assert possible_cpus(str(tmp_path / "none")) == (os.cpu_count() or 1)


@needs_btf
def test_types_and_features(target: LiveTarget) -> None:
    assert target.has_btf and target.has("btf") is True and target.has("probe_read_kernel") is True
    assert all(answer in (True, False, None) for answer in target.features.all().values())
    assert target.struct("struct", "task_struct") is not None
    switch = target.raw_tracepoint("sched_switch")
    assert switch is not None and [n for n, _ in switch.parameters][:3] == ["preempt", "prev", "next"]
    assert str(switch.parameters[1][1]) == "struct task_struct *"
    assert "task" in target.iterators() and isinstance(target.iterators()["task"], ct.Struct)
    assert "vfs_read" in target.functions("vfs_rea*")
    assert target.btf_id("function", "vfs_read") is not None


def test_probers_answer_what_btf_cannot() -> None:
    asked: list[str] = []

    def probe() -> bool | None:
        asked.append("x")
        return True

    target = LiveTarget({"own_feature": probe})
    assert target.has("own_feature") is True and target.has("own_feature") is True and asked == ["x"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to see addresses")
def test_symbols(target: LiveTarget) -> None:
    address = target.ksym("vfs_read")
    if address is None:
        pytest.skip("the kernel hides addresses")
    assert target.symbols.lookup(address + 3) == ("vfs_read", 3, "")


def test_tracepoints(target: LiveTarget) -> None:
    if target.tracing.path is None:
        pytest.skip("needs tracefs")
    switch = target.tracepoint("sched", "sched_switch")
    assert switch is not None and switch.id > 0
    assert ("sched", "sched_switch") in target.tracepoints("sched", "*switch")


def test_cgroup(target: LiveTarget, tmp_path) -> None:
    assert target.cgroup_id(str(tmp_path)) == os.stat(tmp_path).st_ino
    assert target.cgroup_id(str(tmp_path / "none")) is None


def test_patterns() -> None:
    names = ["vfs_read", "vfs_write", "do_vfs"]
    forms = {"vfs_*": 2, "*": 3, "*vfs*": 3, "vfs_[rw]*": 2, "vfs_read": 1, "do?vfs": 1, "": 0, "vfs": 0}
    assert {p: sum(map(matcher(p), names)) for p in forms} == forms
    assert [literal_prefix(p) for p in ("vfs_*", "a?b*", "*", "plain")] == ["vfs_", "a", "", "plain"]
