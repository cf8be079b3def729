"""Changes to a made-up tracefs: what is shared is put back, what is own is not noted, and who stands in the way."""

import pytest

from kloupe.base import ctype as ct
from kloupe.ftrace.control.folder import TracingFolder
from kloupe.ftrace.control.holders import obstacles
from kloupe.ftrace.control.journal import Journal
from kloupe.ftrace.control.knobs import Knobs
from kloupe.ftrace.control.probes import _arguments
from kloupe.ftrace.decode.signatures import Signatures, report_arguments, show_arguments


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KLOUPE_STATE_DIR", str(tmp_path / "state"))
    files = {
        "options/stacktrace": "0\n", "options/func_stack_trace": "0\n", "instances/a/trace_options": "nostacktrace\nannotate\n",
        "instances/a/options/stacktrace": "0\n", "current_tracer": "nop\n", "set_event": "bpf_trace:bpf_trace_printk\n",
    }  # fmt: skip
    place = tmp_path / "tracing"
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    (place / "per_cpu").mkdir()
    (place / "instances/a/options/func_stack_trace").symlink_to(
        place / "options/func_stack_trace"
    )  # the tracer's: one for all
    return place


def test_options_of_a_tracer_are_put_back_from_an_instance(root):
    journal = Journal(str(root), "instances/a")
    knobs = Knobs(TracingFolder(str(root), "a"), journal, own=True)
    knobs.set_option("func_stack_trace", True)
    knobs.set_option("stacktrace", True)
    assert (root / "options/func_stack_trace").read_text()[:1] == "1"
    assert journal.restore() == []
    assert (root / "options/func_stack_trace").read_text()[:1] == "0"
    assert (root / "instances/a/options/stacktrace").read_text()[:1] == "1"  # goes away with the instance


def test_what_the_kernel_leaves_on_is_nobodys(root):
    assert obstacles(TracingFolder(str(root))) == []
    (root / "set_event").write_text("bpf_trace:bpf_trace_printk\nsched:sched_switch\n")
    assert obstacles(TracingFolder(str(root))) == ["the event sched:sched_switch is on"]


def test_only_constant_text_is_read_for_arguments():
    text = ct.Pointer(ct.Int(1, True))
    number = ct.Int(4, True)
    signature = ct.Function(number, (("name", text), ("buf", text), ("count", number)))
    assert _arguments(signature, {"name"}) == "name=+0($arg1):string buf=$arg2:x64 count=$arg3:s32"


def test_arguments_in_a_line_of_text():
    signatures = Signatures(bytes, 8)
    kind = ct.Enum("pid_type", 4, False, (("PIDTYPE_PID", 0), ("PIDTYPE_TGID", 1)))
    signatures.function = lambda name: ct.Function(kind, (("type", kind),))
    args = signatures.name_constants("f", {"type": 1, "name": "two\nlines", "count": 5})
    assert show_arguments(args) == 'type=PIDTYPE_TGID, name="two\\nlines", count=5'


def test_arguments_as_trace_cmd_prints_them():
    number, unsigned = ct.Int(4, True), ct.Int(4, False)
    parameters = (
        ("dfd", number),
        ("mask", unsigned),
        ("name", ct.Pointer(number)),
        ("kind", ct.Enum("e", 4, False, (("A", 1),))),
    )
    signature = ct.Function(number, parameters)
    values = [0xFFFFFF9C, 0x1_0000_07FF, 0xFF11, 1, 99]
    assert report_arguments(signature, values, 8) == "dfd=4294967196, mask=0x7ff, name=0xff11, kind=1"
    assert report_arguments(signature, values[:2], 8) == "dfd=4294967196, mask=0x7ff, ..."
    assert report_arguments(None, values[:3], 8) == "ffffff9c, 1000007ff, ff11"
    pair = ct.Function(number, (("pair", ct.Struct("struct", "s", 16)), ("n", number)))
    assert report_arguments(pair, [1, 2, 3], 8) == "pair=(struct)[0x1:0x2], n=3"
